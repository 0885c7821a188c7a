"""The arrays that the prediction of an image fills, on the image's own grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Planes
from monai_supmix.inferers.most_probable import decide


@dataclass(frozen=True)
class Filling:
    """A label map and, where they are asked for, probabilities and confidence, filled some planes at a time.

    Args:
        planes: those of the image.
        mask: uint8 label map of the image's ``label_shape``, see `blank`.
        probabilities: ``(classes, *label_shape)``, uint8 (in units of 1/255) or floating point; may be a memory map.
        confidence: uint8 of ``label_shape``, the highest probability in units of 1/255.

    Example:
        >>> image = CaseImage.from_array(np.zeros((1, 1, 2), np.uint8))
        >>> filling = Filling(Planes(image), blank(image))
        >>> filling.put((slice(0, 1),), torch.tensor([[[[0.3, 0.8]], [[0.7, 0.2]]]]))
        >>> filling.mask
        array([[1, 0]], dtype=uint8)
    """

    planes: Planes
    mask: np.ndarray
    probabilities: np.ndarray | None = None
    confidence: np.ndarray | None = None

    def put(self, where: tuple[slice, ...], predicted: Tensor, classes: Sequence[int] | None = None) -> None:
        """Fill in some planes, or a window of them.

        Args:
            where: which planes, and which rows and columns if not all; probabilities are of whole planes.
            predicted: their class probabilities ``(N, K, H, W)``.
            classes: the numbers of these classes, ascending from 0; ``None``: all.

        Raises:
            ValueError: there are more than 256 classes, or `probabilities` is for another number of them.
        """
        labels, highest = decide(predicted, classes)
        self.planes.view(self.mask)[where] = labels.cpu().numpy()
        if self.confidence is not None:
            self.planes.view(self.confidence)[where] = _in_255ths(highest).cpu().numpy()
        if self.probabilities is not None:
            store_probabilities(self.probabilities, predicted, self.planes.view, where[0])


def blank(image: CaseImage) -> np.ndarray:
    """An empty label map on an image's grid, laid out in memory as images of its kind are."""
    return np.zeros(image.label_shape, np.uint8, order="C" if image.is_picture else "F")


def store_probabilities(probabilities: np.ndarray, predicted: Tensor, view: Any, part: slice) -> None:
    """Write the probabilities of some planes into an array on the image's grid.

    Args:
        probabilities: ``(classes, *shape)``, uint8 (in units of 1/255) or floating point.
        predicted: ``(N, classes, H, W)``.
        view: shows an array of ``shape`` as planes, see :meth:`monai_supmix.imageio.planes.Planes.view`.
        part: which planes these are.

    Raises:
        ValueError: the array is for another number of classes.
    """
    if len(probabilities) != predicted.shape[1]:
        raise ValueError(f"probabilities is for {len(probabilities)} classes, the network has {predicted.shape[1]}.")
    if probabilities.dtype == np.uint8:
        predicted = _in_255ths(predicted)
    for of_class, values in zip(probabilities, predicted.cpu().numpy().swapaxes(0, 1), strict=True):
        view(of_class)[part] = values


def refuse_nan(predicted: Tensor, image: CaseImage) -> None:
    """Raise `InputError` for probabilities that are none.

    Args:
        predicted: values in [0, 1], so that their sum is finite unless one of them is not.
        image: what was predicted.
    """
    if not bool(predicted.sum().isfinite()):
        remedy = "check weights and intensity rule, or set amp to false"
        raise InputError(image.path, "the network gives NaN or infinite values", remedy)


def _in_255ths(values: Tensor) -> Tensor:
    return (values * 255).round_().to(torch.uint8)
