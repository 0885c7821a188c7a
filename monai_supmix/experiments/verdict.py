"""What a comparison says to do, in a sentence."""

from __future__ import annotations

from collections.abc import Sequence

from monai_supmix.experiments.results import Pair
from monai_supmix.listing import counted
from monai_supmix.metrics.paired import Difference

MIN_SEEDS, MIN_GROUPS, MIN_STEPS = 3, 5, 200
"""Below any of these no interval is a finding, however narrow: it does not show how much another start would change."""


def shortcomings(num_seeds: int, num_groups: int, steps: int, group: str = "patient") -> list[str]:
    """What a comparison has too little of to be a finding.

    Args:
        num_seeds: seeds of each method.
        num_groups: patients that are judged.
        steps: iterations of a training.
        group: what is counted as a patient, such as an image where nobody knows the patients.

    Example:
        >>> shortcomings(num_seeds=1, num_groups=8, steps=20)
        ['1 seed (3 or more are needed)', '20 steps (200 or more are needed)']
        >>> shortcomings(3, 5, 200)
        []
    """
    counts = ((num_seeds, "seed", MIN_SEEDS), (num_groups, group, MIN_GROUPS), (steps, "step", MIN_STEPS))
    return [f"{counted(number, name)} ({least} or more are needed)" for number, name, least in counts if number < least]


def verdict(pairs: Sequence[Pair], baseline: str, short_of: Sequence[str]) -> str:
    """Say which method to use, and how sure that is.

    A method is recommended where the intervals of its gain over the baseline lie above 0 at equal steps and at equal
    time; of several such methods, that with the largest gain at equal time. Otherwise the baseline is, the simpler one.

    Args:
        pairs: from `monai_supmix.experiments.results.pair_up`.
        baseline: name of the baseline.
        short_of: from `shortcomings`; with any nothing is recommended on account of the figures.
    """
    if short_of:
        return f"Too little to tell the methods apart: {', '.join(short_of)}. Until then use {baseline}."
    by_method: dict[str, dict[bool, Pair]] = {}
    for pair in pairs:
        by_method.setdefault(pair.method.method, {})[pair.timed] = pair
    compared = [(both[False], both[True]) for both in by_method.values() if len(both) == 2]
    if not compared:
        return "Nothing is compared yet."
    better = [both for both in compared if all(pair.overall.low > 0 for pair in both)]
    if better:
        usual, timed = max(better, key=lambda both: both[1].overall.mean)
        return (
            f"Use {usual.method.method}: its IoU is higher than that of {baseline} by {_points(usual.overall)} at "
            f"{usual.at} ({usual.method.steps}), and by {_points(timed.overall)} at equal time."
        )
    at_steps = [both for both in compared if both[0].overall.low > 0]
    if at_steps:
        usual, timed = max(at_steps, key=lambda both: both[0].overall.mean)
        return (
            f"Use {baseline} with {timed.baseline.steps} steps: {usual.method.method} gains {_points(usual.overall)} "
            f"at {usual.at}, and is not shown to be better than a training of {baseline} that takes as long "
            f"({_points(timed.overall)})."
        )
    differences = "; ".join(f"{timed.method.method} {_points(timed.overall)}" for _, timed in compared)
    worse = all(timed.overall.high < 0 for _, timed in compared)
    shown = "the others are worse" if worse else "no other method is shown to be better"
    return f"Use {baseline}: {shown} (difference of IoU at equal time: {differences})."


def _points(difference: Difference) -> str:
    """A difference in words.

    Example:
        >>> _points(Difference(0.0123, 0.004, 0.02))
        '+1.2 points (+0.4 to +2.0)'
    """
    return f"{100 * difference.mean:+.1f} points ({100 * difference.low:+.1f} to {100 * difference.high:+.1f})"
