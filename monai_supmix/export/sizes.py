"""Which batches and sizes a network takes beside the one at hand."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_supmix.networks.modes import evaluating

_SIDES = {2: ("height", "width"), 3: ("depth", "height", "width")}


def doubled(images: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Append the mirrored images along dimensions: a multiple of a valid size is valid for most networks.

    Args:
        images: ``(B, C, *spatial)``.
        dims: dimensions to double.

    Example:
        >>> doubled(torch.zeros(1, 3, 32, 48), (0, 2)).shape
        torch.Size([2, 3, 64, 48])
    """
    for dim in dims:
        images = torch.cat((images, images.flip(dim)), dim)
    return images


def free_dims(network: nn.Module, images: Tensor) -> tuple[str, ...]:
    """Name the dimensions of the input that can have other sizes.

    Args:
        network: in whatever mode; left as it was.
        images: ``(1, C, *spatial)``, of a size that it takes.

    Returns:
        ``batch`` and the sides, or only ``batch`` for a network of fixed size.

    Example:
        >>> free_dims(nn.Conv2d(1, 2, 3, padding=1), torch.zeros(1, 1, 8, 8))
        ('batch', 'height', 'width')
    """
    try:
        with evaluating(network), torch.inference_mode():
            network(other_size(images, ("batch", "side")))
    except (RuntimeError, ValueError, AssertionError):  # as networks refuse a size
        return ("batch",)
    return ("batch", *_SIDES[images.ndim - 2])


def other_size(images: Tensor, free: tuple[str, ...]) -> Tensor:
    """Give images another size in the first of the free dimensions of either kind.

    Args:
        images: ``(1, C, *spatial)``.
        free: as from `free_dims`; may be empty.
    """
    return doubled(images, ((), (0,), (0, 2))[min(len(free), 2)])
