"""What loading a case for training is, whether its planes or the whole volume are trained on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Transform

from monai_supmix.data.intensity_fitting import fit_intensity
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import load_case
from monai_supmix.imageio.partly import IGNORED, labelled_mask
from monai_supmix.imageio.planes import Axis, Planes
from monai_supmix.transforms.intensity import IntensityRule


class CaseLoading(Transform):
    """Base of the loaders: reads an item, and brings image and label to the working grid as the loader says.

    Args:
        intensity: gives the rule that maps an image's raw values to [0, 1].
        num_classes: label values must be below it; at most 255, for labels are kept as uint8 with 255 for ignored.
        working: the working grid.
        axis: direction of the planes of a volume.

    Raises:
        InputError: there are more classes; when called, for a file that cannot be read or does not fit its label.
    """

    def __init__(
        self,
        intensity: Callable[[CaseImage], IntensityRule],
        num_classes: int,
        working: Mapping[str, Any] | None = None,
        axis: Axis = "axial",
    ) -> None:
        if num_classes > IGNORED:
            problem = f"is {num_classes}, and training keeps labels as bytes, of which {IGNORED} is for ignored pixels"
            raise InputError("num_classes", problem, f"use at most {IGNORED} classes, for example by merging some")
        self.intensity, self.num_classes, self.working, self.axis = intensity, num_classes, working, axis

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Load one item."""
        image, label = load_case(data, self.num_classes)
        planes, shape = self._grid(image)
        rule = self.intensity(image)
        result: dict[str, Any] = {
            "image": self._to_grid(planes, rule, fit_intensity(image, rule), shape),
            "case": data["case"],
            "plane_shape": planes.shape,
            "spacing": planes.spacing,
        }
        if label is not None:
            values = torch.from_numpy(np.ascontiguousarray(planes.view(label.astype(np.uint8))))[:, None]
            labelled = torch.from_numpy(labelled_mask(data, self.num_classes))
            result.update(self._label_to_grid(values, labelled, shape))
        return result

    @abstractmethod
    def _grid(self, image: CaseImage) -> tuple[Planes, Any]:
        """The image's planes and its shape on the working grid."""

    @abstractmethod
    def _to_grid(self, planes: Planes, rule: IntensityRule, params: dict[str, Any], shape: Any) -> torch.Tensor:
        """The image on the working grid, float16 in [0, 1]."""

    @abstractmethod
    def _label_to_grid(self, values: torch.Tensor, labelled: torch.Tensor, shape: Any) -> dict[str, Any]:
        """What the result says of the label.

        Args:
            values: uint8 ``(planes, 1, H, W)`` on the file's own grid.
            labelled: bool ``(num_classes,)``, see :func:`monai_supmix.imageio.partly.labelled_mask`.
            shape: of the working grid.
        """
