"""Label maps of whole volumes by a 3D network, window by window, on the volume's own grid."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.inferers import SlidingWindowInferer
from torch import Tensor, nn

from monai_supmix.data.intensity_fitting import fit_intensity
from monai_supmix.data.volume_loading import volume_grid, working_volume
from monai_supmix.data.working_grid import resize_across, resize_planes
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Axis, Planes, check_axis
from monai_supmix.inferers.filling import Filling, blank, refuse_nan
from monai_supmix.inferers.flips import Flips, class_probabilities
from monai_supmix.inferers.slice_volume import check_channels
from monai_supmix.inferers.tensors import CaseInferer, device_of
from monai_supmix.networks.modes import evaluating
from monai_supmix.precision import Amp, autocast
from monai_supmix.transforms.intensity import IntensityRule
from monai_supmix.weights import unwrap

_PLANES_AT_ONCE = 8


class VolumeInferer(CaseInferer):
    """Predict a volume with a 3D network and give its label map on its own grid.

    MONAI's ``SlidingWindowInferer`` over the working grid; where windows overlap, probabilities are averaged with
    Gaussian weights. As with :class:`monai_supmix.inferers.SliceVolumeInferer`, whose place it takes for 3D networks,
    the volume is seen in the usual view whatever way the file stores it, and every voxel gets the most probable class,
    decided on the native grid from interpolated probabilities.

    Args:
        roi_size: ``(D, H, W)`` of a window on the working grid: the size of training's crops. A smaller volume is
            padded with 0.
        working: the network's working grid, ``{"size": [d, h, w]}``, ``{"scale": f}``, ``{"spacing": [mm, mm, mm]}``
            or nothing for the volume's own, see :func:`monai_supmix.data.working_grid.working_volume_shape`.
        axis: direction of the planes, first axis of the working grid.
        overlap: of neighbouring windows, as a fraction of a window.
        batch_size: windows per forward pass.
        flips: average over views mirrored within planes, see :data:`monai_supmix.inferers.flips.Flips`.
        amp: number format of the forward pass, see :mod:`monai_supmix.precision`.
        device: where to run; the network is moved there. ``None`` is where its parameters are.
        progress: show a bar over the windows, if the output is a terminal.
        cleaning: rules that keep one connected component of some classes each, applied to the label map, see
            :func:`monai_supmix.transforms.clean`.
        intensity: gives each volume its rule where a call brings none, as those of MONAI's tools, which come with a
            tensor.

    Raises:
        ValueError: a wrong argument.

    Example:
        >>> class Above:  # an intensity rule
        ...     def fit(self, array): return None
        ...     def apply(self, part, params): return part / 100
        >>> volume = CaseImage.from_array(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
        >>> VolumeInferer((4, 4, 4))(volume, nn.Conv3d(1, 2, 1), Above()).shape
        (3, 4, 5)
    """

    def __init__(
        self,
        roi_size: Sequence[int],
        working: Mapping[str, Any] | None = None,
        *,
        axis: Axis = "axial",
        overlap: float = 0.25,
        batch_size: int = 1,
        flips: Flips = False,
        amp: Amp = "auto",
        device: torch.device | str | None = None,
        progress: bool = False,
        cleaning: Sequence[Mapping[str, Any]] = (),
        intensity: Callable[[CaseImage], IntensityRule] | None = None,
    ) -> None:
        check_axis(axis)
        if (
            not isinstance(roi_size, (list, tuple))
            or len(roi_size) != 3
            or min(roi_size) < 1
            or batch_size < 1
            or not 0 <= overlap < 1
        ):
            raise ValueError(
                "roi_size is three sides of at least 1, batch_size at least 1 and overlap in [0, 1), not "
                f"{roi_size}, {batch_size} and {overlap}."
            )
        self.roi_size, self.working, self.axis = tuple(roi_size), dict(working or {}), axis
        self.overlap, self.batch_size = overlap, batch_size
        self.flips, self.amp, self.device, self.progress = flips, amp, device, progress
        self.cleaning, self.intensity = [dict(rule) for rule in cleaning], intensity

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that a mask depends on, for records."""
        return {
            "axis": self.axis,
            "working": self.working,
            "roi_size": list(self.roi_size),
            "overlap": self.overlap,
            "flips": self.flips,
            **({"cleaning": self.cleaning} if self.cleaning else {}),
        }

    def check(self, image: CaseImage, network: nn.Module) -> tuple[Planes, tuple[int, int, int]]:
        """Check that an image fits the network and the working grid, without predicting it.

        Args:
            image: the image.
            network: the network.

        Returns:
            its planes and the shape of the working grid.

        Raises:
            InputError: it does not fit, as pictures never do, or windows are of a size that the network cannot take.
        """
        self.check_window(network)
        grid = volume_grid(image, self.axis, self.working)
        check_channels(image, network)
        return grid

    def check_window(self, network: nn.Module) -> None:
        """Raise `InputError` where the windows are of a size that a network cannot take."""
        divisor = getattr(unwrap(network), "divisor", 1)
        if any(side % divisor for side in self.roi_size):
            problem = f"is {list(self.roi_size)}, and the network takes windows of multiples of {divisor}"
            raise InputError("roi_size", problem, "give such a size to the inferer")

    def probabilities(self, network: nn.Module, images: Tensor) -> Tensor:
        """Class probabilities of volumes that are on the working grid already, without checks.

        Args:
            network: gives logits ``(B, K, D, H, W)``.
            images: ``(B, C, D, H, W)`` in [0, 1].

        Returns:
            float32 ``(B, K, D, H, W)`` on the device of the images.
        """
        device = device_of(network)

        def predict(windows: Tensor) -> Tensor:
            with autocast(self.amp, device):
                return class_probabilities(network, windows, self.flips)

        slide = SlidingWindowInferer(
            self.roi_size,
            self.batch_size,
            self.overlap,
            mode="gaussian",
            sw_device=device,
            device=images.device,
            progress=self.progress and sys.stderr.isatty(),
        )
        return slide(images, predict)  # type: ignore[return-value]  # one tensor goes in and one comes out

    def predict(
        self,
        image: CaseImage,
        network: nn.Module,
        intensity: IntensityRule,
        probabilities: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict one volume; a call, see :meth:`CaseInferer.__call__`, also cleans the label map.

        Args:
            image: the volume.
            network: the network.
            intensity: fitted to the whole volume, then applied: raw values to [0, 1].
            probabilities: filled if given.
            confidence: filled if given.

        Returns:
            uint8 label map of ``image.label_shape``, ``(X, Y, Z)``.
        """
        planes, shape = self.check(image, network)
        volume = working_volume(planes, intensity, fit_intensity(image, intensity), shape)
        if self.device is not None:
            network.to(self.device)
        with evaluating(network), torch.inference_mode():
            predicted = self.probabilities(network, volume[None])[0]  # kept on the host, only windows go to the device
        refuse_nan(predicted, image)
        filling = Filling(planes, blank(image), probabilities, confidence)
        across = resize_across(predicted, len(planes)).movedim(1, 0)
        for start in range(0, len(planes), _PLANES_AT_ONCE):
            part = slice(start, start + _PLANES_AT_ONCE)
            filling.put((part,), resize_planes(across[part], planes.shape))
        return filling.mask
