"""Whether images may be mirrored left to right: not where classes have a side, or lie on one."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from monai_supmix.imageio.planes import Axis
from monai_supmix.own_data.choice import Choice

_SIDES = {
    **dict.fromkeys(("left", "l", "lt", "sin", "sinister", "sinistra"), "left"),
    **dict.fromkeys(("right", "r", "rt", "dex", "dexter", "dextra"), "right"),
}
_ROTATION = 0.26  # radians: about 15 degrees keep left and right apart
_ENOUGH_CASES = 3
_CONFINED = 0.98


def sided_classes(names: Sequence[str]) -> list[str]:
    """Names of classes with a side: ``kidney_left``, ``L_lung``, ``renal artery dexter``.

    A single letter counts only where a class of the other side is there as well.

    Example:
        >>> sided_classes(["background", "kidney_left", "kidney_right", "liver"])
        ['kidney_left', 'kidney_right']
        >>> sided_classes(["background", "lungL", "segment_l"]), sided_classes(["background", "a_l", "a_r"])
        ([], ['a_l', 'a_r'])
    """
    sided = {name: side for name in names if (side := _side_of(name)) is not None}
    others = {(rest, side) for rest, side, _ in sided.values()}
    opposite = {"left": "right", "right": "left"}
    return [name for name, (rest, side, whole) in sided.items() if whole or (rest, opposite[side]) in others]


def _side_of(name: str) -> tuple[str, str, bool] | None:
    """The name without its side, the side, and whether that is a whole word."""
    words = [word for word in re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)) if word]
    sides = [word for word in words if word.lower() in _SIDES]
    if len(sides) != 1 or len(words) == 1:
        return None
    rest = " ".join("*" if word is sides[0] else word.lower() for word in words)
    return rest, _SIDES[sides[0].lower()], len(sides[0]) > 2  # l, r, lt, rt


def confined_classes(planes: Sequence[np.ndarray], names: Sequence[str]) -> list[str]:
    """Names of classes that lie in the same half of the picture in every labelled plane that shows them.

    Args:
        planes: label maps ``(H, W)`` in the usual view.
        names: names of the classes, background first.

    Returns:
        the classes that at least three planes show, always on one side of the middle column.

    Example:
        >>> plane = np.zeros((4, 8), np.uint8)
        >>> plane[:, 1], plane[:, 3:6] = 1, 2
        >>> confined_classes([plane] * 3, ["background", "spleen", "spine"])
        ['spleen']
    """
    confined = []
    for value, name in enumerate(names[1:], 1):
        shares = []
        for plane in planes:
            columns = np.nonzero(plane == value)[1]
            if len(columns):
                shares.append(float((columns < plane.shape[1] / 2).mean()))
        if len(shares) >= _ENOUGH_CASES and (min(shares) >= _CONFINED or max(shares) <= 1 - _CONFINED):
            confined.append(name)
    return confined


def propose_mirroring(names: Sequence[str], planes: Sequence[np.ndarray], axis: Axis) -> tuple[bool, Choice]:
    """Decide whether training mirrors images left to right and inference averages over mirrored ones.

    Args:
        names: names of the classes, background first.
        planes: label maps ``(H, W)`` of labelled cases in the usual view.
        axis: direction of the planes; sagittal ones do not show on which side a class lies.

    Example:
        >>> propose_mirroring(["background", "kidney_left", "kidney_right"], [], "axial")[0]
        False
    """
    if sided := sided_classes(names):
        why = f"classes have a side ({', '.join(sided)}): a mirrored image would show the other one"
        return False, Choice("mirroring", "off", why)
    if axis != "sagittal" and (confined := confined_classes(planes, names)):
        lies = "lies" if len(confined) == 1 else "lie, each,"
        why = f"in all labelled cases looked at, {', '.join(confined)} {lies} in the same half of the image"
        return False, Choice("mirroring", "off", why)
    return True, Choice("mirroring", "as in the template", "no class has a side")


def without_mirroring(config: Any) -> Any:
    """A configuration whose components neither mirror images nor turn them so far that left and right change places.

    Args:
        config: any part of a configuration file.

    Example:
        >>> crop = {"_target_": "monai_supmix.transforms.RandSimilarityCropd", "flip_axes": [0, 1], "rotation": 3.14159}
        >>> without_mirroring({"weak_augmentation": crop})["weak_augmentation"]["flip_axes"]
        []
    """
    if isinstance(config, list):
        return [without_mirroring(entry) for entry in config]
    if not isinstance(config, Mapping):
        return config
    changed = {key: without_mirroring(value) for key, value in config.items()}
    name = str(changed.get("_target_")).rpartition(".")[2]
    if name == "RandSimilarityCropd":
        changed["flip_axes"] = []
        if isinstance(rotation := changed.get("rotation"), (int, float)):
            changed["rotation"] = min(rotation, _ROTATION)
    if name == "RandFlipd":
        changed["prob"] = 0.0
    if "flips" in changed:
        changed["flips"] = False
    return changed
