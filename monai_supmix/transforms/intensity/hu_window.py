"""A window of Hounsfield units."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from monai_supmix.transforms.intensity.rule import IntensityRule, finite_range, scale_linearly


@dataclass(frozen=True)
class HUWindow(IntensityRule):
    """A fixed window of Hounsfield units, mapped linearly to [0, 1] and clipped.

    The default is a lung window (level -500, width 1500) that keeps apart all that is looked for in COVID-19:
    air (-1000) and emphysema, ground-glass opacity (about -750 to -300), effusion (0 to 20), consolidation
    and vessels (up to about 200 with contrast agent). Calcium and bone are clipped.

    Args:
        low: Hounsfield units that become 0.
        high: Hounsfield units that become 1.

    Raises:
        ValueError: when ``low`` is not below ``high``.

    Example:
        >>> HUWindow()(np.array([-2000, -1250, -500, 250, 3000], dtype=np.int16))
        array([0. , 0. , 0.5, 1. , 1. ], dtype=float32)
    """

    name: ClassVar[str] = "hu_window"
    low: float = -1250.0
    high: float = 250.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise ValueError(f"low must be below high, got {self.low} and {self.high}.")

    def fit(self, array: np.ndarray) -> dict[str, Any]:
        """Check the array; the window does not depend on it. See :meth:`IntensityRule.fit`."""
        finite_range(array)
        return {"low": self.low, "high": self.high}

    def apply(self, part: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        """Map the window to [0, 1]. See :meth:`IntensityRule.apply`."""
        return scale_linearly(part, params["low"], params["high"])
