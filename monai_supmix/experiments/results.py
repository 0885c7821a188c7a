"""Figures of several methods on the same cases: one row for each method and length, and paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monai_supmix.metrics.overlap import iou
from monai_supmix.metrics.paired import FOREGROUND, Difference, class_differences

EQUAL_STEPS, OWN_STEPS, EQUAL_TIME = "equal steps", "its own steps", "equal time"
_ABOUT_AS_LONG = 0.1  # of a training's time: what two measurements of the same training can differ by


@dataclass(frozen=True)
class Row:
    """A method at one length.

    Args:
        method: its name.
        steps: iterations of a training.
        seconds: mean duration of a training.
        seeds: the seeds it was trained with.
        counts: TP, FP, FN by seed, case and class, ``(num_seeds, num_cases, C, 3)``.
        long: whether it was given the time of a slower method, in place of the steps that all have.
    """

    method: str
    steps: int
    seconds: float
    seeds: tuple[int, ...]
    counts: np.ndarray
    long: bool = False

    @property
    def iou(self) -> np.ndarray:
        """IoU of counts summed over all cases, by seed and class, ``(num_seeds, C)``."""
        return np.asarray(iou(self.counts.sum(axis=1)))


@dataclass(frozen=True)
class Pair:
    """A method against the baseline.

    Args:
        method: the method's row.
        baseline: the baseline's row.
        at: `EQUAL_STEPS`, or `OWN_STEPS` for a method that the configuration trains longer or shorter; or `EQUAL_TIME`.
        seeds: those that both were trained with.
        differences: method minus baseline, by class.
    """

    method: Row
    baseline: Row
    at: str
    seeds: tuple[int, ...]
    differences: Mapping[str, Difference]

    @property
    def timed(self) -> bool:
        """Whether the baseline was given the method's time."""
        return self.at == EQUAL_TIME

    @property
    def overall(self) -> Difference:
        """The difference over all classes other than background."""
        return self.differences.get(FOREGROUND) or next(iter(self.differences.values()))


def equal_time_steps(seconds: Mapping[str, float], baseline: str, steps: int) -> dict[str, int]:
    """How many iterations of the baseline take as long as each of the other methods.

    Methods that take about as long share the number of the slowest of them, and one that takes about as long as the
    baseline, or less, has the baseline's own.

    Args:
        seconds: mean duration of a training by method, the baseline among them.
        baseline: its name.
        steps: iterations of the baseline in its seconds.

    Returns:
        iterations by method, the baseline aside.

    Example:
        >>> equal_time_steps({"supervised": 100.0, "supmix": 290.0, "sufd": 300.0, "quick": 105.0}, "supervised", 1000)
        {'sufd': 3000, 'supmix': 3000, 'quick': 1000}
    """
    long_steps: dict[str, int] = {}
    given = 0.0
    for method in sorted(seconds.keys() - {baseline}, key=lambda name: (-seconds[name], name)):
        if not long_steps or seconds[method] < given * (1 - _ABOUT_AS_LONG):
            given = seconds[method]
        ratio = given / seconds[baseline]
        long_steps[method] = steps if ratio <= 1 + _ABOUT_AS_LONG else round(steps * ratio)
    return long_steps


def settled(found: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Keep what was found before as long as it is about the same: times vary from one measurement to the next.

    Args:
        found: from `equal_time_steps`.
        before: what it was when longer trainings of the baseline were begun.

    Example:
        >>> settled({"supmix": 2950}, {"supmix": 3000}), settled({"supmix": 2000}, {"supmix": 3000})
        ({'supmix': 3000}, {'supmix': 2000})
    """
    kept = {method: before[method] for method in found if method in before}
    is_same = len(kept) == len(found) and all(
        abs(found[method] / steps - 1) <= _ABOUT_AS_LONG for method, steps in kept.items()
    )
    return kept if is_same else dict(found)


def pair_up(
    rows: Sequence[Row], baseline: str, long_steps: Mapping[str, int], groups: Sequence[str], class_names: Sequence[str]
) -> list[Pair]:
    """Compare every method with the baseline, at equal steps and at equal time, seed by seed.

    Args:
        rows: all rows, judged on the same cases.
        baseline: name of the baseline.
        long_steps: see `equal_time_steps`; empty as long as nobody knows.
        groups: the patient of each case.
        class_names: names of the classes, background first.

    Returns:
        in the order of the rows; pairs without a common seed are left out.
    """
    own = {row.steps: row for row in rows if row.method == baseline}
    usual = next((row for row in own.values() if not row.long), None)
    pairs = []
    for row in rows:
        if row.method == baseline:
            continue
        timed = own.get(long_steps.get(row.method, -1))
        as_long = usual is not None and usual.steps == row.steps
        for at, other in ((EQUAL_STEPS if as_long else OWN_STEPS, usual), (EQUAL_TIME, timed)):
            seeds = tuple(seed for seed in row.seeds if other is not None and seed in other.seeds)
            if other is not None and seeds:
                ours, theirs = (side.counts[[side.seeds.index(seed) for seed in seeds]] for side in (row, other))
                pairs.append(Pair(row, other, at, seeds, class_differences(ours, theirs, groups, class_names)))
    return pairs
