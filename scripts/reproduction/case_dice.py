"""Dice volume by volume, the form in which some data sets are reported: tables beside those of IoU."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from monai_supmix.experiments.page import table_head, table_row
from monai_supmix.metrics import dice, mean_present, paired_case_bootstrap
from monai_supmix.metrics.paired import CONFIDENCE, Difference, mean_sd, show_difference, why_no_interval
from reproduction.evidence import Finished
from reproduction.statistics import compare

BUNDLES = ("acdc_supmix",)
"""Bundles of data sets that the field reports in this form."""


def case_dice(one: Finished) -> np.ndarray:
    """Dice of each case: the mean over its foreground classes, NaN where it shows none in truth or prediction.

    Args:
        one: a finished cell.

    Returns:
        fractions, ``(num_cases,)``.
    """
    return mean_present(dice(one.counts)[:, 1:])


def case_dice_section(finished: Sequence[Finished]) -> Iterator[str]:
    """Lines of Markdown: figures by class, then each method's differences from the baselines.

    Args:
        finished: cells of one experiment, in the order of the tables.
    """
    rows: dict[tuple[int, str], dict[str, list[float]]] = {}
    for one in finished:
        figures = rows.setdefault((one.cell.num_labeled, str(one.cell.method)), {})
        for name in one.class_names[1:]:
            figures.setdefault(name, []).append(100 * one.metrics["classes"][name]["case_dice"])
        figures.setdefault("mean", []).append(100 * one.metrics["mean_case_dice"])
    yield from ("## Dice by volume, in %", "")
    yield "Mean over the test volumes, then mean ± standard deviation over seeds."
    yield ""
    names = [*finished[0].class_names[1:], "mean"]
    yield from table_head(["labelled", "method", *names])
    for (count, method), figures in rows.items():
        yield table_row([str(count), method, *(mean_sd(figures[name]) for name in names)])
    differences = list(_differences(finished))
    if differences:
        yield ""
        yield (
            f"Method minus baseline in percentage points of the mean, with the {CONFIDENCE:.0%} percentile interval of "
            "a bootstrap that draws seeds and patients with both of their volumes:"
        )
        yield from ("", *table_head(["labelled", "method", "minus", "seeds", "mean"]))
        yield from (table_row([*start, show_difference(difference)]) for start, difference in differences)
        if why := why_no_interval(difference for _, difference in differences):
            yield from ("", why.strip())


def _differences(finished: Sequence[Finished]) -> Iterator[tuple[list[str], Difference]]:
    """The first cells of each row, and its difference."""
    cells = {(one.cell.num_labeled, one.cell.method, one.cell.seed): one for one in finished}
    for pair in compare(finished):
        ours, theirs = (
            np.stack([case_dice(cells[pair.num_labeled, method, seed]) for seed in pair.seeds])
            for method in (pair.method, pair.baseline)
        )
        start = [str(pair.num_labeled), str(pair.method), str(pair.baseline), ", ".join(map(str, pair.seeds))]
        yield start, paired_case_bootstrap(ours, theirs, finished[0].groups)
