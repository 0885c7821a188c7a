"""DICOM segmentations (SEG): which voxels of a series each frame covers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset

from monai_supmix.errors import InputError
from monai_supmix.imageio.slice_grid import SliceGrid

_ON_VOXEL = 0.1  # of a voxel: what writers round away is far less
_ON_GRID = "give a segmentation on the voxels of its series, not resampled"


def segment_names(data: Dataset) -> dict[int, str]:
    """The segments' labels by their numbers; number 0 of label maps is the background."""
    segments = ((int(part.SegmentNumber), str(part.get("SegmentLabel") or "")) for part in data.SegmentSequence)
    return {number: name for number, name in segments if number}


def seg_series(data: Dataset) -> tuple[set[str], set[str]]:
    """The frames of reference and the series that a segmentation refers to."""
    series = {str(part.SeriesInstanceUID) for part in data.get("ReferencedSeriesSequence") or ()}
    return {str(data.FrameOfReferenceUID)} if data.get("FrameOfReferenceUID") else set(), series


def seg_frames(path: Path, data: Dataset, grid: SliceGrid) -> Iterator[tuple[int, int, np.ndarray]]:
    """The voxels of each frame.

    Args:
        path: the file, for errors.
        data: its content.
        grid: the series.

    Yields:
        number of the segment, index of the slice, and bool ``(columns, rows)`` of its voxels.

    Raises:
        InputError: fractions, or frames that are not on the voxels of the series.
    """
    kind = str(data.SegmentationType)
    frames = data.pixel_array.reshape(-1, int(data.Rows), int(data.Columns))
    if kind == "FRACTIONAL":
        whole = int(data.MaximumFractionalValue)
        if not np.isin(frames, (0, whole)).all():  # where to cut them is nobody's choice but the author's
            raise InputError(path, "holds fractions, no whole voxels", "export a binary segmentation")
        frames = frames == whole
    shared = data.SharedFunctionalGroupsSequence[0]
    for frame, groups in zip(frames.transpose(0, 2, 1), data.PerFrameFunctionalGroupsSequence, strict=True):
        if not frame.any():
            continue
        index, columns, rows = _place(path, frame != 0, groups, shared, grid)
        if kind == "LABELMAP":
            numbers = frame[frame != 0]
        else:
            segment = _group("SegmentIdentificationSequence", groups, shared).ReferencedSegmentNumber
            numbers = np.full(len(columns), int(segment))
        for number in np.unique(numbers):
            voxels = np.zeros(grid.shape[:2], bool)
            voxels[columns[numbers == number], rows[numbers == number]] = True
            yield int(number), index, voxels


def _group(name: str, groups: Dataset, shared: Dataset) -> Any:
    """What is said of a frame, or of all."""
    return (groups.get(name) or shared[name].value)[0]


def _place(
    path: Path, frame: np.ndarray, groups: Dataset, shared: Dataset, grid: SliceGrid
) -> tuple[int, np.ndarray, np.ndarray]:
    """The slice of a frame ``(columns, rows)``, and the columns and rows there of its pixels that are set."""
    position = np.array(_group("PlanePositionSequence", groups, shared).ImagePositionPatient, float)
    orientation = _group("PlaneOrientationSequence", groups, shared).ImageOrientationPatient
    rows_apart, columns_apart = _group("PixelMeasuresSequence", groups, shared).PixelSpacing
    size = np.array(frame.shape)
    edges = np.array(orientation, float).reshape(2, 3) * np.array([[columns_apart], [rows_apart]], float)
    located = grid.locate(position + np.array([[0, 0], [size[0], 0], [0, size[1]]]) @ edges)
    if located is None:
        raise InputError(path, "holds frames that lie in no slice of its series", _ON_GRID)
    index, corners = located
    first, steps = np.rint(corners[0]), np.rint((corners[1:] - corners[0]) / size[:, None])
    away = np.abs(corners - [first, first + size[0] * steps[0], first + size[1] * steps[1]]).max()
    if away > _ON_VOXEL or abs(round(np.linalg.det(steps))) != 1:
        raise InputError(path, "holds frames on other voxels than those of its series", _ON_GRID)
    pixels = np.stack(np.nonzero(frame), axis=1)
    voxels = (first + pixels @ steps).astype(int)
    if (voxels < 0).any() or (voxels >= grid.shape[:2]).any():
        raise InputError(path, "marks voxels outside of its series", _ON_GRID)
    return index, voxels[:, 0], voxels[:, 1]
