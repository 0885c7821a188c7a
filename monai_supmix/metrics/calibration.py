"""From a network's confidence to the Dice that its mask may have, learnt from cases whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from monai_supmix.metrics.dataset import CaseMeasures
from monai_supmix.metrics.overlap import dice

LOOK_BELOW = 0.7
"""A mask whose predicted Dice is below this, in any class, is flagged."""
COVERAGE = 0.9
"""How many of the classes of new cases of the same kind an interval is meant to hold."""
LEAST_VALUES = 9
"""With fewer known values no interval has this coverage."""
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
            >>> Calibration(slope=1.5, intercept=-0.6, margin=0.1, values=18, usual=0.9).in_words()
            'a mask with mean confidence 0.90 is expected to have a Dice of 0.75 ± 0.10 (90 %), learnt from 18 values'
        """
        expected = f"{self.predict(self.usual)['dice']:.2f} ± {self.margin:.2f} ({100 * COVERAGE:.0f} %)"
        told = f"a mask with mean confidence {self.usual:.2f} is expected to have a Dice of {expected}"
        vague = ": so wide an interval tells little of a single mask" if self.margin > _WIDE else ""
        return f"{told}, learnt from {self.values} values{vague}"

    def plain(self) -> dict[str, Any]:
        """The arguments, as JSON has them."""
        return asdict(self)


def calibrate(cases: Iterable[CaseMeasures], inference: Mapping[str, Any] | None = None) -> Calibration | None:
    """Learn from cases that the network has not seen.

    The slope is the median of those between all pairs (Theil-Sen), which few odd cases do not move; the margin is the
    split-conformal quantile of the distances from the line.

    Args:
        cases: with ``confidence``; a class counts where the mask has it, also where the truth has not.
        inference: settings of the inferer.

    Returns:
        the calibration, or None where fewer than `LEAST_VALUES` values are known, or confidence is always the same.

    Example:
        >>> def case(tp, fp, sure): return CaseMeasures(np.array([[9, 0, 0], [tp, fp, 0]]), confidence=(None, sure))
        >>> learnt = calibrate(case(tp, 100 - tp, 0.5 + tp / 200) for tp in range(50, 100, 5))
        >>> learnt.predict(0.9)["dice"], learnt.values
        (0.885, 10)
    """
    known = [
        (sure, overlap)
        for case in cases
        for sure, overlap in zip(case.confidence or (), dice(case.counts).tolist(), strict=False)
        if sure is not None and not math.isnan(overlap)
    ]
    if len(known) < LEAST_VALUES:
        return None
    sure, overlap = np.array(known).T
    first, second = np.triu_indices(len(known), 1)
    apart = np.abs(sure[second] - sure[first]) > _EQUAL
    if not apart.any():
        return None
    slopes = (overlap[second] - overlap[first])[apart] / (sure[second] - sure[first])[apart]
    slope = max(0.0, float(np.median(slopes)))
    intercept = float(np.median(overlap - slope * sure))
    distances = np.sort(np.abs(overlap - np.clip(slope * sure + intercept, 0, 1)))
    rank = min(len(known), math.ceil(COVERAGE * (len(known) + 1)))
    margin = float(distances[rank - 1])
    line = (round(slope, 4), round(intercept, 4), round(margin, 4))
    return Calibration(*line, len(known), dict(inference or {}), round(float(np.median(sure)), 3))


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
    usual = float(values.get("usual", Calibration.usual))  # of a file written without it
    return Calibration(slope, intercept, margin, int(values["values"]), dict(values["inference"]), usual)
