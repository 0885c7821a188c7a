"""Planes of an image in the usual view, without copying the volume, whatever way its voxels are stored."""

from __future__ import annotations

from typing import Literal

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.usual_view import to_usual_view

Axis = Literal["axial", "coronal", "sagittal"]

# For plane number, rows and columns: world axis (0 right, 1 anterior, 2 superior) and direction along it.
_VIEWS: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "axial": ((2, 1), (1, -1), (0, -1)),
    "coronal": ((1, -1), (2, -1), (0, -1)),
    "sagittal": ((0, -1), (2, -1), (1, -1)),
}


def nearest_axes(affine: np.ndarray) -> list[tuple[int, int]]:
    """Find the anatomical axis nearest to each array axis.

    The same choice as `nibabel.io_orientation`, except that ties (volumes turned by exactly 45 degrees) are
    settled by directions in the world and never by the order in which the axes are stored, so that
    re-ordering a volume's axes does not change its view.

    Args:
        affine: ``(4, 4)``, voxel indices to RAS+ millimetres, not singular.

    Returns:
        for each of the three array axes ``(world axis, sign)``: 0 right, 1 anterior, 2 superior; sign -1 if
        the index runs the other way.

    Example:
        >>> nearest_axes(np.diag([-0.7, -0.7, 5.0, 1.0]))
        [(0, -1), (1, -1), (2, 1)]
    """
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    left, _, right = np.linalg.svd(columns)
    rotation = np.round(left @ right, 6)  # nearest rotation; rounded so that ties are ties

    def order(axis: int) -> tuple[float, ...]:
        column = rotation[:, axis]
        leading = np.sign(column[np.flatnonzero(column)[0]])
        return (-np.abs(column).max(), *(-leading * column))

    nearest: dict[int, tuple[int, int]] = {}
    free = [0, 1, 2]
    for axis in sorted(range(3), key=order):
        world = max(free, key=lambda candidate: abs(rotation[candidate, axis]))
        free.remove(world)
        nearest[axis] = (world, 1 if rotation[world, axis] > 0 else -1)
    return [nearest[axis] for axis in range(3)]


def check_axis(axis: str) -> None:
    """Raise ValueError for what is no direction of planes."""
    if axis not in _VIEWS:
        *others, last = _VIEWS
        raise ValueError(f"axis is {', '.join(others)} or {last}, not {axis!r}.")


class Planes:
    """The planes of one image, in the usual view.

    * axial: rows from front to back, columns from the patient's right to left (as radiologists look at it),
      planes from feet to head;
    * coronal: rows from head to feet, columns from right to left, planes from front to back;
    * sagittal: rows from head to feet, columns from front to back, planes from right to left.

    The nearest axes are taken for an oblique volume; nothing is interpolated. A picture has one plane,
    itself.

    Args:
        image: the image.
        axis: ``"axial"``, ``"coronal"`` or ``"sagittal"``; of no effect on pictures.

    Attributes:
        shape: ``(H, W)`` of every plane.
        spacing: millimetres per ``(row, column)``, ``None`` for pictures and where the file gives none.
        step: millimetres from plane to plane, ``None`` likewise.

    Raises:
        ValueError: unknown axis.
        InputError: the planes are lines, because the file is a single slice in another direction.
    """

    def __init__(self, image: CaseImage, axis: Axis = "axial") -> None:
        check_axis(axis)
        self.image, self.axis = image, axis
        self.spacing: tuple[float, float] | None = None
        self.step: float | None = None
        if image.affine is None:
            self._stored = to_usual_view(image.array, image.turns, image.mirror)[None]
        else:
            axes = nearest_axes(image.affine)
            worlds = [world for world, _ in axes]
            plane, row, column = self._order = tuple(worlds.index(world) for world, _ in _VIEWS[axis])
            signs = [axes[stored][1] for stored in (plane, row, column)]
            steps = (sign * direction for sign, (_, direction) in zip(signs, _VIEWS[axis], strict=True))
            self._flips = tuple(slice(None, None, step) for step in steps)
            if image.spacing is not None:
                self.spacing, self.step = (image.spacing[row], image.spacing[column]), image.spacing[plane]
            self._stored = self.view(image.array)[:, None]
        height, width = self._stored.shape[2:]
        self.shape = (int(height), int(width))
        if not image.is_picture and min(self.shape) == 1:
            problem = f"its {axis} planes have {height} x {width} pixels: a single slice in another direction"
            raise InputError(image.path, problem, f"give {axis} slices, or set the plane direction to the slice's")

    def __len__(self) -> int:
        return len(self._stored)

    def __getitem__(self, index: int) -> np.ndarray:
        """Give plane `index` as float32 ``(C, H, W)``, slope and intercept applied."""
        # Turned before it is scaled: the stored type is mostly half as large.
        return self.image.scaled(np.ascontiguousarray(self._stored[index]))

    def view(self, array: np.ndarray) -> np.ndarray:
        """See an array on the image's grid as ``(planes, H, W)``; what is written there is in the array.

        Args:
            array: volumes ``(X, Y, Z)``, pictures ``(H, W)``.

        Raises:
            ValueError: the array is not on the image's grid.

        Example:
            >>> image = CaseImage.from_array(np.zeros((2, 3, 4), np.int16), np.eye(4))
            >>> mask = np.zeros((2, 3, 4), np.uint8)
            >>> Planes(image, "axial").view(mask)[0, 0, 0] = 1  # lowest slice, front, right
            >>> np.argwhere(mask).tolist()
            [[1, 2, 0]]
        """
        if array.shape != self.image.label_shape:
            raise ValueError(f"The array has shape {array.shape}, the image's grid is {self.image.label_shape}.")
        if self.image.is_picture:
            return to_usual_view(array, self.image.turns, self.image.mirror)[None]
        return array.transpose(self._order)[self._flips]
