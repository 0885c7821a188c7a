"""The Sup-Unsup Feature Discriminator's network, and the freezing its generator step needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from monai.networks.layers.factories import Conv
from torch import nn

from monai_supmix.weights import unwrap


class FeatureDiscriminator(nn.Module):
    """Fully convolutional discriminator of output maps (Sec. 3.2), built like AdaptSegNet's.

    A 4x4 convolution of stride 2 and a LeakyReLU of slope 0.2 per width, then one more such convolution to
    one channel; no normalisation, so samples do not influence each other. Each logit judges one patch:
    large says labelled, small says unlabelled.

    Args:
        in_channels: channels of the maps it judges: the number of classes for softmax maps or logits.
        widths: channels after each hidden convolution.
        spatial_dims: 2 or 3.

    Attributes:
        min_size: least side of a map, ``2 ** (len(widths) + 1)``: 32 for the default widths.

    Raises:
        ValueError: when ``widths`` is empty or ``spatial_dims`` is neither 2 nor 3.

    Example:
        >>> FeatureDiscriminator(in_channels=2, widths=(8, 16))(torch.rand(4, 2, 64, 48)).shape
        torch.Size([4, 1, 8, 6])
    """

    def __init__(self, in_channels: int, widths: Sequence[int] = (64, 128, 256, 512), spatial_dims: int = 2) -> None:
        super().__init__()
        if not widths:
            raise ValueError("widths names at least one hidden convolution.")
        if spatial_dims not in (2, 3):
            raise ValueError(f"spatial_dims is 2 or 3, not {spatial_dims}.")
        self.in_channels, self.spatial_dims = in_channels, spatial_dims
        self.min_size = 2 ** (len(widths) + 1)
        conv = Conv[Conv.CONV, spatial_dims]
        layers: list[nn.Module] = []
        for channels_in, channels_out in zip((in_channels, *widths[:-1]), widths, strict=True):
            layers += [
                conv(channels_in, channels_out, kernel_size=4, stride=2, padding=1),
                nn.LeakyReLU(0.2, inplace=True),
            ]
        layers.append(conv(widths[-1], 1, kernel_size=4, stride=2, padding=1))
        self.layers = nn.Sequential(*layers)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        """Judge every patch of the maps.

        Args:
            maps: softmax probabilities (or logits, or features), shape ``(B, in_channels, *spatial)``.

        Returns:
            logits, shape ``(B, 1, *(side // min_size))``.

        Raises:
            ValueError: when the maps have other channels or dimensions, or a side below ``min_size``.
        """
        shape = list(maps.shape)
        if len(shape) != self.spatial_dims + 2 or shape[1] != self.in_channels:
            raise ValueError(
                f"maps of shape {shape} do not fit: the discriminator judges {self.spatial_dims}D maps "
                f"with {self.in_channels} channels."
            )
        if min(shape[2:]) < self.min_size:
            raise ValueError(
                f"maps of shape {shape} are too small: every side must be at least {self.min_size} "
                "(fewer widths allow smaller maps)."
            )
        return self.layers(maps)


@contextmanager
def frozen(module: nn.Module) -> Iterator[nn.Module]:
    """Hold a module's parameters out of the graph while gradients still pass through it.

    Whatever is computed inside never reaches the parameters' gradients, also when ``backward`` is called
    after the block. Every ``requires_grad`` is restored at the end, also after an error.

    Args:
        module: for the generator term of Eq. 12, the discriminator.

    Yields:
        the module to call inside, without its wrappers: DistributedDataParallel would wait for gradients that
        never come.

    Example:
        >>> network, discriminator = nn.Conv2d(3, 2, 1), FeatureDiscriminator(2, widths=(4,))
        >>> with frozen(discriminator) as judge:
        ...     d_unlabeled = judge(network(torch.rand(1, 3, 8, 8)).softmax(dim=1))
        >>> d_unlabeled.sum().backward()
        >>> network.weight.grad is not None, all(p.grad is None for p in discriminator.parameters())
        (True, True)
    """
    bare = unwrap(module)
    states = [(parameter, parameter.requires_grad) for parameter in bare.parameters()]
    try:
        for parameter, _ in states:
            parameter.requires_grad_(False)
        yield bare
    finally:
        for parameter, required in states:
            parameter.requires_grad_(required)
