"""What an inferer is: anything that predicts a whole image on its own grid."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Axis
from monai_supmix.precision import Amp
from monai_supmix.transforms.intensity import IntensityRule


@runtime_checkable
class Inferer(Protocol):
    """Predicts images as :class:`SliceVolumeInferer` (plane by plane) and :class:`VolumeInferer` (3D windows) do.

    Evaluation, prediction and export take any object of this form.

    Example:
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> isinstance(SliceVolumeInferer(), Inferer)
        True
    """

    axis: Axis
    """The direction of the planes that are shown and warned about."""
    amp: Amp
    """Number format of the forward pass."""
    device: torch.device | str | None
    """Where to predict; ``None``: where the network is."""
    progress: bool
    """Whether to show progress on a terminal."""

    @property
    def settings(self) -> dict[str, Any]:
        """Plain values that say how it predicts, to record beside a mask."""

    def check(self, image: CaseImage, network: nn.Module) -> Any:
        """Raise `InputError` where an image does not fit the network or the working grid, without predicting it."""

    def __call__(
        self,
        image: CaseImage,
        /,
        network: nn.Module,
        intensity: IntensityRule,
        probabilities: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict one image.

        Args:
            image: as read, on its own grid.
            network: gives logits.
            intensity: maps the image's raw values to [0, 1].
            probabilities: filled if given: ``(classes, *image.label_shape)``, uint8 in units of 1/255 or
                floating point. An inferer that also takes ``confidence``, as those of this package do, tells how sure
                the network is of each class, see :func:`monai_supmix.inferers.confidence.predict_with_confidence`; one
                that takes ``uncleaned`` tells what its cleaning took away.

        Returns:
            uint8 label map of ``image.label_shape``.
        """
