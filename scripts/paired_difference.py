#!/usr/bin/env python3
"""Compare cells of different folders of `reproduce.py`, such as those of two presets, in Dice by case.

    scripts/paired_difference.py scripts/reproduced/acdc_supmix:self_training \
        scripts/reproduced/acdc_supmix:supervised@6500 --num-labeled 3

prints mean and standard deviation of both over seeds, in %, and the first minus the second in points, with the
interval of a bootstrap that draws seeds and patients with all of their cases. With `--iou` the figures are IoU over the
whole test set, as in tables, of each foreground class and their mean.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from reproduction.case_dice import case_dice
from reproduction.evidence import Evidence, Finished
from reproduction.experiment import Method
from reproduction.statistics import check_same_data

from monai_supmix.config.error_lines import told_mistake
from monai_supmix.errors import InputError
from monai_supmix.metrics import class_differences, iou, paired_case_bootstrap
from monai_supmix.metrics.overlap import mean_present
from monai_supmix.metrics.paired import FOREGROUND, is_in_truth, mean_sd, show_difference, why_no_interval


def cells_of(text: str, num_labeled: int) -> dict[int, Finished]:
    """Finished cells of ``FOLDER:METHOD[@N]``, by seed.

    Raises:
        InputError: the folder has none.
    """
    folder, _, name = text.rpartition(":")
    method = Method.parse(name)
    finished = Evidence(Path(folder or ".")).finished()
    cells = {
        one.cell.seed: one for one in finished if one.cell.method == method and one.cell.num_labeled == num_labeled
    }
    if not cells:
        there = sorted({f"{one.cell.method} with {one.cell.num_labeled} labelled" for one in finished})
        remedy = f"it has {', '.join(there)}" if there else "name the folder of an experiment.json, then : and a method"
        raise InputError(text, f"there is no finished cell of {name} with {num_labeled} labelled", remedy)
    return cells


def by_class(counts: np.ndarray, class_names: Sequence[str]) -> dict[str, list[float]]:
    """IoU of each foreground class and of their mean, in %, by seed; nothing for a class that no test image shows.

    Args:
        counts: ``(seeds, cases, C, 3)``.
        class_names: names of the classes, background first.
    """
    of_seeds = counts.sum(axis=1)
    figures = 100 * np.where(is_in_truth(of_seeds), iou(of_seeds), np.nan)[:, 1:]
    by_name = dict(zip(class_names[1:], figures.T, strict=True)) | {FOREGROUND: mean_present(figures)}
    return {name: [] if np.isnan(values).all() else values.tolist() for name, values in by_name.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the comparison; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", metavar="FOLDER:METHOD[@N]")
    parser.add_argument("theirs", metavar="FOLDER:METHOD[@N]")
    parser.add_argument("--num-labeled", "--num_labeled", type=int, required=True)
    parser.add_argument("--iou", action="store_true", help="IoU over the whole test set instead of Dice by case")
    arguments = parser.parse_args(argv)
    try:
        pair = [cells_of(text, arguments.num_labeled) for text in (arguments.ours, arguments.theirs)]
        seeds = sorted(pair[0].keys() & pair[1].keys())
        if not seeds:
            raise InputError("cells", "have no seed in common", "run both with the same seeds")
        check_same_data([cells[seed] for cells in pair for seed in seeds])
        if other := [seed for seed in seeds if pair[0][seed].record["labeled"] != pair[1][seed].record["labeled"]]:
            raise InputError(
                "cells", f"of seed {other[0]} saw different labelled images", "compare cells of equal draws"
            )
    except Exception as error:
        return told_mistake(error)
    seeds_told = f"(seeds {', '.join(map(str, seeds))})"
    first = pair[0][seeds[0]]
    if arguments.iou:
        ours, theirs = (np.stack([cells[seed].counts for seed in seeds]) for cells in pair)
        means = [by_class(counts, first.class_names) for counts in (ours, theirs)]
        for name, difference in class_differences(ours, theirs, first.groups, first.class_names).items():
            both = " against ".join(mean_sd(side[name]) for side in means)
            print(
                f"{name}: {both}: {show_difference(difference)} {seeds_told}" if means[0][name] else f"{name}: absent"
            )
        return 0
    figures = [np.stack([case_dice(cells[seed]) for seed in seeds]) for cells in pair]
    for text, figure in zip((arguments.ours, arguments.theirs), figures, strict=True):
        print(f"{text}: {mean_sd([100 * np.nanmean(row) for row in figure])}")
    difference = paired_case_bootstrap(*figures, first.groups)
    line = f"difference: {show_difference(difference)} {seeds_told}"
    print(f"{line}.{why}" if (why := why_no_interval([difference])) else line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
