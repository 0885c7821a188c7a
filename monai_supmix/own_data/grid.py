"""The grid that the network works on, and its crops: as coarse as the labels allow, so that training is quick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch.nn import functional as F

from monai_supmix.data.working_grid import resize_planes, working_shape, working_volume_shape
from monai_supmix.metrics.overlap import dice, overlap_counts
from monai_supmix.own_data.choice import Choice
from monai_supmix.own_data.facts import View

# Longer side of a plane on the grid, in pixels, and how much of the labels must be left there. With these figures the
# rule arrives at what the shipped bundles have: lesions keep 0.98 at 256, vessels 0.96 at 768 of their 999 pixels.
_SIDES = (256, 384, 512, 768, 1024)
_KEPT = 0.97
_SIDE_3D, _MULTIPLE_3D, _LEAST_3D = 128, 8, 32
_MULTIPLE = 32


def propose_grid(
    views: Sequence[View],
    labels: Sequence[tuple[np.ndarray, tuple[float, float] | None]],
    num_classes: int,
) -> tuple[dict[str, Any], Choice]:
    """Find the coarsest grid on which the labels still say what they say.

    Args:
        views: the planes of all images.
        labels: some label planes with their spacing.
        num_classes: number of classes.

    Returns:
        the setting ``working``, see `monai_supmix.data.working_grid.working_shape`, and the reason.

    Example:
        >>> label = np.zeros((400, 400), np.uint8)
        >>> label[100:300, 100:300] = 1
        >>> propose_grid([View(1, (400, 400))], [(label, None)], 2)[0]
        {'scale': 0.64}
        >>> propose_grid([View(1, (960, 999))], [], 2)[1].value
        'scale 0.256, which makes a usual image 246 pixels high and 256 wide'
    """
    finest = grid_of_side(views, 2**20)
    for side in _SIDES:
        working = grid_of_side(views, side)
        kept = kept_dice(labels, working, num_classes)
        if kept >= _KEPT or working == finest:
            break
    shape = working_shape(*_typical(views), working)
    words = ", ".join(f"{key} {value}" for key, value in working.items()) or "the pictures' own"
    value = f"{words}, which makes a usual image {shape[0]} pixels high and {shape[1]} wide"
    if kept < _KEPT:
        limit = "as fine as a usual image" if working == finest else "but finer ones take long without a GPU"
        why = f"labels, taken there and back, keep a Dice of {kept:.2f} only, {limit}"
    elif working == finest:
        why = "as fine as a usual image: images are small, or what is labelled in them is"
    else:
        why = f"the coarsest on which labels, taken there and back, keep a Dice of {_KEPT}: here {kept:.2f}"
    if "size" in working:
        factors = np.array(working["size"]) / np.array([view.shape for view in views])
        low, high = (f"{100 * factor:.0f} %" for factor in (factors.min(), factors.max()))
        why = f"{why}; pictures of many sizes are brought to this one, their sides to {low} to {high} of what they are"
    return working, Choice("working grid", value, why)


def grid_of_side(views: Sequence[View], side: int) -> dict[str, Any]:
    """The setting ``working`` that makes the longer side of a usual plane `side` pixels, or leaves it shorter.

    Volumes get a common spacing. Pictures of about one size are scaled; those of many sizes are brought to one, for
    what they show then fills the picture alike, and their shape is not kept. Its sides are the next multiples of 32,
    so that a usual plane may be enlarged by less than that.

    Example:
        >>> grid_of_side([View(9, (512, 512), (0.75, 0.75))], 256)
        {'spacing': [1.5, 1.5]}
        >>> grid_of_side([View(1, (300, 300)), View(1, (450, 600))], 192)
        {'size': [160, 192]}
    """
    shape, spacing = _typical(views)
    longest = max(shape)
    if spacing is not None:
        extent = max(count * step for count, step in zip(shape, spacing, strict=True))
        step = float(f"{max(*spacing, extent / side):.3g}")
        return {"spacing": [step, step]}
    shapes = np.array([view.shape for view in views])
    if (shapes.max(axis=0) <= 1.1 * shapes.min(axis=0)).all():
        return {"scale": round(side / longest, 3)} if side < longest else {}
    side = min(side, longest)
    height, width = (-(-count * side // (longest * _MULTIPLE)) * _MULTIPLE for count in shape)
    return {"size": [height, width]}


class Grid3D(NamedTuple):
    """The grid for a 3D network.

    Args:
        working: the setting.
        shape: of a usual volume on it.
    """

    working: dict[str, Any]
    shape: tuple[int, int, int]

    def crop_size(self, usual: Sequence[int]) -> list[int]:
        """The sides of training crops: what fits into a usual volume, and no less than SUFD takes.

        Args:
            usual: the template's.

        Example:
            >>> Grid3D({"spacing": [2.0, 2.0, 8.0]}, (100, 128, 12)).crop_size([32, 96, 96])
            [32, 96, 32]
        """
        fitting = (max(_LEAST_3D, side // _MULTIPLE_3D * _MULTIPLE_3D) for side in self.shape)
        return [min(sides) for sides in zip(usual, fitting, strict=True)]


def grid_3d(views: Sequence[View]) -> Grid3D | None:
    """The grid for a 3D network, coarser than that of planes; ``None`` for pictures, and where an image is one plane.

    Args:
        views: the axial planes of all images.

    Example:
        >>> grid_3d([View(40, (512, 512), (0.75, 0.75), 5.0)])
        Grid3D(working={'spacing': [5.0, 3.0, 3.0]}, shape=(40, 128, 128))
        >>> grid_3d([View(200, (256, 12), (1.0, 8.0), 1.0)]).working  # acquired as sagittal planes
        {'spacing': [2.0, 2.0, 8.0]}
    """
    steps = [view.step for view in views if view.step is not None]
    (height, width), spacing = _typical(views)
    if not steps or spacing is None or min(view.planes for view in views) == 1:
        return None
    longest = max(height * spacing[0], width * spacing[1])
    own = float(np.median(steps)), *spacing
    working = {"spacing": [float(f"{max(step, longest / _SIDE_3D):.3g}") for step in own]}
    planes = int(np.median([view.planes for view in views]))
    return Grid3D(working, working_volume_shape((planes, height, width), own, working))


def kept_dice(
    labels: Sequence[tuple[np.ndarray, tuple[float, float] | None]], working: Mapping[str, Any], num_classes: int
) -> float:
    """Dice of the labels with themselves, after the way to the grid (as in training) and back (as in inference).

    A network that is always right on the grid gets this, and none gets more.

    Args:
        labels: label planes ``(H, W)`` with their spacing.
        working: the grid.
        num_classes: number of classes.

    Returns:
        the least Dice of the foreground classes that occur, over all planes; 1 if none does.

    Example:
        >>> line = np.zeros((64, 64), np.uint8)
        >>> line[:, 31] = 1
        >>> kept_dice([(line, None)], {}, 2), kept_dice([(line, None)], {"scale": 0.25}, 2) < 0.5
        (1.0, True)
    """
    counts = np.zeros((num_classes, 3), np.int64)
    for label, spacing in labels:
        truth = torch.from_numpy(label.astype(np.int64))
        coarse = resize_planes(truth[None, None], working_shape(label.shape, spacing, working))
        maps = F.one_hot(coarse[:, 0], num_classes).movedim(-1, 1).float()
        back = resize_planes(maps, label.shape).argmax(dim=1)[0]
        counts += overlap_counts(back, truth, num_classes)
    dices = dice(counts)[1:]
    return float(min(dices[~np.isnan(dices)], default=1.0))


def propose_crop(views: Sequence[View], working: Mapping[str, Any], usual: int) -> tuple[list[int], Choice]:
    """The side of the training crops.

    Args:
        views: the planes of all images.
        working: the grid.
        usual: the template's side.

    Returns:
        the setting ``crop_size``, and the reason.

    Example:
        >>> propose_crop([View(1, (100, 300))], {}, 160)[0]
        [96, 96]
    """
    shorter = min(working_shape(*_typical(views), working))
    side = max(_MULTIPLE, min(usual, shorter // _MULTIPLE * _MULTIPLE))
    why = "as in the template" if side == usual else f"what fits into {shorter} pixels on the working grid"
    if side > shorter:
        why = f"the least that the network takes; {shorter} pixels on the working grid are padded"
    return [side, side], Choice("crop", f"{side} x {side}", why)


def memory_needed(views: Sequence[View], working: Mapping[str, Any], channels: int) -> float:
    """Gigabytes that training keeps the images in: two bytes a value, and one for a label."""
    values = sum(view.planes * float(np.prod(working_shape(view.shape, view.spacing, working))) for view in views)
    return values * (2 * channels + 1) / 1e9


def _typical(views: Sequence[View]) -> tuple[tuple[int, int], tuple[float, float] | None]:
    """Shape and spacing of a usual plane: medians over all images."""
    height, width = (int(side) for side in np.median([view.shape for view in views], axis=0))
    spacings = [view.spacing for view in views if view.spacing is not None]
    if not spacings:
        return (height, width), None
    row, column = (float(step) for step in np.median(spacings, axis=0))
    return (height, width), (row, column)
