"""Label maps of whole images, plane by plane, on the image's own grid and in little memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm import tqdm

from monai_supmix.data.intensity_fitting import fit_intensity
from monai_supmix.data.working_grid import from_working_grid, resize_planes, to_working_grid, working_shape
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Axis, Planes, check_axis
from monai_supmix.inferers.competing import Competition, competition, everywhere
from monai_supmix.inferers.filling import Filling, blank, refuse_nan
from monai_supmix.inferers.flips import Flips, class_probabilities
from monai_supmix.inferers.tensors import CaseInferer, device_of, input_channels
from monai_supmix.inferers.turned_views import View, mean_over_views
from monai_supmix.listing import counted
from monai_supmix.networks.modes import evaluating
from monai_supmix.precision import Amp, autocast
from monai_supmix.transforms.intensity import IntensityRule

_CACHED_PLANES = 2  # on a processor, whose cache holds the feature maps of so many; eight took 1.4 times as long
_MANY_WEIGHTS = 10_000_000  # of a network with more, which each pass reads anew, eight planes took 0.87 of the time


def predict_planes(
    network: nn.Module,
    planes: Tensor,
    shape: tuple[int, int] | None = None,
    *,
    divisor: int = 16,
    flips: Flips = False,
    amp: Amp = "auto",
) -> Tensor:
    """Class probabilities of a batch of planes, computed on the working grid, given on the planes' own.

    Args:
        network: gives logits ``(B, K, H, W)``.
        planes: ``(B, C, H, W)`` in [0, 1], on the device of the network.
        shape: ``(h, w)`` of the working grid; ``None`` is the planes' own.
        divisor: the working grid is padded (below and right, repeating the edge) to sides divisible by this.
        flips: average over mirrored views, see `class_probabilities`.
        amp: number format of the forward pass, see `monai_supmix.precision`.

    Returns:
        float32 ``(B, K, H, W)``, K probabilities for each pixel of `planes`.

    Example:
        >>> network = nn.Conv2d(1, 3, 1)
        >>> predict_planes(network, torch.rand(2, 1, 30, 20), shape=(15, 10)).shape
        torch.Size([2, 3, 30, 20])
    """
    native = (int(planes.shape[2]), int(planes.shape[3]))
    return resize_planes(_on_working_grid(network, planes, shape or native, divisor, flips, amp), native)


def _on_working_grid(
    network: nn.Module, planes: Tensor, shape: tuple[int, int], divisor: int, flips: Flips, amp: Amp
) -> Tensor:
    """Class probabilities ``(B, K, h, w)``, see `predict_planes`."""
    height, width = shape
    images = F.pad(resize_planes(planes, shape), (0, -width % divisor, 0, -height % divisor), mode="replicate")
    # Only the input: convolutions follow its layout, and the caller's network stays as it is.
    images = images.contiguous(memory_format=torch.channels_last)
    with autocast(amp, planes.device):
        return class_probabilities(network, images, flips)[..., :height, :width]


def _passes(count: int, size: int) -> list[slice]:
    """Cut a batch into passes of `size`, the last of up to ``size + 1``: none is left with a single plane.

    For a single image the library of convolutions takes another kernel, which rounds differently.

    Example:
        >>> [(part.start, part.stop) for part in _passes(7, 2)]
        [(0, 2), (2, 4), (4, 7)]
    """
    edges = [*range(0, max(count - 1, 1), size), count]
    return [slice(*pair) for pair in pairwise(edges)]


class SliceVolumeInferer(CaseInferer):
    """Predict an image plane by plane and give its label map on its own grid.

    The planes are seen in the usual view (see :class:`monai_supmix.imageio.planes.Planes`) whatever way the file
    stores them; every pixel gets the most probable class, decided on the native grid from probabilities that
    are interpolated, never from interpolated labels. A picture is one plane. No float copy of a volume is
    made.

    Args:
        axis: direction of the planes of a volume.
        batch_size: planes per forward pass; on a processor they pass two or three at a time, with the same result,
            unless the network has more than ten million weights.
        working: the network's working grid, ``{"size": [h, w]}``, ``{"scale": f}``, ``{"spacing": [mm, mm]}``,
            ``{"center": [h, w]}`` or nothing for the planes' own, see
            :func:`monai_supmix.data.working_grid.working_shape`.
        divisor: the working grid is padded to sides divisible by this.
        flips: average the probabilities over mirrored views, see :data:`monai_supmix.inferers.flips.Flips`.
        views: also average over turned and scaled views, ``[degrees, scale]`` each, see
            :func:`monai_supmix.inferers.turned_views.mean_over_views`.
        amp: number format of the forward pass, see :mod:`monai_supmix.precision`.
        device: where to run; the network is moved there. ``None`` is where its parameters are.
        progress: show a bar over the planes of volumes, if the output is a terminal.
        cleaning: rules that keep one connected component of some classes each, applied to the label map in their
            order, see :func:`monai_supmix.transforms.clean`; probabilities stay as they are.
        intensity: gives each image its rule where a call brings none, as those of MONAI's tools, which come with a
            tensor.

    Raises:
        ValueError: a wrong argument.

    Example:
        >>> from monai_supmix.imageio.case_image import CaseImage
        >>> class Above:  # an intensity rule
        ...     def fit(self, array): return None
        ...     def apply(self, part, params): return part / 100
        >>> volume = CaseImage.from_array(np.arange(60, dtype=np.int16).reshape(3, 4, 5), np.eye(4))
        >>> network = nn.Conv2d(1, 2, 1)
        >>> SliceVolumeInferer(divisor=1)(volume, network, Above()).shape
        (3, 4, 5)
    """

    def __init__(
        self,
        axis: Axis = "axial",
        batch_size: int = 8,
        working: Mapping[str, Any] | None = None,
        *,
        divisor: int = 16,
        flips: Flips = False,
        views: Sequence[View] = (),
        amp: Amp = "auto",
        device: torch.device | str | None = None,
        progress: bool = False,
        cleaning: Sequence[Mapping[str, Any]] = (),
        intensity: Callable[[CaseImage], IntensityRule] | None = None,
    ) -> None:
        check_axis(axis)
        if batch_size < 1 or divisor < 1:
            raise ValueError(f"batch_size and divisor are at least 1, not {batch_size} and {divisor}.")
        self.axis, self.batch_size, self.divisor = axis, batch_size, divisor
        self.working = dict(working or {})
        self.flips, self.amp, self.device, self.progress = flips, amp, device, progress
        self.views, self.cleaning = [list(view) for view in views], [dict(rule) for rule in cleaning]
        self.intensity = intensity

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that a mask depends on, for records."""
        more = {"views": self.views, "cleaning": self.cleaning}
        plain = {"axis": self.axis, "working": self.working, "divisor": self.divisor, "flips": self.flips}
        return plain | {name: value for name, value in more.items() if value}

    def probabilities(self, network: nn.Module, images: Tensor) -> Tensor:
        """Class probabilities of planes that are on the working grid already, without checks.

        Args:
            network: gives logits ``(B, K, H, W)``.
            images: ``(B, C, H, W)`` in [0, 1], on the device of the network.

        Returns:
            float32 ``(B, K, H, W)``.
        """
        return predict_planes(network, images, divisor=self.divisor, flips=self.flips, amp=self.amp)

    def check(self, image: CaseImage, network: nn.Module) -> tuple[Planes, tuple[int, int]]:
        """Check that an image fits the network, the axis and the working grid, without predicting it.

        Args:
            image: the image.
            network: the network.

        Returns:
            its planes and the size of the working grid.

        Raises:
            InputError: it does not fit.
        """
        check_channels(image, network)
        planes = Planes(image, self.axis)
        return planes, working_shape(planes.shape, planes.spacing, self.working, image.path)

    def predict(
        self,
        image: CaseImage,
        network: nn.Module,
        intensity: IntensityRule,
        probabilities: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict one image; a call, see :meth:`CaseInferer.__call__`, also cleans the label map.

        Args:
            image: the image.
            network: the network.
            intensity: fitted to the whole image, then applied to each plane: raw values to [0, 1].
            probabilities: filled if given.
            confidence: filled if given.

        Returns:
            uint8 label map of ``image.label_shape``.
        """
        planes, shape = self.check(image, network)
        params = fit_intensity(image, intensity)
        filling = Filling(planes, blank(image), probabilities, confidence)
        if self.device is not None:
            network.to(self.device)
        device = device_of(network, self.device or "cpu")
        starts = range(0, len(planes), self.batch_size)
        hidden = None if self.progress and len(planes) > 1 else True  # None: hidden unless on a terminal
        at_once = _CACHED_PLANES if device.type == "cpu" else self.batch_size
        many_weights = sum(parameter.numel() for parameter in network.parameters()) > _MANY_WEIGHTS
        in_a_pass = self.batch_size if many_weights else getattr(network, "images_at_once", None) or at_once

        def on_working_grid(images: Tensor) -> Tensor:
            return _on_working_grid(network, images, shape, self.divisor, self.flips, self.amp)

        with evaluating(network), torch.inference_mode():
            for start in tqdm(starts, desc="slices", leave=False, disable=hidden):
                stop = min(start + self.batch_size, len(planes))
                native = (torch.from_numpy(intensity.apply(planes[k], params)) for k in range(start, stop))
                images = torch.cat(
                    [to_working_grid(plane[None].to(device, torch.float32), shape, self.working) for plane in native]
                )
                passes = _passes(stop - start, in_a_pass)
                small = torch.cat([mean_over_views(on_working_grid, images[part], self.views) for part in passes])
                refuse_nan(small, image)
                for part in _passes(stop - start, at_once):
                    self._decide(small[part], start + part.start, filling)
        return filling.mask

    def _decide(self, probabilities: Tensor, first: int, filling: Filling) -> None:
        """Decide some planes on their own grid, the first of which has the number `first`, where classes compete."""
        native = filling.planes.shape
        competing: Competition | None = everywhere(probabilities, native)
        if filling.probabilities is None and probabilities.device.type == "cpu":
            competing = competition(probabilities, native, self.working)
        if competing is None:  # all is background, as the mask is already
            return
        window = (slice(None), slice(None), *competing.working)
        predicted = from_working_grid(probabilities[window][:, competing.classes], competing.shape, self.working)
        filling.put((slice(first, first + len(probabilities)), *competing.native), predicted, competing.classes)


def check_channels(image: CaseImage, network: nn.Module) -> None:
    """Raise `InputError` if the network takes another number of channels than the image has.

    Args:
        image: the image.
        network: see `input_channels`; where it does not say, nothing is checked.
    """
    wanted = input_channels(network) or image.channels
    if wanted != image.channels:
        problem = f"the network takes {counted(wanted, 'channel')}, the image has {image.channels}"
        remedy = "convert the picture to grey" if wanted == 1 else "give colour pictures, or a network for grey images"
        raise InputError(image.path, problem, remedy)
