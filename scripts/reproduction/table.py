"""`table.md`: the paper's tables with our figures, its own beside them, and the paired comparisons."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

import numpy as np

from monai_supmix.experiments.page import table_head, table_row
from monai_supmix.metrics.paired import CONFIDENCE, mean_sd, show_difference, why_no_interval
from reproduction import paper
from reproduction.case_dice import BUNDLES as BY_VOLUME
from reproduction.case_dice import case_dice_section
from reproduction.evidence import Finished
from reproduction.experiment import Experiment, Method
from reproduction.statistics import Comparison, compare

_TTA = {"acdc_supmix": "averaged over turned and scaled views"}
_NONE = "-"  # no figure
TITLES = {
    "supervised": "Supervised",
    "fixmatch": "FixMatch",
    "unimatch": "UniMatch",
    "classmix": "ClassMix",
    "supmix": "SupMix",
    "sufd": "SUFD",
    "supmix_sufd": "SupMix+SUFD",
    "self_training": "Self-training",
    "mixup": "MixUp",
    "cutout": "Cutout",
    "random_erasing": "Random Erasing",
}
_ABLATION_TITLES = ("CutMix (= UniMatch)", "ClassMix", "SupMix", "SUFD", "SupMix+SUFD")


def title(method: Method) -> str:
    """A method as a column names it.

    Example:
        >>> title(Method("supmix_sufd")), title(Method("supervised", 1500))
        ('SupMix+SUFD', 'Supervised (1500 steps)')
    """
    name = TITLES.get(method.name, method.name)
    return name if method.steps is None else f"{name} ({method.steps} steps)"


def make_table(experiment: Experiment, finished: Sequence[Finished]) -> str:
    """The whole page.

    Args:
        experiment: what the cells share.
        finished: the cells, in the order of the tables.

    Returns:
        Markdown.

    Raises:
        InputError: cells were made of different data.
    """
    bundle = experiment.as_dict()["bundle"]
    if not finished:
        return f"# {bundle}\n\nNo cell is finished yet.\n"
    results = _Results(bundle, finished)
    parts = [
        f"# IoU in %: {bundle}",
        _about(experiment, finished),
        "\n".join(results.main_table()),
        "\n".join(case_dice_section(finished)) if bundle in BY_VOLUME else "",
        "\n".join(results.ablation()),
        "\n".join(_comparisons(list(compare(finished)), _patients(finished[0]))),
        "## How it was made\n\n```bash\n" + "\n".join(commands(experiment, finished)) + "\n```",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


class _Results:
    """Figures of all cells, by number of labelled images, method and class."""

    def __init__(self, bundle: str, finished: Sequence[Finished]) -> None:
        self.bundle, self.finished = bundle, finished
        self.methods = list(dict.fromkeys(sorted((one.cell.method for one in finished), key=lambda m: m.place)))
        self.counts = sorted({one.cell.num_labeled for one in finished})
        self.classes = [*finished[0].class_names, "mean"]

    def values(self, count: int, method: Method, name: str) -> list[float]:
        """IoU in % over seeds; none where the class is absent or no cell is finished."""
        values = []
        for one in self.finished:
            if (one.cell.num_labeled, one.cell.method) == (count, method):
                figures = one.metrics["classes"].get(name)
                value = one.metrics["mean_iou"] if name == "mean" else figures and figures["iou"]
                values += [] if value is None else [100 * value]
        return values

    def main_table(self) -> Iterator[str]:
        """Tables 1 and 2: rows are numbers of labelled images and classes, columns methods, then the paper's."""
        labeled = paper.LABELED.get(self.bundle, {})
        theirs = paper.METHODS if any(count in labeled for count in self.counts) else ()
        heads = [title(method) for method in self.methods]
        heads += [f"*paper: {TITLES[name]}*" for name in theirs]
        yield from table_head(["labelled", "class", *heads])
        for count in self.counts:
            setting = labeled.get(count, "")
            for name in self.classes:
                cells = [mean_sd(self.values(count, method, name)) for method in self.methods]
                if theirs:
                    published = paper.IOU[self.bundle].get((setting, name), [_NONE] * len(theirs))
                    cells += [f"*{figure}*" for figure in published]
                yield table_row([f"{count} ({setting})" if setting else str(count), name, *cells])
        yield from ("", self._seeds(), "")
        times = []
        for method in self.methods:
            seconds = [one.record["seconds"] for one in self.finished if one.cell.method == method]
            times.append(f"{title(method)} {np.mean(seconds):.0f}")
        yield f"Seconds for training and evaluation, one thread: {', '.join(times)}."
        if theirs:
            yield from ("", _paper_note(self.bundle))

    def _seeds(self) -> str:
        """Say how many seeds there are, and where they are fewer."""
        numbers = {
            (count, method): sum((one.cell.num_labeled, one.cell.method) == (count, method) for one in self.finished)
            for count in self.counts
            for method in self.methods
        }
        most = max(numbers.values())
        fewer = [f"{title(m)} with {n} labelled: {k}" for (n, m), k in numbers.items() if 0 < k < most]
        if most == 1:
            return "One seed."
        return f"Mean ± standard deviation over {most} seeds{' (' + '; '.join(fewer) + ')' if fewer else ''}."

    def ablation(self) -> Iterator[str]:
        """The paper's ablation on the rare class, ours above its own."""
        rows = []
        methods = [Method(name) for name in paper.ABLATION_METHODS]
        for count in self.counts:
            setting = paper.LABELED.get(self.bundle, {}).get(count)
            for (known, name), figures in paper.ABLATION.get(self.bundle, {}).items():
                ours = [mean_sd(self.values(count, method, name)) for method in methods]
                if known == setting and any(cell != _NONE for cell in ours):
                    rows.append(table_row([f"{count} ({setting})", name, "here", *ours]))
                    rows.append(table_row(["", "", "*paper*", *(f"*{figure}*" for figure in figures)]))
        if rows:
            yield from ("## Ablation", "", *table_head(["labelled", "class", "", *_ABLATION_TITLES]), *rows)


def _about(experiment: Experiment, finished: Sequence[Finished]) -> str:
    """On what protocol."""
    first = finished[0]
    tested = f"{len(first.cases)} test images"
    if _patients(first) == "patients":
        tested += f" of {len(set(first.groups))} patients"
    else:
        tested += " (each its own group: patients are unknown)"
    lines = [
        f"* {tested}; counts summed over all of them, native grid, last checkpoint, "
        f"{_TTA.get(experiment.as_dict()['bundle'], 'test-time flips') if experiment.tta else 'no test-time flips'}.",
        f"* {'Preset `' + experiment.preset + '`' if experiment.preset else 'Default settings of the bundle'}"
        + (f", {experiment.max_iterations} iterations" if experiment.max_iterations else "")
        + "".join(f", `{name}={text}`" for name, text in experiment.overrides.items())
        + (f"; the mean of {experiment.networks} networks in each cell" if experiment.networks > 1 else "")
        + ".",
    ]
    draws = {(one.cell.num_labeled, one.record["labeled_seed"]): one.record["labeled"] for one in finished}
    for count in sorted({count for count, _ in draws}):
        of_count = {seed: names for (n, seed), names in sorted(draws.items()) if n == count}
        if len(of_count) == 1:
            lines.append(f"* {count} labelled images, the same for all seeds: {', '.join(*of_count.values())}.")
        else:
            by_seed = "; ".join(f"seed {seed}: {', '.join(names)}" for seed, names in of_count.items())
            lines.append(f"* {count} labelled images, another draw with each seed: {by_seed}.")
    lines += [f"* {note}." for note in dict.fromkeys(note for one in finished for note in one.record["notes"])]
    return "\n".join(lines)


def _paper_note(bundle: str) -> str:
    note = (
        "*Columns in italics are the paper's own figures: another split of the data, another network and another "
        "training length. They are printed for orientation and cannot be compared with ours.*"
    )
    if bundle == "covid19_ct_supmix":
        note += " *They are of the 100 slices that MedSeg publishes, with other classes and other numbers of images.*"
    return note


def _patients(one: Finished) -> str:
    """What stands for patients: images where patients are unknown."""
    return "images" if len(set(one.groups)) == len(one.cases) else "patients"


def _comparisons(comparisons: Sequence[Comparison], patients: str) -> Iterator[str]:
    """Differences of IoU in percentage points with their intervals; in bold where the interval excludes 0."""
    if not comparisons:
        return
    yield from ("## Paired differences", "")
    seeds = max(len(pair.seeds) for pair in comparisons)
    yield (
        f"Method minus baseline in percentage points of IoU, mean over seeds, with the {CONFIDENCE:.0%} percentile "
        f"interval of a bootstrap that draws seeds and test {patients}, and sums counts anew for each draw. Bold: the "
        f"interval does not hold 0. With {seeds} seed{'s' * (seeds > 1)} and {comparisons[0].num_groups} {patients} "
        "such intervals are rough, and rather too narrow than too wide."
        + why_no_interval(difference for pair in comparisons for difference in pair.differences.values())
    )
    yield ""
    names = list(comparisons[0].differences)
    yield from table_head(["labelled", "method", "minus", "seeds", *names])
    for pair in comparisons:
        cells = [show_difference(pair.differences[name]) for name in names]
        seeds_told = ", ".join(map(str, pair.seeds))
        yield table_row([str(pair.num_labeled), title(pair.method), title(pair.baseline), seeds_told, *cells])


def commands(experiment: Experiment, finished: Sequence[Finished]) -> list[str]:
    """Commands that run exactly these cells, methods with the same labelled counts and seeds in one."""
    runs: dict[tuple[str, ...], list[str]] = {}
    done: dict[tuple[Method, int], list[int]] = {}
    for one in finished:
        done.setdefault((one.cell.method, one.cell.num_labeled), []).append(one.cell.seed)
    for method in dict.fromkeys(method for method, _ in done):
        by_seeds: dict[tuple[str, ...], list[str]] = {}
        for (own, count), seeds in done.items():
            if own == method:
                by_seeds.setdefault(tuple(map(str, sorted(seeds))), []).append(str(count))
        for seeds_told, counts in by_seeds.items():
            runs.setdefault(("--num-labeled", *counts, "--seeds", *seeds_told), []).append(str(method))
    shared = ["--bundle", experiment.as_dict()["bundle"], "--data", "DATA"]
    shared += ["--preset", experiment.preset] if experiment.preset else []
    shared += ["--max-iterations", str(experiment.max_iterations)] if experiment.max_iterations else []
    shared += ["--vary-draw"] * experiment.vary_draw + ["--no-tta"] * (not experiment.tta)
    shared += ["--networks", str(experiment.networks)] if experiment.networks > 1 else []
    for name, text in experiment.overrides.items():
        shared += [f"--{name}", *([] if text is None else [text])]
    return [
        shlex.join(["scripts/reproduce.py", *shared, "--methods", *methods, *cells, "--out", "OUT"])
        for cells, methods in runs.items()
    ]
