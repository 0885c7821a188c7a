"""From scores of cases to those that are to be labelled next: among the least sure ones, those that differ most."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata

from monai_supmix.labelling.score import CaseScore

CONSIDERED = 1 / 3
"""Share of the pool, the least sure, that the suggestions are chosen from."""
_UNKNOWN = 0.5


@dataclass(frozen=True)
class Unit:
    """What is labelled together: a patient with all unlabelled images, or a single image.

    Args:
        name: the patient, or the image.
        cases: its images.
        doubt: mean of their `doubts`.
        suggested: whether it is to be labelled next.

    Example:
        >>> Unit("p1", (CaseScore("p1_ed", "p1"), CaseScore("p1_es", "p1")), doubt=0.5).suggested
        False
    """

    name: str
    cases: tuple[CaseScore, ...]
    doubt: float
    suggested: bool = False


def doubts(scores: Sequence[CaseScore]) -> list[float]:
    """How doubtful the network's masks are, beside those of the other cases.

    Args:
        scores: all cases of the pool.

    Returns:
        of each the mean of two ranks, of low confidence and of high disagreement, from 0 (the surest) to 1. A case of
        which one of them is not known is in the middle of that one; one that is known of no case is left out.

    Example:
        >>> pool = [CaseScore("a", "a", 0.9, "lesion", disagreement=0.1), CaseScore("b", "b", 0.6, disagreement=0.1)]
        >>> doubts(pool)
        [0.375, 0.625]
        >>> doubts([CaseScore("a", "a", 0.9), CaseScore("b", "b", 0.6), CaseScore("empty", "c")])
        [0.25, 0.75, 0.5]
    """
    measures = [[-math.inf if s.confidence is None else -s.confidence for s in scores]]
    measures += [[-math.inf if s.disagreement is None else s.disagreement for s in scores]]
    ranks = [ranked for measure in measures if (ranked := _ranks(np.array(measure))) is not None]
    return np.mean(ranks, axis=0).tolist() if ranks else [_UNKNOWN] * len(scores)


def _ranks(values: np.ndarray) -> np.ndarray | None:
    """Ranks in (0, 1) of what is finite, equal for equals; the middle for the rest."""
    finite = np.isfinite(values)
    if not finite.any():
        return None
    ranks = np.full(len(values), _UNKNOWN)
    ranks[finite] = (rankdata(values[finite]) - 0.5) / finite.sum()
    return ranks


def farthest_first(features: np.ndarray, taken: Sequence[int], candidates: Sequence[int], count: int) -> list[int]:
    """Choose points one after the other, each as far as can be from all that are taken already.

    The greedy solution of the k-center problem (Gonzalez 1985), as Sener and Savarese (2018) use it for labelling.

    Args:
        features: ``(n, d)``.
        taken: rows that are taken from the start.
        candidates: rows to choose from; of equally far ones the first.
        count: how many.

    Returns:
        rows in the order in which they are chosen.

    Example:
        >>> line = np.array([[0.0], [1.0], [2.0], [10.0]])
        >>> farthest_first(line, taken=[0], candidates=[1, 2, 3], count=2)  # 3, then 2, which is 2 away from 0
        [3, 2]
    """
    left, chosen = list(candidates), []
    nearest = np.full(len(features), np.inf)
    for row in taken:
        nearest = np.minimum(nearest, np.linalg.norm(features - features[row], axis=1))
    for _ in range(min(count, len(left))):
        row = left.pop(int(np.argmax(nearest[left])))
        chosen.append(row)
        nearest = np.minimum(nearest, np.linalg.norm(features - features[row], axis=1))
    return chosen


def choose(pool: Sequence[CaseScore], labelled: Sequence[CaseScore], count: int, by_patient: bool = True) -> list[Unit]:
    """Rank the pool: first what is to be labelled next, then the rest by doubt.

    The most doubtful unit comes first. The others are chosen from the most doubtful third, farthest first: each as
    different as can be from the labelled ones and from those chosen before, by their signatures.

    Args:
        pool: the unlabelled cases.
        labelled: the labelled ones, of which only the signatures count.
        count: how many units are suggested.
        by_patient: whether the cases of a patient are labelled together.

    Returns:
        all units of the pool.

    Example:
        >>> def case(name, confidence, brightness): return CaseScore(name, name[0], confidence, signature=(brightness,))
        >>> pool = [case("a1", 0.5, 0.5), case("a2", 0.5, 0.5), case("b1", 0.6, 0.5), case("c1", 0.7, 0.9)]
        >>> pool += [case(f"{letter}1", 0.95, 0.0) for letter in "defghi"]
        >>> [unit.name for unit in choose(pool, [case("z", None, 0.5)], count=2)][:3]  # c is bright, b is like a
        ['a', 'c', 'b']
    """
    name_of: Callable[[CaseScore], str] = (lambda score: score.group) if by_patient else (lambda score: score.case)
    grouped: dict[str, list[int]] = {}
    for index, score in enumerate(pool):
        grouped.setdefault(name_of(score), []).append(index)
    doubt, features = doubts(pool), _standardised([*pool, *labelled])
    units = {
        n: Unit(n, tuple(pool[i] for i in i_s), float(np.mean([doubt[i] for i in i_s]))) for n, i_s in grouped.items()
    }
    order = sorted(units, key=lambda name: (-units[name].doubt, name))
    rows = [features[grouped[name]].mean(axis=0) for name in order]
    num_units = len(order)
    considered = range(min(num_units, max(count, math.ceil(CONSIDERED * num_units))))
    taken = [0, *range(num_units, num_units + len(labelled))]
    chosen = [0, *farthest_first(np.stack([*rows, *features[len(pool) :]]), taken, considered[1:], count - 1)]
    first = [Unit(units[order[i]].name, units[order[i]].cases, units[order[i]].doubt, suggested=True) for i in chosen]
    return [*first, *(units[name] for i, name in enumerate(order) if i not in chosen)]


def _standardised(scores: Sequence[CaseScore]) -> np.ndarray:
    """Signatures with mean 0 and deviation 1 in each number; 0 where it is not known, or always the same."""
    values = np.array([[np.nan if v is None else v for v in score.signature] for score in scores], float)
    has_value = ~np.isnan(values)
    count = np.maximum(has_value.sum(axis=0), 1)
    centred = np.where(has_value, values - np.where(has_value, values, 0).sum(axis=0) / count, 0.0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=deviation > 1e-6)  # rounded to 1e-4
