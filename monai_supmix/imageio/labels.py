"""Label maps: whole numbers on exactly the grid of the image they belong to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage, voxel_size
from monai_supmix.imageio.dicom_labels import read_dicom_label
from monai_supmix.imageio.dicom_storage import is_dicom
from monai_supmix.imageio.file_kinds import PICTURE_SUFFIXES, check_file, suffix_of
from monai_supmix.imageio.hdf5 import is_hdf5, read_hdf5
from monai_supmix.imageio.nifti import corner_distance
from monai_supmix.imageio.partly import IGNORED
from monai_supmix.imageio.pictures import read_label_picture
from monai_supmix.imageio.volumes import read_volume
from monai_supmix.listing import shorten

_LARGEST = 2.0**53  # float64 counts exactly up to here


def read_label(
    path: str | Path,
    like: CaseImage | None = None,
    num_classes: int | None = None,
    values: Sequence[int] | None = None,
    ignored: int | None = None,
    class_names: Sequence[str] | None = None,
) -> np.ndarray:
    """Read a label map on its own grid, or a DICOM segmentation or structure set on that of its series.

    Args:
        path: a volume, a picture whose compression loses nothing, or HDF5 (its dataset ``label``). Floating point is
            accepted if every value is whole. Palette pictures keep their indices, one-bit pictures are 0 and 1, other
            grey values stay as they are. A DICOM segmentation or structure set is placed by its millimetres, see
            `monai_supmix.imageio.dicom_labels`.
        like: the image it labels. Its grid must be the same: shape, and for volumes the place in the world. A DICOM
            label is of a DICOM series.
        num_classes: number of classes; values must lie below it. With two classes a 0/255 mask becomes 0/1.
        values: the value that each class has in the file, where these are not 0, 1, 2, ...; the label map then has the
            numbers of the classes, and other values are refused.
        ignored: the value in the file of pixels that are to be ignored; they become 255, which is no class then.
        class_names: names of the classes, background first, by which the segments of a DICOM label are recognised.

    Returns:
        volumes ``(X, Y, Z)``, pictures ``(H, W)``; uint8 if the values fit, otherwise a larger type of integer.

    Raises:
        InputError: unreadable, values that are not whole or no class, or another grid than the image's.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "mask.png"
        >>> Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).save(path)
        >>> read_label(path, num_classes=2)
        array([[0, 1],
               [1, 0]], dtype=uint8)
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "is a folder, a label map is expected", "give the file")
    if is_dicom_file(path):
        return read_dicom_label(path, like, num_classes, class_names, values)
    label = read_hdf5(path, "label") if is_hdf5(path) else _read_file(path)
    if like is not None:
        _check_same_grid(label, like)
    numbers = _to_integers(label)
    out = None if ignored is None else numbers == ignored
    if out is not None:
        numbers = np.where(out, 0 if values is None else values[0], numbers)
    if values is not None:
        numbers = _renumber(numbers, path, values)
    elif num_classes is not None:
        numbers = _check_classes(numbers, path, num_classes)
    if out is not None:
        numbers = np.where(out, IGNORED, numbers)
    return numbers[0] if label.is_picture else numbers


def is_dicom_file(path: Path) -> bool:
    """Whether a label file is DICOM, by what it holds unless its ending says something else.

    Example:
        >>> is_dicom_file(Path("missing.dcm"))
        False
    """
    return not suffix_of(path) and path.is_file() and path.stat().st_size > 0 and is_dicom(path)


def _read_file(path: Path) -> CaseImage:
    suffix = check_file(path)
    if suffix in PICTURE_SUFFIXES:
        return CaseImage.from_array(read_label_picture(path)[None], path=path)
    return read_volume(path, suffix)


def _check_same_grid(label: CaseImage, image: CaseImage) -> None:
    """Raise `InputError` unless label and image have the same shape and place.

    Corners may differ by a hundredth of a voxel: writers round positions and directions to float32.
    """
    remedy = "give the label map of this image, on its grid"
    if label.is_picture != image.is_picture:
        kinds = ["a picture" if part.is_picture else "a volume" for part in (label, image)]
        raise InputError(label.path, f"is {kinds[0]}, its image {image.path} is {kinds[1]}", remedy)
    if _is_turned(label, image):
        problem = f"lies where its image {image.path} does, but its axes are stored in another order or direction"
        remedy = "resample it to the image's grid by nearest neighbour; do not edit its affine, that mirrors the mask"
        raise InputError(label.path, problem, remedy)
    if label.label_shape != image.label_shape:
        shapes = [" x ".join(str(size) for size in part.label_shape) for part in (label, image)]
        raise InputError(label.path, f"has the shape {shapes[0]}, its image {image.path} has {shapes[1]}", remedy)
    if label.affine is not None and image.affine is not None:
        distance = corner_distance(label.affine, image.affine, label.label_shape)
        if not distance <= max(1e-3, 0.01 * min(voxel_size(image.affine))):
            problem = f"lies elsewhere than its image {image.path} (up to {distance:.3g} mm apart)"
            remedy = "resample it to the image's grid, or fix its affine if its voxels are in the image's order"
            raise InputError(label.path, problem, remedy)


def _is_turned(label: CaseImage, image: CaseImage) -> bool:
    """Whether the voxels of a label are exactly those of its image in the world, along axes in another order or sense.

    Its corners may be a hundredth of a voxel off.
    """
    if label.affine is None or image.affine is None:
        return False
    steps = np.linalg.inv(image.affine) @ label.affine  # from indices of the label to those of the image
    turn = np.rint(steps[:3, :3])
    last = np.array(label.label_shape) - 1
    several = last > 0  # to reverse an axis of one voxel changes nothing
    if np.array_equal(turn[:, several], np.eye(3)[:, several]) or not np.array_equal(turn @ turn.T, np.eye(3)):
        return False
    if not np.array_equal(np.abs(turn) @ last, np.array(image.label_shape) - 1):
        return False
    exact = np.eye(4)
    exact[:3, :3], exact[:3, 3] = turn, -np.minimum(turn @ last, 0)  # a reversed axis begins at the image's end
    return corner_distance(steps, exact, label.label_shape) <= 0.01


def _to_integers(label: CaseImage) -> np.ndarray:
    """Turn stored values into whole numbers, slice by slice."""
    low, high = label.value_range()
    if max(-low, high) > _LARGEST:
        raise InputError(label.path, f"has values from {low:g} to {high:g}", "give one small number per class")
    dtype = np.uint8 if low >= 0 and high <= 255 else np.int32 if max(-low, high) < 2**31 else np.int64
    if label.array.dtype == dtype and label.slope == 1 and label.inter == 0:
        return label.array
    values = np.empty(label.array.shape, dtype, order="C" if label.is_picture else "F")
    for index in range(label.array.shape[-1]):
        exact = label.array[..., index].astype(np.float64) * label.slope + label.inter
        whole = np.rint(exact)
        odd = np.abs(exact - whole) > 1e-4  # float32 slopes do not give whole numbers exactly
        if odd.any():
            problem = f"holds values that are not whole, such as {float(exact[odd][0]):g}"
            raise InputError(label.path, problem, "give a label map, resampled with nearest neighbour")
        values[..., index] = whole
    return values


def _renumber(label: np.ndarray, path: Path, values: Sequence[int]) -> np.ndarray:
    """Put the number of its class in the place of each value."""
    order = np.argsort(values)
    sorted_values = np.asarray(values)[order]
    numbers = np.empty(label.shape, np.uint8 if len(values) <= 256 else np.int32, order="F" if label.ndim == 3 else "C")
    for index in range(label.shape[-1]):
        place = np.minimum(np.searchsorted(sorted_values, label[..., index]), len(sorted_values) - 1)
        wrong = label[..., index][sorted_values[place] != label[..., index]]
        if wrong.size:
            remedy = f"use {shorten([str(value) for value in sorted_values], 8)}"
            raise InputError(path, f"holds the label value {wrong[0]}, which is no class", remedy)
        numbers[..., index] = order[place]
    return numbers


def _check_classes(values: np.ndarray, path: Path, num_classes: int) -> np.ndarray:
    """Check that all values are below `num_classes`; a 0/255 mask of two classes becomes 0/1."""
    if values.min() >= 0 and values.max() < num_classes:
        return values
    distinct = sorted({int(value) for index in range(values.shape[-1]) for value in np.unique(values[..., index])})
    if num_classes == 2 and set(distinct) <= {0, 255}:
        return (values == 255).view(np.uint8)
    wrong = [value for value in distinct if not 0 <= value < num_classes]
    text = ", ".join(str(value) for value in wrong[:8]) + (", ..." if len(wrong) > 8 else "")
    remedy = f"use 0 to {num_classes - 1}, one number per class, or name more classes (the first is the background)"
    if len(distinct) <= num_classes < distinct[-1] and distinct[0] >= 0:  # some other value for each class
        named = ["0=background", *(f"{value}=NAME" for value in distinct if value)]
        meaning = "which value is which class"
        if len(named) < num_classes:  # other files may hold others: a list of these alone would refuse them next
            named, meaning = [*named, "..."], f"{meaning} in all files"
        remedy = f"use 0 to {num_classes - 1}, or say when the bundle is made {meaning} (labels {','.join(named)})"
    raise InputError(path, f"holds label values that are not classes: {text}", remedy)
