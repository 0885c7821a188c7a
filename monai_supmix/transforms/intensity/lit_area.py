"""The lit area of fundus pictures, and the rule that standardises inside it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np
from scipy import ndimage

from monai_supmix.transforms.intensity.rule import IntensityRule, finite_range

_OVERSHOOT = 1.25  # how far beyond white interpolation may go


@dataclass(frozen=True)
class FieldOfViewScale(IntensityRule):
    """Fundus pictures: every channel brought to one mean and spread inside the field of view, 0 outside.

    Cameras and eyes differ in brightness and tint (the red channel of one picture is nearly saturated, that
    of another half as bright); after this rule pictures are comparable, those of 16 bits with those of 8 as well.

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
        """Take mean and standard deviation of every channel inside the field of view, and what is white.

        Args:
            array: ``(C, H, W)``, 0 to what :func:`white_level` says. See :meth:`IntensityRule.fit`.
        """
        white = white_level(array)
        picture = _in_8_bits(array, white)
        return self._statistics(picture, field_of_view(array, self.threshold), white)

    def apply(self, part: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        """Standardise a picture, or a crop of it; the field of view is found anew in the crop.

        Args:
            part: ``(C, H, W)``, as for :meth:`fit`, or converted to floating point. See :meth:`IntensityRule.apply`.
            params: what :meth:`fit` returned.
        """
        picture = _in_8_bits(part, params["white"])
        return self._standardise(picture, field_of_view(picture, self.threshold), params)

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Standardise a whole picture ``(C, H, W)``, looking for the field of view only once."""
        inside = field_of_view(array, self.threshold)
        white = white_level(array)
        picture = _in_8_bits(array, white)
        return self._standardise(picture, inside, self._statistics(picture, inside, white))

    @staticmethod
    def _statistics(picture: np.ndarray, inside: np.ndarray, white: float) -> dict[str, Any]:
        values = [channel[inside].astype(np.float64) for channel in picture]
        return {"mean": [float(v.mean()) for v in values], "std": [float(v.std()) for v in values], "white": white}

    def _standardise(self, picture: np.ndarray, inside: np.ndarray, params: Mapping[str, Any]) -> np.ndarray:
        shape = (-1, 1, 1)
        # a spread below one grey level of 8 bits is a flat channel, not one to be stretched
        gain = (self.std / np.maximum(params["std"], 1.0)).astype(np.float32).reshape(shape)
        scaled = picture.astype(np.float32)
        scaled -= np.asarray(params["mean"], dtype=np.float32).reshape(shape)
        scaled *= gain
        scaled += np.float32(self.mean)
        scaled[:, ~inside] = 0.0
        return np.clip(scaled, 0.0, 1.0, out=scaled)


def field_of_view(picture: np.ndarray, threshold: float = 0.08) -> np.ndarray:
    """Find the lit area of a fundus picture.

    It is the largest connected area whose brightest channel exceeds the threshold (labels and specks are
    not), filled along rows and columns, so that neither dark vessels nor a dim stretch of the rim leave holes
    in it.

    Args:
        picture: ``(C, H, W)``, 0 to what :func:`white_level` says, integers or floating point.
        threshold: fraction of white. The dark surround of CHASE_DB1 stays below 0.08 but for a glow around the
            brightest pictures; its rim rises within a few pixels.

    Returns:
        bool ``(H, W)``.

    Raises:
        ValueError: when the picture is not ``(C, H, W)``, holds NaN, has an unknown white level, or nothing in it
            is brighter than the threshold.
    """
    if picture.ndim != 3:
        raise ValueError(f"a picture must be (C, H, W), got shape {picture.shape}.")
    white = white_level(picture)
    bright, num_areas = ndimage.label(_in_8_bits(picture.max(axis=0), white) > threshold * 255)
    if num_areas == 0:
        raise ValueError(f"no field of view: no pixel of 0 to {white:g} is brighter than {threshold * white:.1f}.")
    area = bright == 1 + np.bincount(bright.ravel())[1:].argmax()
    for axis in (0, 1):
        before = np.logical_or.accumulate(area, axis=axis)
        behind = np.flip(np.logical_or.accumulate(np.flip(area, axis), axis=axis), axis)
        area = before & behind
    return area


def white_level(picture: np.ndarray) -> float:
    """The value that is white in a picture.

    It is 255 in pictures of 8 bits. Files of 16 bits may hold fewer, and programs convert pictures to other types, so
    that there the values decide: white is the largest value of 8, 10, 12, 14 or 16 bits that none of them exceeds.

    Args:
        picture: of any shape.

    Returns:
        255, 1023, 4095, 16383 or 65535.

    Raises:
        ValueError: when the picture is empty, holds NaN or infinity, or values far beyond those of 16 bits.

    Example:
        >>> white_level(np.array([0, 9], np.uint8)), white_level(np.array([0, 4000], np.uint16))
        (255.0, 4095.0)
    """
    highest = finite_range(picture)[1]
    slack = 1.0 if picture.dtype == np.uint8 else _OVERSHOOT
    for white in (2.0**bits - 1 for bits in (8, 10, 12, 14, 16)):
        if highest <= slack * white:
            return white
    raise ValueError(f"values up to {highest:g} are of no picture of 8 to 16 bits.")


def _in_8_bits(picture: np.ndarray, white: float) -> np.ndarray:
    """The picture with 255 for white: itself, or a float32 copy that is exact where all values were 8 bits."""
    return picture if white == 255 else picture.astype(np.float32) / np.float32(white / 255)
