"""How much better one method is than another, and how sure that is: a bootstrap over seeds and patients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.metrics import iou
from reproduction.evidence import Finished
from reproduction.experiment import Method

RESAMPLES, CONFIDENCE = 10_000, 0.95
BASELINES = ("supervised", "unimatch")


@dataclass(frozen=True)
class Difference:
    """A mean difference of IoU with its interval, fractions; NaN where the truth does not have the class."""

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
        >>> found = paired_bootstrap(ours, theirs, ["a", "b"], classes=[0])
        >>> np.round([found.mean, found.low, found.high], 3).tolist()  # 14/20 - 9/20, 0.6 - 0.5, 0.8 - 0.4
        [0.25, 0.1, 0.4]
    """
    if ours.shape != theirs.shape or ours.shape[1] != len(groups):
        raise ValueError(f"counts have shapes {ours.shape} and {theirs.shape}, of {len(groups)} cases")
    index = np.unique(list(groups), return_inverse=True)[1]
    membership = (index[:, None] == np.arange(index.max() + 1)).astype(np.float64)  # (N, G)
    summed = [np.einsum("ng,snck->sgck", membership, counts[:, :, list(classes)]) for counts in (ours, theirs)]
    num_seeds, num_groups = summed[0].shape[:2]
    random = np.random.default_rng(seed)
    drawn_groups = random.multinomial(num_groups, np.full(num_groups, 1 / num_groups), resamples)
    drawn_seeds = random.multinomial(num_seeds, np.full(num_seeds, 1 / num_seeds), resamples) / num_seeds

    def difference(times: np.ndarray) -> np.ndarray:
        """Per draw and seed, for the number of times that each group was drawn, ``(R, G)``."""
        drawn = (np.einsum("rg,sgck->rsck", times, counts) for counts in summed)
        values = [_mean_present(np.where(_is_in_truth(counts), iou(counts), np.nan)) for counts in drawn]
        return values[0] - values[1]

    mean = float(difference(np.ones((1, num_groups))).mean())
    draws = (difference(drawn_groups) * drawn_seeds).sum(axis=1)
    draws = draws[~np.isnan(draws)]  # a draw of patients none of whom has the class says nothing of it
    if not draws.size:
        return Difference(mean, float("nan"), float("nan"))
    low, high = np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Difference(mean, float(low), float(high))


def _is_in_truth(counts: np.ndarray) -> np.ndarray:
    """Whether the truth has a class at all: TP + FN > 0."""
    return counts[..., 0] + counts[..., 2] > 0


def _mean_present(values: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is left."""
    present = ~np.isnan(values)
    total = np.where(present, values, 0.0).sum(axis=-1)
    count = present.sum(axis=-1)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)


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
            foreground = range(1, len(first.class_names))
            differences = {first.class_names[c]: paired_bootstrap(ours, theirs, first.groups, [c]) for c in foreground}
            if len(foreground) > 1:
                differences["foreground"] = paired_bootstrap(ours, theirs, first.groups, list(foreground))
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
