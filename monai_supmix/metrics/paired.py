"""Two methods judged on the same cases: the difference of their IoU, and how sure it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from monai_supmix.metrics.overlap import iou, mean_present

RESAMPLES, CONFIDENCE = 10_000, 0.95
FOREGROUND = "foreground"
"""Name of the mean over all classes other than background."""


@dataclass(frozen=True)
class Difference:
    """A mean difference of IoU with its interval, fractions; NaN where the truth does not have the class.

    The interval alone is NaN where one seed and one patient are all there is: nothing tells how much others vary.

    Example:
        >>> show_difference(Difference(mean=0.0123, low=0.004, high=0.02))
        '**+1.23 [+0.40, +2.00]**'
    """

    mean: float
    low: float
    high: float


def paired_bootstrap(
    ours: np.ndarray,
    theirs: np.ndarray,
    groups: Sequence[str],
    classes: Sequence[int],
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Difference:
    """The mean over seeds of the paired difference of two methods' IoU, with a two-level bootstrap interval.

    Seeds and groups (patients) are both drawn with replacement, independently of each other, for every seed
    was tested on the same patients. An IoU is that of counts summed over the drawn patients' cases, as in the
    tables, never a mean of IoUs of cases. The interval is the percentile interval.

    Args:
        ours: TP, FP, FN of one method, ``(num_seeds, num_cases, C, 3)``.
        theirs: of the other method, same seeds and cases.
        groups: the patient of each case.
        classes: the IoU is the mean over these classes, as far as the drawn patients' truth has them: what is
            predicted of others must not decide over how many classes one method's mean is taken.
        resamples: number of draws.
        confidence: share of the draws inside the interval.
        seed: of the draws.

    Returns:
        our IoU minus theirs, in fractions.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> ours = np.array([[[[6, 2, 2]], [[8, 1, 1]]]])  # one seed, two patients, one class
        >>> theirs = np.array([[[[5, 2, 3]], [[4, 3, 3]]]])
        >>> gain = paired_bootstrap(ours, theirs, ["a", "b"], classes=[0])
        >>> np.round([gain.mean, gain.low, gain.high], 3).tolist()  # 14/20 - 9/20, 0.6 - 0.5, 0.8 - 0.4
        [0.25, 0.1, 0.4]
    """
    membership = _membership(ours, theirs, groups)
    summed = [np.einsum("ng,snck->sgck", membership, counts[:, :, list(classes)]) for counts in (ours, theirs)]
    num_seeds, num_groups = summed[0].shape[:2]
    drawn_groups, drawn_seeds = _draw(num_seeds, num_groups, resamples, seed)

    def difference(times: np.ndarray) -> np.ndarray:
        """Per draw and seed, for the number of times that each group was drawn, ``(R, G)``."""
        drawn = (np.einsum("rg,sgck->rsck", times, counts) for counts in summed)
        values = [mean_present(np.where(is_in_truth(counts), iou(counts), np.nan)) for counts in drawn]
        return values[0] - values[1]

    mean = float(difference(np.ones((1, num_groups))).mean())
    lone = num_seeds * is_in_truth(summed[0][0]).any(axis=-1).sum() == 1
    return _with_interval(mean, _over_seeds(difference(drawn_groups), drawn_seeds), lone, confidence)


def paired_case_bootstrap(
    ours: np.ndarray,
    theirs: np.ndarray,
    groups: Sequence[str],
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> Difference:
    """The mean over seeds and cases of the paired difference of a figure that each case has, such as its Dice.

    Seeds and groups (patients, with all their cases) are both drawn with replacement; the interval is the percentile
    interval. A drawn seed that has a figure of no drawn case is left out of its draw's mean.

    Args:
        ours: the figure of one method, ``(num_seeds, num_cases)``, NaN where a case has none.
        theirs: of the other method, same seeds and cases.
        groups: the patient of each case.
        resamples: number of draws.
        confidence: share of the draws inside the interval.
        seed: of the draws.

    Returns:
        our mean minus theirs.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> gain = paired_case_bootstrap(np.array([[0.9, 0.8, 0.7]]), np.array([[0.8, 0.8, 0.6]]), ["a", "a", "b"])
        >>> np.round([gain.mean, gain.low, gain.high], 3).tolist()  # (0.1 + 0 + 0.1) / 3; patient a; patient b
        [0.067, 0.05, 0.1]
    """
    membership, difference = _membership(ours, theirs, groups), ours - theirs
    present = ~np.isnan(difference)
    sums, counts = np.where(present, difference, 0.0) @ membership, present @ membership  # (S, G)
    if not counts.sum(axis=1).all():
        return Difference(float("nan"), float("nan"), float("nan"))
    drawn_groups, drawn_seeds = _draw(sums.shape[0], sums.shape[1], resamples, seed)
    drawn = drawn_groups @ counts.T
    means = np.divide(drawn_groups @ sums.T, drawn, out=np.full(drawn.shape, np.nan), where=drawn > 0)
    mean = float((sums.sum(axis=1) / counts.sum(axis=1)).mean())
    lone = np.count_nonzero(counts) == 1
    return _with_interval(mean, _over_seeds(means, drawn_seeds), lone, confidence)


def _membership(ours: np.ndarray, theirs: np.ndarray, groups: Sequence[str]) -> np.ndarray:
    """Which case is of which group, 0 or 1, ``(N, G)``; raises `ValueError` where the shapes differ."""
    if ours.shape != theirs.shape or ours.shape[1] != len(groups):
        raise ValueError(f"what is compared has shapes {ours.shape} and {theirs.shape}, of {len(groups)} cases")
    index = np.unique(list(groups), return_inverse=True)[1]
    return (index[:, None] == np.arange(index.max() + 1)).astype(np.float64)


def _draw(num_seeds: int, num_groups: int, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """How many times each group is drawn, ``(R, G)``, and the share of each seed among the drawn ones, ``(R, S)``."""
    random = np.random.default_rng(seed)
    drawn_groups = random.multinomial(num_groups, np.full(num_groups, 1 / num_groups), resamples)
    drawn_seeds = random.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), resamples)
    return drawn_groups, drawn_seeds / num_seeds


def _over_seeds(values: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The mean of each draw, ``(R,)``, over those of its seeds that have a value; NaN where none has.

    Args:
        values: ``(R, S)``, NaN where a seed has none in a draw.
        shares: of each seed among the drawn ones, ``(R, S)``.
    """
    without = np.isnan(values)
    left = 1 - np.where(without, shares, 0).sum(axis=1)  # exactly 1 where none is without
    total = (np.where(without, 0, values) * shares).sum(axis=1)
    some = (~without & (shares > 0)).any(axis=1)
    return np.divide(total, left, out=np.full(total.shape, np.nan), where=some)


def _with_interval(mean: float, draws: np.ndarray, lone: bool, confidence: float) -> Difference:
    """The percentile interval of draws; those of patients none of whom has the class or figure say nothing of it."""
    draws = draws[~np.isnan(draws)]
    if lone or not draws.size:
        return Difference(mean, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(mean, float(low), float(high))


def is_in_truth(counts: np.ndarray) -> np.ndarray:
    """Whether the truth has a class at all: TP + FN > 0.

    Args:
        counts: TP, FP and FN, ``(..., C, 3)``.

    Example:
        >>> is_in_truth(np.array([[5, 0, 1], [0, 3, 0]]))
        array([ True, False])
    """
    return counts[..., 0] + counts[..., 2] > 0


def class_differences(
    ours: np.ndarray, theirs: np.ndarray, groups: Sequence[str], class_names: Sequence[str]
) -> dict[str, Difference]:
    """The difference of two methods in each class other than background.

    Args:
        ours: see `paired_bootstrap`.
        theirs: see `paired_bootstrap`.
        groups: the patient of each case.
        class_names: names of the classes, background first.

    Returns:
        by class, and where there are several also ``foreground`` for the mean over them.

    Example:
        >>> ours = np.array([[[[9, 0, 0], [6, 2, 2]], [[9, 0, 0], [8, 1, 1]]]])
        >>> class_differences(ours, ours, ["a", "b"], ["background", "vessel"])
        {'vessel': Difference(mean=0.0, low=0.0, high=0.0)}
    """
    foreground = range(1, len(class_names))
    differences = {class_names[c]: paired_bootstrap(ours, theirs, groups, [c]) for c in foreground}
    if len(foreground) > 1:
        differences[FOREGROUND] = paired_bootstrap(ours, theirs, groups, list(foreground))
    return differences


def mean_sd(values: Sequence[float] | np.ndarray) -> str:
    """Mean and sample standard deviation.

    Example:
        >>> mean_sd([60.0, 61.0, 62.0]), mean_sd([60.0]), mean_sd([])
        ('61.00 ± 1.00', '60.00', '-')
    """
    if not len(values):
        return "-"
    if len(values) == 1:
        return f"{values[0]:.2f}"
    return f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}"


def show_difference(found: Difference, bold: bool = True) -> str:
    """A difference in percentage points with its interval.

    Args:
        found: the difference.
        bold: whether an interval without 0 is in bold, as Markdown has it.

    Example:
        >>> show_difference(Difference(0.0123, 0.004, 0.02)), show_difference(Difference(-0.001, -0.01, 0.02))
        ('**+1.23 [+0.40, +2.00]**', '-0.10 [-1.00, +2.00]')
        >>> show_difference(Difference(0.01, float("nan"), float("nan")))
        '+1.00'
        >>> show_difference(Difference(float("nan"), float("nan"), float("nan")))
        '-'
    """
    if np.isnan(found.mean):
        return "-"
    if np.isnan(found.low):
        return f"{100 * found.mean:+.2f}"
    text = f"{100 * found.mean:+.2f} [{100 * found.low:+.2f}, {100 * found.high:+.2f}]"
    return f"**{text}**" if bold and (found.low > 0 or found.high < 0) else text


def why_no_interval(found: Iterable[Difference]) -> str:
    """Say below a table why some of its differences have no interval; empty where all have one.

    Example:
        >>> why_no_interval([Difference(0.1, 0.0, 0.2)])
        ''
        >>> why_no_interval([Difference(0.1, float("nan"), float("nan"))])[:56]
        ' A difference without an interval is of one seed and one'
    """
    lone = any(np.isnan(difference.low) and not np.isnan(difference.mean) for difference in found)
    reason = "of one seed and one patient (or the only one who shows the class), which say nothing of others"
    return f" A difference without an interval is {reason}." if lone else ""
