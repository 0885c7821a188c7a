"""The base of the intensity rules, and what they share."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np


class IntensityRule(ABC):
    """Base of the rules. ``rule(array)`` is ``rule.apply(array, rule.fit(array))``.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass
        ... class DivideBy(IntensityRule):
        ...     largest: float
        ...     name = "divide_by"
        ...     def fit(self, array):
        ...         return {}
        ...     def apply(self, part, params):
        ...         return np.clip(part / self.largest, 0, 1).astype(np.float32)
        >>> rule = DivideBy(4.0)
        >>> rule(np.array([0, 1, 8])), rule.to_dict()
        (array([0.  , 0.25, 1.  ], dtype=float32), {'rule': 'divide_by', 'largest': 4.0})
    """

    name: ClassVar[str]

    @abstractmethod
    def fit(self, array: np.ndarray) -> dict[str, Any]:
        """Look at a whole image or volume.

        Args:
            array: the raw values.

        Returns:
            what :meth:`apply` needs to know of it: numbers and lists of numbers.

        Raises:
            ValueError: when the array is empty or holds NaN or infinity.
        """

    @abstractmethod
    def apply(self, part: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        """Scale a part of the image or volume that ``params`` was fitted on.

        Args:
            part: raw values. Not changed.
            params: what :meth:`fit` returned.

        Returns:
            float32 in [0, 1], of the same shape.

        Raises:
            ValueError: when the part holds NaN or infinity.
        """

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Fit a whole image or volume and scale it, to float32 in [0, 1].

        Args:
            array: the raw values. Not changed.

        Raises:
            ValueError: when the array is empty or holds NaN or infinity.
        """
        return self.apply(array, self.fit(array))

    def to_dict(self) -> dict[str, Any]:
        """Describe the rule by its name under ``rule`` and its settings, for :func:`intensity_rule`."""
        return {"rule": self.name, **asdict(self)}  # type: ignore[call-overload]  # the rules are dataclasses


def finite_range(array: np.ndarray) -> tuple[float, float]:
    """Minimum and maximum of an array, which also show NaN and infinity without an array of flags."""
    if array.size == 0:
        raise ValueError("the array is empty.")
    lowest, highest = float(array.min()), float(array.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise ValueError("the array holds NaN or infinite values.")
    return lowest, highest


def scale_linearly(part: np.ndarray, low: float, high: float) -> np.ndarray:
    """Map ``[low, high]`` to [0, 1] and clip; everything becomes 0 where the two are equal."""
    finite_range(part)
    scaled = part.astype(np.float32)
    scaled -= np.float32(low)
    if high > low:
        scaled /= np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)
