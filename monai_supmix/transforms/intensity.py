"""Intensity rules: how raw values become the [0, 1] that the networks take.

A rule first looks at a whole image or volume (:meth:`IntensityRule.fit`: a few numbers), and is then applied
to any part of it (:meth:`IntensityRule.apply`), so that a slice of a volume is scaled like the volume. Rules
are plain dictionaries in configurations and beside the weights (:meth:`IntensityRule.to_dict`,
:func:`intensity_rule`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils.type_conversion import convert_data_type, convert_to_dst_type
from scipy import ndimage

from monai_supmix.errors import InputError

__all__ = [
    "ApplyIntensityRuleD",
    "ApplyIntensityRuleDict",
    "ApplyIntensityRuled",
    "FieldOfViewScale",
    "HUWindow",
    "IntensityRule",
    "PercentileScale",
    "exact_percentiles",
    "field_of_view",
    "intensity_rule",
]

_CHUNK = 2**20  # values counted at a time
_MAX_BINS = 2**20  # wider ranges of integers are not counted value by value
_MAX_SAMPLE = 2**22  # values that percentiles of floating-point arrays are taken from


class IntensityRule(ABC):
    """Base of the rules. ``rule(array)`` is ``rule.apply(array, rule.fit(array))``."""

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
        """Fit a whole image or volume and scale it, to float32 in [0, 1]."""
        return self.apply(array, self.fit(array))

    def to_dict(self) -> dict[str, Any]:
        """Describe the rule by its name under ``rule`` and its settings, for :func:`intensity_rule`."""
        return {"rule": self.name, **asdict(self)}  # type: ignore[call-overload]  # the rules are dataclasses


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
        _finite_range(array)
        return {"low": self.low, "high": self.high}

    def apply(self, part: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        """Map the window to [0, 1]. See :meth:`IntensityRule.apply`."""
        return _linear(part, params["low"], params["high"])


@dataclass(frozen=True)
class PercentileScale(IntensityRule):
    """From one percentile of the image's values to another, mapped linearly to [0, 1] and clipped.

    For 8-bit pictures, whose grey values are no physical unit. Where the two percentiles coincide (a nearly
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
        lowest, highest = _finite_range(array)
        low, high = exact_percentiles(array, (self.lower, self.upper))
        return {"low": low, "high": high} if low < high else {"low": lowest, "high": highest}

    def apply(self, part: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        """Map the percentiles to [0, 1]. See :meth:`IntensityRule.apply`."""
        return _linear(part, params["low"], params["high"])


@dataclass(frozen=True)
class FieldOfViewScale(IntensityRule):
    """Fundus pictures: every channel brought to one mean and spread inside the field of view, 0 outside.

    Cameras and eyes differ in brightness and tint (the red channel of one picture is nearly saturated, that
    of another half as bright); after this rule pictures are comparable.

    Args:
        threshold: brightness of the field of view's rim, see :func:`field_of_view`.
        mean: mean of every channel inside the field of view, in (0, 1).
        std: standard deviation of every channel inside; what then lies outside [0, 1] is clipped.

    Raises:
        ValueError: when a setting lies outside (0, 1).

    Example:
        >>> picture = np.zeros((3, 40, 40))
        >>> picture[:, 5:35, 5:35] = np.random.default_rng(0).normal(120, 20, (3, 30, 30))
        >>> scaled = FieldOfViewScale()(picture)
        >>> round(float(scaled[:, 5:35, 5:35].mean()), 2), float(scaled[:, :5].max())
        (0.5, 0.0)
    """

    name: ClassVar[str] = "field_of_view_scale"
    threshold: float = 0.08
    mean: float = 0.5
    std: float = 0.2

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 < getattr(self, field.name) < 1:
                raise ValueError(f"{field.name} must lie in (0, 1), got {getattr(self, field.name)}.")

    def fit(self, array: np.ndarray) -> dict[str, Any]:
        """Take mean and standard deviation of every channel inside the field of view.

        Args:
            array: ``(C, H, W)``, 0 to 255. See :meth:`IntensityRule.fit`.
        """
        return self._statistics(array, field_of_view(array, self.threshold))

    def apply(self, part: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        """Standardise a picture, or a crop of it; the field of view is found anew in the crop.

        Args:
            part: ``(C, H, W)``, 0 to 255. See :meth:`IntensityRule.apply`.
            params: what :meth:`fit` returned.
        """
        return self._standardise(part, field_of_view(part, self.threshold), params)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Standardise a whole picture ``(C, H, W)``, looking for the field of view only once."""
        inside = field_of_view(array, self.threshold)
        return self._standardise(array, inside, self._statistics(array, inside))

    @staticmethod
    def _statistics(array: np.ndarray, inside: np.ndarray) -> dict[str, Any]:
        values = [channel[inside].astype(np.float64) for channel in array]
        return {"mean": [float(v.mean()) for v in values], "std": [float(v.std()) for v in values]}

    def _standardise(self, part: np.ndarray, inside: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        shape = (-1, 1, 1)
        # a spread below one grey level is a flat channel, not one to be stretched
        gain = (self.std / np.maximum(params["std"], 1.0)).astype(np.float32).reshape(shape)
        scaled = part.astype(np.float32)
        scaled -= np.asarray(params["mean"], dtype=np.float32).reshape(shape)
        scaled *= gain
        scaled += np.float32(self.mean)
        scaled[:, ~inside] = 0.0
        return np.clip(scaled, 0.0, 1.0, out=scaled)


_RULES: dict[str, type[IntensityRule]] = {rule.name: rule for rule in (HUWindow, PercentileScale, FieldOfViewScale)}


def intensity_rule(config: Mapping[str, Any]) -> IntensityRule:
    """Make the rule that a plain dictionary describes.

    Args:
        config: the rule's name under ``rule`` and any of its settings.

    Returns:
        the rule; ``intensity_rule(rule.to_dict()) == rule``.

    Raises:
        InputError: when there is no such rule or setting, or a setting has an impossible value.

    Example:
        >>> intensity_rule({"rule": "hu_window", "low": -1000, "high": 400})
        HUWindow(low=-1000, high=400)
    """
    settings = dict(config)
    name = settings.pop("rule", None)
    if name not in _RULES:
        raise InputError("intensity", f"no rule is called {name!r}", f"use one of {', '.join(_RULES)}")
    known = [field.name for field in fields(_RULES[name])]  # type: ignore[arg-type]  # the rules are dataclasses
    if unknown := [key for key in settings if key not in known]:
        raise InputError("intensity", f"{name} has no setting {unknown[0]!r}", f"use {', '.join(known)}")
    try:
        return _RULES[name](**settings)
    except (TypeError, ValueError) as error:
        raise InputError("intensity", f"{name}: {error}", "correct the setting") from error


def exact_percentiles(array: np.ndarray, percentiles: Sequence[float]) -> tuple[float, ...]:
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
        >>> exact_percentiles(np.array([1, 2, 3, 100], dtype=np.int16), (0, 50, 100))
        (1.0, 2.5, 100.0)
    """
    flat = array.ravel(order="K")  # in memory's order: no copy of a volume stored column by column
    lowest, highest = _finite_range(flat)
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


def field_of_view(picture: np.ndarray, threshold: float = 0.08) -> np.ndarray:
    """Find the lit area of a fundus picture.

    It is the largest connected area whose brightest channel exceeds the threshold (labels and specks are
    not), filled along rows and columns, so that neither dark vessels nor a dim stretch of the rim leave holes
    in it.

    Args:
        picture: ``(C, H, W)``, 0 to 255, integers or floating point.
        threshold: fraction of 255. The dark surround of CHASE_DB1 stays below 0.08 but for a glow around the
            brightest pictures; its rim rises within a few pixels.

    Returns:
        bool ``(H, W)``.

    Raises:
        ValueError: when the picture is not ``(C, H, W)``, holds NaN, or nothing in it is brighter than the
            threshold.
    """
    if picture.ndim != 3:
        raise ValueError(f"a picture must be (C, H, W), got shape {picture.shape}.")
    _finite_range(picture)
    bright, num_areas = ndimage.label(picture.max(axis=0) > threshold * 255)
    if num_areas == 0:
        raise ValueError(f"no field of view: no pixel of 0 to 255 is brighter than {threshold * 255:.1f}.")
    area = bright == 1 + np.bincount(bright.ravel())[1:].argmax()
    for axis in (0, 1):
        before = np.logical_or.accumulate(area, axis=axis)
        behind = np.flip(np.logical_or.accumulate(np.flip(area, axis), axis=axis), axis)
        area = before & behind
    return area


def _finite_range(array: np.ndarray) -> tuple[float, float]:
    """Minimum and maximum, which also tell of NaN and infinity without an array of flags."""
    if array.size == 0:
        raise ValueError("the array is empty.")
    lowest, highest = float(array.min()), float(array.max())
    if not (math.isfinite(lowest) and math.isfinite(highest)):
        raise ValueError("the array holds NaN or infinite values.")
    return lowest, highest


def _linear(part: np.ndarray, low: float, high: float) -> np.ndarray:
    _finite_range(part)
    scaled = part.astype(np.float32)
    scaled -= np.float32(low)
    if high > low:
        scaled /= np.float32(high - low)
    return np.clip(scaled, 0.0, 1.0, out=scaled)


class ApplyIntensityRuled(MapTransform):
    """Apply an intensity rule to the images of a dictionary, each fitted on itself as a whole.

    Args:
        keys: keys of raw images of any shape that the rule takes; arrays, tensors or MetaTensors. They come
            back as the same kind in float32.
        rule: a rule, or the dictionary that describes it.
        allow_missing_keys: whether a missing key is passed over instead of raising ``KeyError``.

    Raises:
        InputError: when the dictionary describes no rule.

    Example:
        >>> window = ApplyIntensityRuled("image", {"rule": "hu_window", "low": -1000, "high": 0})
        >>> window({"image": np.array([[-500, 0]], dtype=np.int16)})["image"]
        array([[0.5, 1. ]], dtype=float32)
    """

    def __init__(
        self,
        keys: KeysCollection,
        rule: IntensityRule | Mapping[str, Any],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.rule = rule if isinstance(rule, IntensityRule) else intensity_rule(rule)

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Scale the images under ``keys`` to [0, 1]."""
        item = dict(data)
        for key in self.key_iterator(item):
            raw = convert_data_type(item[key], np.ndarray)[0]
            item[key] = convert_to_dst_type(self.rule(raw), dst=item[key], dtype=np.float32)[0]
        return item


ApplyIntensityRuleD = ApplyIntensityRuleDict = ApplyIntensityRuled
