"""DICOM segmentations and structure sets as label maps of the series that they were drawn on.

Voxels are placed by millimetres alone: the order of files, frames and contours has no say. Segments become classes by
their names, capitals and separators aside. Only where names say no more than a number, as
``Segment_2`` or ``label_2`` do, in the file or in the list of classes, it is their numbers that count.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom import Dataset

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.dicom import DicomImage
from monai_supmix.imageio.dicom_storage import quiet
from monai_supmix.imageio.rtstruct_reading import contoured, roi_names, rtstruct_series
from monai_supmix.imageio.seg_reading import seg_frames, seg_series, segment_names
from monai_supmix.imageio.slice_grid import SliceGrid
from monai_supmix.listing import shorten
from monai_supmix.naming import casefolded

_OTHER_SERIES = "give the label of this series, or the series that it was drawn on"
_ONLY_A_NUMBER = re.compile(r"(segment|label|class|structure|roi|region)?[\W_]*\d*", re.IGNORECASE)


def read_dicom_label(
    path: Path,
    image: CaseImage | None,
    num_classes: int | None = None,
    class_names: Sequence[str] | None = None,
    values: Sequence[int] | None = None,
) -> np.ndarray:
    """Read a segmentation or structure set as the label map of a series.

    Args:
        path: the file.
        image: the series it was drawn on.
        num_classes: number of classes.
        class_names: names of the classes, background first; without them segments are classes by their numbers.
        values: the number that the segment of each class has, where segments are classes by their numbers and these
            are not 1, 2, ... .

    Returns:
        numbers of classes, uint8 or uint16 ``(columns, rows, slices)``.

    Raises:
        InputError: a damaged file or another kind, of another series or place, with segments that are no class, or
            with segments of different classes that overlap.
    """
    if not isinstance(image, DicomImage):
        problem = "is a DICOM label, which can be read only with its DICOM series"
        raise InputError(path, problem, "give the folder of the series as the image")
    data = _read(path)
    names, series, read = _KINDS[str(data.Modality)]
    with quiet():
        try:
            numbers = _classes(path, names(data), num_classes, class_names, values)
            _check_series(path, series(data), image)
            dtype = np.uint8 if max([0, *numbers.values()]) <= 255 else np.uint16
            label = np.zeros(image.array.shape, dtype, order="F")
            overlapping = 0
            for segment, index, voxels in read(path, data, SliceGrid(image)):
                plane, number = label[:, :, index], numbers[segment]
                overlapping += int(np.count_nonzero(voxels & (plane != 0) & (plane != number)))
                plane[voxels] = number
        except InputError:
            raise
        except Exception as error:  # whatever pydicom stumbles over, or what is not there
            raise _damaged(path, error) from error
    if overlapping:
        problem = f"its segments overlap in {overlapping} voxels"
        raise InputError(path, problem, "give each voxel one class, for example by cutting one from the other")
    return label


def dicom_label_names(path: Path) -> dict[int, str]:
    """The names of a label's segments by their numbers.

    Raises:
        InputError: the file is damaged, or no label.
    """
    data = _read(path)
    with quiet():
        try:
            return _KINDS[str(data.Modality)][0](data)
        except Exception as error:
            raise _damaged(path, error) from error


def is_only_a_number(name: str) -> bool:
    """Whether the name of a segment says no more than its number.

    Example:
        >>> [is_only_a_number(name) for name in ("Segment_2", "3", "", "liver", "lobe 2")]
        [True, True, True, False, False]
    """
    return _ONLY_A_NUMBER.fullmatch(name.strip()) is not None


_KINDS: dict[str, tuple[Any, Any, Any]] = {
    "SEG": (segment_names, seg_series, seg_frames),
    "RTSTRUCT": (roi_names, rtstruct_series, contoured),
}


def _read(path: Path) -> Dataset:
    with quiet():
        try:
            data = pydicom.dcmread(path)
        except Exception as error:
            raise _damaged(path, error) from error
    modality = str(data.get("Modality") or "")
    if modality not in _KINDS:
        problem = f"is a DICOM file of modality {modality or 'unknown'}, no label"
        raise InputError(path, problem, "give a segmentation (SEG) or a structure set (RTSTRUCT)")
    return data


def _damaged(path: Path, error: Exception) -> InputError:
    # The text of the error may hold what identifies the patient.
    return InputError(path, f"is no whole DICOM label ({type(error).__name__})", "export it again")


def _classes(
    path: Path,
    names: dict[int, str],
    num_classes: int | None,
    class_names: Sequence[str] | None,
    values: Sequence[int] | None,
) -> dict[int, int]:
    """The class of each segment."""
    known = [] if class_names is None else list(class_names[1:])
    if not known or all(map(is_only_a_number, names.values())) or all(map(is_only_a_number, known)):
        for number, name in names.items():
            if (digits := re.findall(r"\d+", name)) and int(digits[-1]) != number:
                problem = f"has the segment {number} with the name {name!r}"
                raise InputError(path, problem, "export it with numbers and names that agree, or name the segments")
        order = list(range(num_classes or 1 + max([0, *names]))) if values is None else list(values)
        classes = {number: order.index(number) if number in order[1:] else 0 for number in names}
        remedy = f"use the numbers {shorten([str(number) for number in order[1:]], 8)}"
    else:
        classes = {number: _place(name, known) for number, name in names.items()}
        remedy = f"name segments like the classes {shorten(known, 8)}, or remove them"
    if wrong := [f"{number} ({names[number]})" for number, place in classes.items() if place == 0]:
        problem = f"holds segments that are no class: {shorten(wrong, 8)}"
        raise InputError(path, problem, remedy)
    return classes


def _place(name: str, known: Sequence[str]) -> int:
    """The class of a name: that of the same name, else the only one that differs in capitals or separators, else 0."""
    if name in known:
        return 1 + known.index(name)
    alike = [casefolded(other) == casefolded(name) for other in known]
    return 1 + alike.index(True) if sum(alike) == 1 else 0


def _check_series(path: Path, referred: tuple[set[str], set[str]], image: DicomImage) -> None:
    """Raise `InputError` for a label of another frame of reference or another series."""
    header = pydicom.dcmread(image.files[0], specific_tags=["SeriesInstanceUID", "FrameOfReferenceUID"])
    frames, series = referred
    if not frames:
        raise InputError(path, "does not say its frame of reference", "export it again")
    for wrong, words in (
        (frames != {str(header.get("FrameOfReferenceUID") or "")}, "frame of reference"),
        (series and str(header.get("SeriesInstanceUID") or "") not in series, "series"),
    ):
        if wrong:
            raise InputError(path, f"belongs to another {words} than its image {image.path}", _OTHER_SERIES)
