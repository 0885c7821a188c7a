"""Statistics of batch normalisation for what a trained network will see: whole images instead of augmented crops."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from monai_supmix.data.planes_loading import evenly_spaced
from monai_supmix.networks.modes import evaluating
from monai_supmix.weights import unwrap


class RecalibrateBatchNorm:
    """Estimates the running statistics of a trained network anew, over the whole planes of its training images.

    During training these statistics follow crops that were turned, scaled, padded and changed in brightness; whole
    planes, which is what the network predicts, have others. The weights stay as they are. Which images are seen is the
    caller's decision: those that the method trains on. (Wu, Johnson, "Rethinking 'Batch' in BatchNorm", 2021, call it
    PreciseBN; over images without labels it is the AdaBN of Li et al., "Revisiting Batch Normalization For Practical
    Domain Adaptation", 2016.) The statistics follow from weights and images alone: doing it twice changes nothing.
    Planes pass one by one, and only layers of batch normalisation are in training mode, so that nothing is dropped;
    deeper ones see what was normalised plane by plane: for networks with dozens of such layers, such as a pretrained
    encoder, those of the training are better.

    Args:
        network: the network, perhaps wrapped for several devices. One without batch normalisation is left as it is.
        items: what :class:`monai_supmix.data.LoadPlanes` makes of the images: ``image`` ``(Z, C, H, W)`` in [0, 1].
        divisor: planes are padded (below and right, repeating the edge) to sides divisible by this, as for prediction;
            the smallest ones to twice this in width, for a deep layer that sees a single value has no statistics.
        planes_per_case: at most so many planes of a volume, evenly spaced.

    Raises:
        ValueError: ``planes_per_case`` or ``divisor`` is below 1.

    Example:
        >>> import torch
        >>> network = nn.BatchNorm2d(1)
        >>> RecalibrateBatchNorm(network, [{"image": torch.full((1, 1, 8, 8), 0.25)}])()
        >>> network.running_mean.item(), network.training
        (0.25, True)
    """

    def __init__(
        self, network: nn.Module, items: Sequence[Mapping[str, Any]], divisor: int = 1, planes_per_case: int = 8
    ) -> None:
        if min(divisor, planes_per_case) < 1:
            raise ValueError(f"divisor and planes_per_case are at least 1, not {divisor} and {planes_per_case}.")
        self.network, self.items = network, items
        self.divisor, self.planes_per_case = divisor, planes_per_case

    def __call__(self, network: nn.Module | None = None) -> None:
        """Recalibrate. Every process of a distributed training must call this, because their statistics may be shared.

        Args:
            network: another network instead, such as the teacher that is saved.
        """
        _estimate(unwrap(self.network if network is None else network), self._planes())

    def check(self, network: nn.Module) -> None:
        """Raise `ValueError` where a plane that passes alone leaves a layer of the network without statistics."""
        if len(self.items):
            _estimate(copy.deepcopy(unwrap(network)), itertools.islice(self._planes(), 1))

    def _planes(self) -> Iterator[Tensor]:
        """Planes one by one, ``(1, C, H, W)`` float32: they may differ in size."""
        for k in range(len(self.items)):
            image = self.items[k]["image"]
            for plane in image[evenly_spaced(len(image), self.planes_per_case)]:
                height, width = (side + -side % self.divisor for side in plane.shape[-2:])
                width = max(width, 2 * self.divisor) if height <= self.divisor else width
                padding = (0, width - plane.shape[-1], 0, height - plane.shape[-2])
                yield F.pad(plane[None].float(), padding, mode="replicate")


@torch.no_grad()
def _estimate(network: nn.Module, batches: Iterable[Tensor]) -> None:
    """Replace running statistics by the mean of those of each batch.

    As :func:`torch.optim.swa_utils.update_bn`, which puts dropout into training mode as well.
    """
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    device = next((parameter.device for parameter in network.parameters()), None)
    with evaluating(network):
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None  # a plain mean
            layer.train()
        for batch in batches:
            network(batch.to(device))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
