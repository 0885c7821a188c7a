"""One image as read from disk, on its own grid, in its own small data type."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import nibabel as nib
import numpy as np

from monai_supmix.errors import InputError

Kind = Literal["nifti", "itk", "dicom", "hdf5", "picture"]
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""From the directions of DICOM and ITK (left, posterior, superior) to those of NIfTI, and back."""
_FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True, eq=False)
class CaseImage:
    """One image as read from disk. Values are ``array * slope + inter``.

    Args:
        path: the file, or the folder of a DICOM series.
        kind: ``"nifti"``, ``"itk"`` (NRRD, MetaImage), ``"dicom"``, ``"hdf5"`` or
            ``"picture"``.
        array: volumes ``(X, Y, Z)`` as stored (a 2D file is ``(X, Y, 1)``), pictures ``(C, H, W)``.
        slope: scale of the stored values.
        inter: offset of the stored values.
        affine: ``(4, 4)`` voxel indices to RAS+ millimetres; ``None`` for pictures.
        spacing: millimetres per step along each array axis; ``None`` for pictures, and for volumes of files that tell
            none, whose affine gives only the directions.
        header: the NIfTI header as found in the file, ``None`` for other kinds.
        file_shape: shape that a mask of this image has in its file, such as ``(X, Y)`` or ``(X, Y, Z, 1)``;
            empty: that of the array.
        notes: what a reader of the result should know about the file, such as ``"units unknown: taken as
            mm"``.
        turns: pictures only, quarter turns that bring it to the usual view (see `monai_supmix.imageio.usual_view`).
        mirror: pictures only, 1 to swap left and right after turning.
    """

    path: Path
    kind: Kind
    array: np.ndarray
    slope: float = 1.0
    inter: float = 0.0
    affine: np.ndarray | None = None
    spacing: tuple[float, float, float] | None = None
    header: nib.Nifti1Header | None = None
    file_shape: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()
    turns: int = 0
    mirror: int = 0

    @classmethod
    def from_array(cls, array: np.ndarray, affine: np.ndarray | None = None, path: str | Path = "array") -> CaseImage:
        """Wrap an array: a volume ``(X, Y, Z)`` with its affine, or a picture ``(C, H, W)`` without.

        Raises:
            ValueError: the array has not 3 dimensions.

        Example:
            >>> CaseImage.from_array(np.zeros((2, 3, 4), np.int16), np.diag([1.0, 1.0, 5.0, 1.0])).spacing
            (1.0, 1.0, 5.0)
        """
        if array.ndim != 3:
            raise ValueError(f"An image has 3 dimensions, (X, Y, Z) or (C, H, W), not shape {array.shape}.")
        kind: Kind = "picture" if affine is None else "nifti"
        spacing = None if affine is None else voxel_size(affine)
        return cls(Path(path), kind, array, affine=affine, spacing=spacing)

    @property
    def is_picture(self) -> bool:
        """Whether this is a picture ``(C, H, W)`` without a place in the world."""
        return self.affine is None

    @property
    def channels(self) -> int:
        """Number of channels; volumes have one."""
        return self.array.shape[0] if self.is_picture else 1

    @property
    def label_shape(self) -> tuple[int, ...]:
        """Shape of a label map on this grid: pictures ``(H, W)``, volumes ``(X, Y, Z)``."""
        return self.array.shape[1:] if self.is_picture else self.array.shape

    def take_slice(self, index: int) -> CaseImage:
        """Take one slice along the last axis of a volume that holds many independent images.

        Args:
            index: 0 to Z - 1.

        Raises:
            InputError: there is no such slice.
        """
        if self.affine is None or not 0 <= index < self.array.shape[2]:
            count = 0 if self.affine is None else self.array.shape[2]
            raise InputError(self.path, f"has no slice {index}, only {count} slices", "fix the datalist")
        affine = self.affine.copy()
        affine[:3, 3] += index * affine[:3, 2]
        return replace(self, array=self.array[:, :, index : index + 1], affine=affine, header=None, file_shape=())

    def scaled(self, part: np.ndarray) -> np.ndarray:
        """Turn stored values into the file's values, float32.

        Args:
            part: any part of `array`.
        """
        if self.slope == 1 and self.inter == 0:
            return part.astype(np.float32)
        return (part.astype(np.float64) * self.slope + self.inter).astype(np.float32)

    def values(self) -> np.ndarray:
        """The whole image in the file's values: `array` itself if it needs no scaling, otherwise float32."""
        if self.slope == 1 and self.inter == 0:
            return self.array
        values = np.empty(self.array.shape, np.float32, order="C" if self.is_picture else "F")
        for index in range(self.array.shape[-1]):  # slice by slice: no float64 copy of the whole
            values[..., index] = self.scaled(self.array[..., index])
        return values

    def value_range(self) -> tuple[float, float]:
        """Smallest and largest value."""
        ends = sorted(float(end) * self.slope + self.inter for end in (self.array.min(), self.array.max()))
        return ends[0], ends[1]


def voxel_size(affine: np.ndarray) -> tuple[float, float, float]:
    """Millimetres per step along each array axis."""
    x, y, z = (float(size) for size in np.linalg.norm(affine[:3, :3], axis=0))
    return x, y, z


def check_values(image: CaseImage) -> None:
    """Raise `InputError` unless every value is a finite float32.

    Args:
        image: the image; looked at slice by slice.
    """
    dtype = image.array.dtype
    if dtype.kind in "iu":
        reach = max(abs(float(end)) for end in (np.iinfo(dtype).min, np.iinfo(dtype).max))
        if reach * abs(image.slope) + abs(image.inter) < _FLOAT32_MAX:
            return
    with np.errstate(over="ignore", invalid="ignore"):
        bad = sum(
            int(np.count_nonzero(~np.isfinite(image.scaled(image.array[..., index]))))
            for index in range(image.array.shape[-1])
        )
    if bad:
        problem = f"{bad} of {image.array.size} values are NaN, infinite or beyond float32"
        raise InputError(image.path, problem, "repair the file, for example set them to the background's value")


def check_affine(path: Path, affine: np.ndarray) -> None:
    """Raise `InputError` unless the affine places voxels: finite, axes of some length, none coinciding.

    Args:
        path: the file, for the message.
        affine: ``(4, 4)``.
    """
    remedy = "fix the orientation fields, for example by exporting the image again"
    if not np.isfinite(affine).all():
        raise InputError(path, "the affine holds NaN or infinite values", remedy)
    sizes = np.array(voxel_size(affine))
    # Volume of the cell spanned by unit axes: 1 for a right-angled grid, 0 when two axes coincide.
    if not (sizes > 0).all() or abs(np.linalg.det(affine[:3, :3] / sizes)) < 1e-3:
        raise InputError(path, "the affine is singular: two axes coincide or one has no length", remedy)
