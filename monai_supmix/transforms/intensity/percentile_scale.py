"""From one percentile of an image's values to another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monai_supmix.transforms.intensity.rule import IntensityRule, finite_range, scale_linearly

_CHUNK = 2**20  # values counted at a time
_MAX_BINS = 2**20  # wider ranges of integers are not counted value by value
_MAX_SAMPLE = 2**22  # values that percentiles of floating-point arrays are taken from


@dataclass(frozen=True)
class PercentileScale(IntensityRule):
    """From one percentile of the image's values to another, mapped linearly to [0, 1] and clipped.

    For 8-bit pictures, whose grey values have no physical unit. Where the two percentiles coincide (a nearly
    constant picture) minimum and maximum take their place; a constant picture becomes 0.

    Args:
        lower: percentile that becomes 0.
        upper: percentile that becomes 1.

    Raises:
        ValueError: when not ``0 <= lower < upper <= 100``.

    Example:
        >>> PercentileScale(0, 100)(np.array([[50, 100], [150, 250]], dtype=np.uint8))
        array([[0.  , 0.25],
               [0.5 , 1.  ]], dtype=float32)
    """

    name: ClassVar[str] = "percentile_scale"
    lower: float = 0.5
    upper: float = 99.5

    def __post_init__(self) -> None:
        if not 0 <= self.lower < self.upper <= 100:
            raise ValueError(f"percentiles must be 0 <= lower < upper <= 100, got {self.lower} and {self.upper}.")

    def fit(self, array: np.ndarray) -> dict[str, Any]:
        """Find the two percentiles. See :meth:`IntensityRule.fit`."""
        lowest, highest = finite_range(array)
        low, high = percentiles_of(array, (self.lower, self.upper))
        return {"low": low, "high": high} if low < high else {"low": lowest, "high": highest}

    def apply(self, part: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        """Map the percentiles to [0, 1]. See :meth:`IntensityRule.apply`."""
        return scale_linearly(part, params["low"], params["high"])


def percentiles_of(array: np.ndarray, percentiles: Sequence[float]) -> tuple[float, ...]:
    """Percentiles with linear interpolation, as :func:`numpy.percentile`, in little memory.

    Integers are counted chunk by chunk: exact, and a volume of 512 x 512 x 200 takes some 20 MB beside
    itself. Arrays of floating point, and of integers that span more than a million values, are subsampled
    evenly where they have more than four million elements.

    Args:
        array: finite values of any shape, at least one.
        percentiles: in [0, 100].

    Returns:
        one value per percentile.

    Example:
        >>> percentiles_of(np.array([1, 2, 3, 100], dtype=np.int16), (0, 50, 100))
        (1.0, 2.5, 100.0)
    """
    flat = array.ravel(order="K")  # in memory's order: no copy of a volume stored column by column
    lowest, highest = finite_range(flat)
    if flat.dtype.kind == "f" or highest - lowest >= _MAX_BINS:
        step = math.ceil(flat.size / _MAX_SAMPLE) | 1  # odd: does not fall into step with rows of even length
        return tuple(float(value) for value in np.percentile(flat[::step], percentiles))
    offset = int(lowest)
    counts = np.zeros(int(highest) - offset + 1, dtype=np.int64)
    for start in range(0, flat.size, _CHUNK):
        chunk = flat[start : start + _CHUNK].astype(np.int64)
        counts += np.bincount(chunk - offset, minlength=len(counts))
    ends = counts.cumsum()

    def value_at(rank: float) -> int:
        return offset + int(np.searchsorted(ends, rank, side="right"))

    ranks = [percentile / 100 * (flat.size - 1) for percentile in percentiles]
    return tuple(
        float(value_at(math.floor(rank)) * (1 - rank % 1) + value_at(math.ceil(rank)) * (rank % 1)) for rank in ranks
    )
