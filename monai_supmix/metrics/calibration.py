"""From a network's confidence to the Dice that its mask may have, learnt from cases whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from monai_supmix.listing import counted
from monai_supmix.metrics.dataset import CaseMeasures
from monai_supmix.metrics.overlap import dice

LOOK_BELOW = 0.7
"""A mask whose predicted Dice is below this, in any class, is flagged."""
COVERAGE = 0.9
"""How many of the classes of new cases of the same kind an interval is meant to hold."""
LEAST_VALUES = 9
"""With fewer known values nothing is learnt."""
_LEAST_CASES = 9  # with fewer no interval is sure to have this coverage: the values of one case resemble one another
_MOST_PARTS = 20
_MOST_VALUES = 1000  # that a line is drawn through: their pairs are half a million
_WIDE = 0.3  # half an interval that tells little
_EQUAL = 1e-3  # confidences have three decimals


@dataclass(frozen=True)
class Calibration:
    """A straight line from confidence to Dice, the same for all classes, and how far the known cases lie from it.

    Args:
        slope: Dice for each unit of confidence, at least 0.
        intercept: Dice at confidence 0.
        margin: half the width of the interval.
        values: how many values (cases times classes) it was learnt from.
        inference: settings of the inferer that the confidences are of: with others they are others.
        usual: median of the confidences that it was learnt from.
        cases: how many cases these values are of; 0 where a file of an earlier version does not tell.

    Example:
        >>> Calibration(slope=1.5, intercept=-0.6, margin=0.1, values=18).predict(0.8)
        {'dice': 0.6, 'low': 0.5, 'high': 0.7, 'look': True}
    """

    slope: float
    intercept: float
    margin: float
    values: int
    inference: Mapping[str, Any] = field(default_factory=dict)
    usual: float = 0.9
    cases: int = 0

    def predict(self, confidence: float) -> dict[str, Any]:
        """The Dice to expect of a class, its interval, and whether the mask should be looked at.

        Args:
            confidence: mean probability inside the class's mask.
        """
        expected = min(max(self.slope * confidence + self.intercept, 0.0), 1.0)
        low, high = max(0.0, expected - self.margin), min(1.0, expected + self.margin)
        return {
            "dice": round(expected, 3),
            "low": round(low, 3),
            "high": round(high, 3),
            "look": expected < LOOK_BELOW,
        }

    def in_words(self) -> str:
        """What it says of a mask that the network is as sure of as usual, in a sentence.

        Example:
            >>> Calibration(slope=1.5, intercept=-0.6, margin=0.1, values=18, usual=0.9, cases=9).in_words()
            'a mask with mean confidence 0.90 is expected to have a Dice of 0.75 ± 0.10 (90 %), learnt from 9 cases'
        """
        expected = f"{self.predict(self.usual)['dice']:.2f} ± {self.margin:.2f} ({100 * COVERAGE:.0f} %)"
        sentence = f"a mask with mean confidence {self.usual:.2f} is expected to have a Dice of {expected}"
        sentence += f", learnt from {counted(self.cases, 'case') if self.cases else counted(self.values, 'value')}"
        if self.margin > _WIDE:
            return f"{sentence}: so wide an interval tells little of a single mask"
        few = 0 < self.cases < _LEAST_CASES
        return f"{sentence}: so few that the interval may be too narrow" if few else sentence

    def plain(self) -> dict[str, Any]:
        """The arguments, as JSON has them."""
        return asdict(self)


def calibrate(cases: Iterable[CaseMeasures], inference: Mapping[str, Any] | None = None) -> Calibration | None:
    """Learn from cases that the network has not seen.

    The slope is the median of those between all pairs (Theil-Sen), which few odd cases do not move. The margin is a
    quantile of how far cases lie from lines that were drawn without them, around the line of all cases (the
    cross-validated residuals of Barber, Candès, Ramdas and Tibshirani, "Predictive inference with the jackknife+",
    2021, of whose intervals only those around each of the lines have a proven coverage), at the level that so many
    cases need.

    Args:
        cases: with ``confidence``; a class counts where the mask has it, also where the truth has not.
        inference: settings of the inferer.

    Returns:
        the calibration, or None where fewer than `LEAST_VALUES` values are known, all are of one case, or confidence is
        always the same.

    Example:
        >>> def case(tp, fp, sure): return CaseMeasures(np.array([[9, 0, 0], [tp, fp, 0]]), confidence=(None, sure))
        >>> learnt = calibrate(case(tp, 100 - tp, 0.5 + tp / 200) for tp in range(50, 100, 5))
        >>> learnt.predict(0.9)["dice"], learnt.values
        (0.885, 10)
    """
    points = [
        (number, sure, overlap)
        for number, case in enumerate(cases)
        for sure, overlap in zip(case.confidence or (), dice(case.counts).tolist(), strict=False)
        if sure is not None and not math.isnan(overlap)
    ]
    if len(points) < LEAST_VALUES:
        return None
    numbers, sure, overlap = np.array(points).T
    of_case = np.unique(numbers, return_inverse=True)[1]
    num_cases = int(of_case.max()) + 1
    if np.ptp(sure) <= _EQUAL or num_cases == 1:
        return None
    slope, intercept = _line(sure, overlap)
    part, distances = of_case % _MOST_PARTS, np.zeros(len(points))
    for left_out in (part == number for number in range(min(num_cases, _MOST_PARTS))):
        without = _line(sure[~left_out], overlap[~left_out])
        distances[left_out] = np.abs(overlap[left_out] - np.clip(without[0] * sure[left_out] + without[1], 0, 1))
    level = min(1.0, COVERAGE * (1 + 1 / num_cases))
    margin = float(np.quantile(distances, level, method="higher"))
    line = (round(slope, 4), round(intercept, 4), round(margin, 4))
    return Calibration(*line, len(points), dict(inference or {}), round(float(np.median(sure)), 3), num_cases)


def _line(sure: np.ndarray, overlap: np.ndarray) -> tuple[float, float]:
    """Slope, at least 0, and intercept of the line through values; a level one where all are of one confidence."""
    if len(sure) > _MOST_VALUES:  # not every n-th one, which could be of the same class in each case
        drawn = np.random.default_rng(0).choice(len(sure), _MOST_VALUES, replace=False)
        sure, overlap = sure[drawn], overlap[drawn]
    first, second = np.triu_indices(len(sure), 1)
    apart = np.abs(sure[second] - sure[first]) > _EQUAL
    slopes = (overlap[second] - overlap[first])[apart] / (sure[second] - sure[first])[apart]
    slope = max(0.0, float(np.median(slopes))) if len(slopes) else 0.0
    return slope, float(np.median(overlap - slope * sure))


def from_plain(values: Mapping[str, Any]) -> Calibration:
    """Make a calibration from what `Calibration.plain` gave.

    Raises:
        KeyError, TypeError, ValueError: when it is none.

    Example:
        >>> line = Calibration(1.5, -0.6, 0.1, 18)
        >>> from_plain(line.plain()) == line
        True
    """
    slope, intercept, margin = (float(values[key]) for key in ("slope", "intercept", "margin"))
    usual, cases = float(values.get("usual", Calibration.usual)), int(values.get("cases", 0))  # as of earlier files
    return Calibration(slope, intercept, margin, int(values["values"]), dict(values["inference"]), usual, cases)
