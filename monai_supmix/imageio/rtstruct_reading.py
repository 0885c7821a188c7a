"""DICOM structure sets (RTSTRUCT): which voxels of a series lie inside the contours of each region.

A voxel counts by its centre. Several contours of a region in one slice are combined by exclusive or, so that contours
inside of others are holes, as are those that are joined to them by a cut.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom import Dataset

from monai_supmix.errors import InputError
from monai_supmix.imageio.outlines import fill
from monai_supmix.imageio.slice_grid import SliceGrid

_CLOSED = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR")
_BEYOND = 1.0  # voxels by which contours may leave the image: hands that draw around a body do so


def roi_names(data: Dataset) -> dict[int, str]:
    """The names of the regions that have contours, by their numbers."""
    drawn = {int(region.ReferencedROINumber) for region in data.ROIContourSequence if region.get("ContourSequence")}
    regions = ((int(region.ROINumber), str(region.get("ROIName") or "")) for region in data.StructureSetROISequence)
    return {number: name for number, name in regions if number in drawn}


def rtstruct_series(data: Dataset) -> tuple[set[str], set[str]]:
    """The frames of reference and the series that a structure set refers to."""
    frames = data.get("ReferencedFrameOfReferenceSequence") or ()
    of_frames = {str(frame.FrameOfReferenceUID) for frame in frames}
    studies = [study for frame in frames for study in frame.get("RTReferencedStudySequence") or ()]
    series = [part for study in studies for part in study.get("RTReferencedSeriesSequence") or ()]
    drawn = roi_names(data)
    regions = [region for region in data.StructureSetROISequence if int(region.ROINumber) in drawn]
    of_regions = {str(region.get("ReferencedFrameOfReferenceUID") or "") for region in regions} - {""}
    return of_regions or of_frames, {str(part.SeriesInstanceUID) for part in series}


def contoured(path: Path, data: Dataset, grid: SliceGrid) -> Iterator[tuple[int, int, np.ndarray]]:
    """The voxels inside the contours of each region.

    Args:
        path: the file, for errors.
        data: its content.
        grid: the series.

    Yields:
        number of the region, index of the slice, and bool ``(columns, rows)`` of its voxels.

    Raises:
        InputError: contours that are not closed, lie in no slice of the series, leave its image, or enclose no voxel.
    """
    drawn: dict[int, list[Dataset]] = defaultdict(list)
    for region in data.ROIContourSequence:  # contours of one region may stand in several items
        drawn[int(region.ReferencedROINumber)] += region.get("ContourSequence") or ()
    for number, contours in drawn.items():
        slices: dict[int, list[np.ndarray]] = defaultdict(list)
        for contour in contours:
            kind = str(contour.ContourGeometricType)
            if kind not in _CLOSED:
                problem = f"holds contours of the type {kind}, which enclose nothing"
                raise InputError(path, problem, "remove their regions, or draw closed contours (CLOSED_PLANAR)")
            located = grid.locate(np.array(contour.ContourData, float).reshape(-1, 3))
            if located is None:
                problem = "holds contours that lie in no slice of its series"
                raise InputError(path, problem, "draw them on the slices of the series")
            index, points = located
            if (points < -0.5 - _BEYOND).any() or (points > np.array(grid.shape[:2]) - 0.5 + _BEYOND).any():
                raise InputError(path, "holds contours that leave the image", "cut them at its border")
            if not any(np.array_equal(points, other) for other in slices[index]):  # written twice, it would be a hole
                slices[index].append(points)
        filled = {index: fill(polygons, (grid.shape[0], grid.shape[1])) for index, polygons in slices.items()}
        if filled and not any(voxels.any() for voxels in filled.values()):
            problem = f"holds the region {number}, whose contours enclose no voxel"
            raise InputError(path, problem, "draw it larger, or remove it")
        for index, voxels in filled.items():
            yield number, index, voxels
