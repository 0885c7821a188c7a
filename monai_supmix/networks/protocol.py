"""What a training network promises, and the checks of its arguments."""

from __future__ import annotations

from typing import Protocol

import torch


class TrainingNetwork(Protocol):
    """A segmentation network that can decode its last images once more under feature dropout.

    ``network(x)`` maps images in [0, 1] of shape ``(B, C_in, *spatial)`` to bare logits
    ``(B, C, *spatial)``. ``network(x, num_dropped=n)`` appends ``n`` further logits: the last ``n`` images
    again, with channel dropout on chosen encoder features (the term L_fp of UniMatch). The answer is always
    one tensor ``(B + n, C, *spatial)``, so that DistributedDataParallel and TorchScript see a plain forward.

    Attributes:
        divisor: what every side of an image must be a multiple of.

    Example:
        >>> from monai_supmix.networks import CompactUNet
        >>> network: TrainingNetwork = CompactUNet(2, in_channels=1, num_classes=3, features=(4, 4, 4, 4, 4, 4))
        >>> network.divisor, network(torch.rand(2, 1, 32, 32), num_dropped=2).shape
        (16, torch.Size([4, 3, 32, 32]))
    """

    divisor: int

    def __call__(self, x: torch.Tensor, num_dropped: int = 0) -> torch.Tensor:
        """Return logits of shape ``(B + num_dropped, C, *spatial)``."""
        ...


def check_images(images: torch.Tensor, in_channels: int, spatial_dims: int, divisor: int) -> None:
    """Check the shape of a network's input.

    Args:
        images: the batch.
        in_channels: channels the network takes.
        spatial_dims: 2 or 3.
        divisor: what every side must be a multiple of.

    Raises:
        ValueError: when the images have another shape; the message names it and the divisor.

    Example:
        >>> check_images(torch.zeros(1, 3, 40, 64), in_channels=3, spatial_dims=2, divisor=16)
        Traceback (most recent call last):
        ...
        ValueError: images of shape [1, 3, 40, 64] do not fit: every side must be a multiple of 16 ...
    """
    if not torch.jit.is_scripting() and torch.jit.is_tracing():
        return  # a trace would freeze the answer for its example into the graph
    shape = list(images.shape)
    if len(shape) != spatial_dims + 2 or shape[1] != in_channels:
        raise ValueError(
            f"images of shape {shape} do not fit: the network takes a batch of {spatial_dims}D images "
            f"with {in_channels} channels."
        )
    for side in shape[2:]:
        if side % divisor != 0 or side == 0:
            raise ValueError(
                f"images of shape {shape} do not fit: every side must be a multiple of {divisor} "
                "(the network's `divisor`)."
            )


def check_num_dropped(num_dropped: int, batch_size: int) -> None:
    """Check that as many images as asked for can be decoded once more.

    Raises:
        ValueError: when ``num_dropped`` is negative or larger than the batch.

    Example:
        >>> check_num_dropped(2, batch_size=4)
    """
    if num_dropped < 0 or num_dropped > batch_size:
        raise ValueError(f"num_dropped is {num_dropped}, but the batch holds {batch_size} images.")
