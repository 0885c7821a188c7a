"""Where points in millimetres lie in the slices of a DICOM series."""

from __future__ import annotations

import numpy as np

from monai_supmix.imageio.case_image import LPS_TO_RAS
from monai_supmix.imageio.dicom import DicomImage

_ON_SLICE = 0.1  # of the distance of two slices: what writers round away is far less


class SliceGrid:
    """The slices of a series, each at the place that its own file gives it.

    Args:
        image: the series.

    Attributes:
        shape: ``(columns, rows, slices)``.
    """

    def __init__(self, image: DicomImage) -> None:
        assert image.affine is not None
        self.shape = image.array.shape
        self._steps = (LPS_TO_RAS @ image.affine)[:3, :2]
        normal = np.cross(*self._steps.T)
        self._normal = normal / np.linalg.norm(normal)
        self._positions = image.positions
        self._depths = image.positions @ self._normal
        thickness = abs(float((LPS_TO_RAS @ image.affine)[:3, 2] @ self._normal))
        self._tolerance = _ON_SLICE * thickness

    def locate(self, points: np.ndarray) -> tuple[int, np.ndarray] | None:
        """Find the slice that points lie in.

        Args:
            points: ``(N, 3)``, LPS millimetres.

        Returns:
            the slice, and ``(N, 2)`` column and row of each point, whole numbers being voxels' centres; ``None`` if
            there is no slice in which all of them lie.
        """
        depths = points @ self._normal
        index = int(np.abs(self._depths - depths.mean()).argmin())
        if not np.abs(depths - self._depths[index]).max() <= self._tolerance:  # NaN lies nowhere
            return None
        return index, (points - self._positions[index]) @ self._steps / (self._steps**2).sum(axis=0)
