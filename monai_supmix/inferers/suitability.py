"""Which intensity rule an image needs, and whether it looks like what the network was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_supmix.data.working_grid import margins
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Axis, Planes
from monai_supmix.transforms.intensity import IntensityRule, intensity_rule

RULE_NAMES = ("hu", "picture")
_REMEDIES = {
    "spacing": "look at the mask with care, or train on such images too",
    "size": "look at the mask with care, or give images of such sizes",
    "field_of_view": "look at the mask with care, or crop to what the training images show",
}
_AIR_OR_FAT = -200  # HU; hardly any CT image is without either
_MUCH_LOST = 0.25  # of a class
_TOLERANCE = 1.25  # sizes within this factor of the trained range are as good as inside it


def choose_intensity(
    record: Mapping[str, Any], image: CaseImage, wanted: str | None = None
) -> tuple[str, IntensityRule]:
    """Choose among the intensity rules stored with the weights: volumes are CT in HU, pictures are pictures.

    Args:
        record: the record of the weights; ``intensity`` holds ``hu``, ``picture`` or both.
        image: the image at hand.
        wanted: ``"hu"`` or ``"picture"`` to say what the values are, whatever the type of file.

    Returns:
        the rule's name and the rule.

    Raises:
        InputError: an unknown name, or the weights have no such rule.

    Example:
        >>> import numpy as np
        >>> record = {"intensity": {"hu": {"rule": "hu_window"}, "picture": {"rule": "percentile_scale"}}}
        >>> choose_intensity(record, CaseImage.from_array(np.zeros((3, 4, 4), np.uint8)))
        ('picture', PercentileScale(lower=0.5, upper=99.5))
        >>> choose_intensity(record, CaseImage.from_array(np.zeros((4, 4, 4), np.int16), np.eye(4)))
        ('hu', HUWindow(low=-1250.0, high=250.0))
    """
    if wanted not in (None, *RULE_NAMES):
        raise InputError("intensity", f"is {wanted!r}", "use 'hu' or 'picture', or leave it out")
    rules = record.get("intensity") or {}
    name = wanted or ("picture" if image.is_picture else "hu")
    if not rules.get(name):
        has = " or ".join(repr(key) for key in rules) or "no rule"
        kind = "a picture" if image.is_picture else "a volume"
        problem = f"is {kind}, read as {name!r}, but the weights carry {has}"
        remedy = f"set intensity to {has} if that is what its values are" if rules else "use other weights"
        raise InputError(image.path, problem, remedy)
    return name, intensity_rule(rules[name])


def suitability_warnings(
    image: CaseImage, record: Mapping[str, Any], intensity: str, axis: Axis = "axial"
) -> list[str]:
    """Tell where an image is far from what the network was trained on. It is predicted all the same.

    Args:
        image: the image.
        record: the record of the weights; of its ``trained_on`` are used ``spacing`` (smallest and largest
            side of a pixel in mm), ``field_of_view`` (shortest and longest side of a plane in mm) and
            ``size`` (the same in pixels), each ``[min, max]``, ``None`` or absent where unknown.
        intensity: name of the intensity rule in use, ``"hu"`` or ``"picture"``.
        axis: direction of the planes.

    Returns:
        one sentence for each finding; empty if all is well.

    Example:
        >>> array = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
        >>> image = CaseImage.from_array(array, np.diag([3.0, 3.0, 5.0, 1.0]))
        >>> for warning in suitability_warnings(image, {"trained_on": {"spacing": [0.5, 1.0]}}, "hu"):
        ...     print(warning)
        values run from 0 to 7, none below -200: this does not look like HU (air is -1000)
        pixels of 3 mm, the network was trained on 0.5 to 1: look at the mask with care, or train on such images too
    """
    return _value_warnings(image, intensity) + _size_warnings(image, record.get("trained_on") or {}, axis)


def edge_warnings(
    mask: np.ndarray, image: CaseImage, working: Mapping[str, Any] | None, axis: Axis = "axial"
) -> list[str]:
    """Tell where a network that sees the middle of planes only may have missed something.

    Args:
        mask: what it predicted, of ``image.label_shape``.
        image: the image.
        working: its working grid.
        axis: direction of the planes.

    Returns:
        a sentence where planes are larger than the middle and the mask reaches its edge, or is empty.

    Example:
        >>> image = CaseImage.from_array(np.zeros((8, 8, 1), np.uint8), np.eye(4))
        >>> edge_warnings(np.zeros((8, 8, 1), np.uint8), image, {"center": [4, 4]})
        ['nothing was found in the middle 4 x 4 pixels of the planes, and further out nothing is looked for']
    """
    if "center" not in (working or {}):
        return []
    view = Planes(image, axis).view(mask)
    height, width = working["center"]  # type: ignore[index]
    cut = [max(0, -margin) for margin in margins((view.shape[1], view.shape[2]), (height, width))]
    if not any(cut):
        return []
    area = f"the middle {height} x {width} pixels of the planes"
    if not mask.any():
        return [f"nothing was found in {area}, and further out nothing is looked for"]
    left, right, above, below = cut
    edges = (view[:, :, left], view[:, :, -1 - right], view[:, above], view[:, -1 - below])
    if any(count and edge.any() for count, edge in zip(cut, edges, strict=True)):
        return [f"the mask reaches the edge of {area}, and further out nothing is looked for: what is there is missing"]
    return []


def cleaning_warnings(found: np.ndarray, mask: np.ndarray, class_names: Sequence[str]) -> list[str]:
    """Tell of classes much of which was taken away because it was not in one piece.

    Often that was something else; but where a plane in the middle was missed, one of two true pieces is lost.

    Args:
        found: label map before cleaning.
        mask: the cleaned one, of the same shape.
        class_names: names of the classes, background first.

    Returns:
        a sentence for each class that lost at least a quarter of its voxels.

    Example:
        >>> cleaning_warnings(np.array([1, 1, 1, 0, 2, 1]), np.array([1, 1, 1, 0, 2, 0]), ["background", "a", "b"])
        ['25 % of what was found of a was taken away by cleaning, which keeps one piece: look at the mask with care']
    """
    size = len(class_names)
    before, after = np.zeros(size, int), np.zeros(size, int)
    for earlier, later in zip(found.T, mask.T, strict=True):  # a plane of a volume lies in one piece
        before += np.bincount(earlier.ravel(), minlength=size)
        after += np.bincount(later.ravel(), minlength=size)
    lost = (before - after) / before.clip(min=1)
    warning = "was taken away by cleaning, which keeps one piece: look at the mask with care"
    return [
        f"{100 * share:.0f} % of what was found of {name} {warning}"
        for name, share in zip(class_names[1:], lost[1:], strict=True)
        if share >= _MUCH_LOST
    ]


def _value_warnings(image: CaseImage, intensity: str) -> list[str]:
    low, high = image.value_range()
    run = f"values run from {low:g} to {high:g}"
    if low == high:
        return [f"all values are {low:g}: the image is blank"]
    if intensity == "hu":
        if low > _AIR_OR_FAT:
            return [f"{run}, none below {_AIR_OR_FAT}: this does not look like HU (air is -1000)"]
        if high - low < 100 or low < -10000:
            return [f"{run}: this does not look like HU (air is -1000, bone up to 3000)"]
    elif not image.is_picture and low <= -900:
        return [f"{run}: this looks like HU, but is read as a picture"]
    return []


def _size_warnings(image: CaseImage, trained_on: Mapping[str, Any], axis: Axis) -> list[str]:
    planes = Planes(image, axis)
    sizes: dict[str, tuple[str, tuple[float, ...]]] = {"size": ("planes of {} pixels", planes.shape)}
    if planes.spacing is not None:
        field = tuple(count * step for count, step in zip(planes.shape, planes.spacing, strict=True))
        sizes["spacing"] = ("pixels of {} mm", planes.spacing)
        sizes["field_of_view"] = ("planes of {} mm", field)
    warnings = []
    for key, (what, values) in sizes.items():
        limits = trained_on.get(key)
        if limits and (min(values) < limits[0] / _TOLERANCE or max(values) > limits[1] * _TOLERANCE):
            here = what.format(" x ".join(dict.fromkeys(map(_plain, values))))
            trained = f"{_plain(limits[0])} to {_plain(limits[1])}"
            warnings.append(f"{here}, the network was trained on {trained}: {_REMEDIES[key]}")
    return warnings


def _plain(value: float) -> str:
    """A size with three digits, or all of a whole number's."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
