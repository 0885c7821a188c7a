"""Which cells are compared with which, and that they were made of the same data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.metrics.paired import Difference, class_differences
from reproduction.evidence import Finished
from reproduction.experiment import Method

BASELINES = ("supervised", "unimatch")


@dataclass(frozen=True)
class Comparison:
    """A method against a baseline.

    Args:
        num_labeled: number of labelled images.
        method: what is compared ...
        baseline: ... with what.
        seeds: those that both were run with.
        num_groups: number of test patients.
        differences: by class, and ``foreground`` for the mean over all foreground classes if there are several.
    """

    num_labeled: int
    method: Method
    baseline: Method
    seeds: tuple[int, ...]
    num_groups: int
    differences: dict[str, Difference]


def compare(finished: Sequence[Finished]) -> Iterator[Comparison]:
    """Compare every method with the baselines, `BASELINES` of any length, seed by seed.

    Args:
        finished: cells of one experiment.

    Yields:
        in the order of the tables; pairs of methods without a common seed are left out.

    Raises:
        InputError: cells were made of different data.
    """
    check_same_data(finished)
    places = {(one.cell.num_labeled, one.cell.method): one.cell.method.place for one in finished}
    for count, method in sorted(places, key=lambda key: (key[0], places[key])):
        for other in sorted((m for n, m in places if n == count and m.name in BASELINES), key=lambda m: m.place):
            # Among the baselines each pair once.
            if other == method or (method.name in BASELINES and method.place < other.place):
                continue
            pair = [{one.cell.seed: one for one in _of(finished, count, m)} for m in (method, other)]
            seeds = tuple(sorted(pair[0].keys() & pair[1].keys()))
            if not seeds:
                continue
            ours, theirs = (np.stack([cells[seed].counts for seed in seeds]) for cells in pair)
            first = pair[0][seeds[0]]
            differences = class_differences(ours, theirs, first.groups, first.class_names)
            yield Comparison(count, method, other, seeds, len(set(first.groups)), differences)


def _of(finished: Sequence[Finished], count: int, method: Method) -> list[Finished]:
    return [one for one in finished if one.cell.num_labeled == count and one.cell.method == method]


def check_same_data(finished: Sequence[Finished]) -> None:
    """Raise `InputError` unless all cells were tested on the same images, and trained on the same draws.

    Args:
        finished: cells of one experiment.
    """
    draws: dict[tuple[int, int], Finished] = {}
    for one in finished:
        first = finished[0]
        if (one.cases, one.groups) != (first.cases, first.groups):
            raise _other_data(one, first, "were tested on different images")
        drawn = draws.setdefault((one.cell.num_labeled, one.record["labeled_seed"]), one)
        if one.record["labeled"] != drawn.record["labeled"]:
            raise _other_data(one, drawn, "saw different labelled images of one draw")


def _other_data(one: Finished, other: Finished, problem: str) -> InputError:
    remedy = "remove the one that was made of other data than --data, or choose another --out"
    return InputError(one.cell.name, f"and {other.cell.name} {problem}", remedy)
