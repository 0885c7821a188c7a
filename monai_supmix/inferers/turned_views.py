"""Class probabilities averaged over turned and scaled views of planes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

View = Sequence[float]
"""Degrees by which a view is turned, and the factor by which it shows more (above 1) or less of the plane."""


def turned(images: Tensor, degrees: float, scale: float, padding: str = "border") -> Tensor:
    """Turn planes about their middle and scale them; ``turned(..., -degrees, 1 / scale)`` turns them back.

    Args:
        images: ``(B, C, H, W)``, floating point.
        degrees: the angle.
        scale: above 1 shows more of the surroundings, smaller.
        padding: what lies outside, see :func:`torch.nn.functional.grid_sample`.

    Returns:
        ``(B, C, H, W)``, interpolated linearly.

    Example:
        >>> images = torch.rand(1, 1, 8, 6)
        >>> torch.allclose(turned(images, 0, 1.0), images, atol=1e-5)
        True
    """
    height, width = images.shape[2:]
    cos, sin = math.cos(math.radians(degrees)) * scale, math.sin(math.radians(degrees)) * scale
    theta = torch.tensor([[cos, -sin * height / width, 0], [sin * width / height, cos, 0]], device=images.device)
    grid = F.affine_grid(theta.expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, grid.to(images.dtype), padding_mode=padding, align_corners=False)


def mean_over_views(predict: Callable[[Tensor], Tensor], images: Tensor, views: Sequence[View]) -> Tensor:
    """Mean of the probabilities of planes as they are and of their views, each turned back before.

    Args:
        predict: gives class probabilities ``(B, K, H, W)``, background first, for images ``(B, C, H, W)``.
        images: the planes.
        views: degrees and scale of each view; none leaves ``predict(images)``. What a view does not show counts as
            background.

    Returns:
        ``(B, K, H, W)``, summing to 1 over K.

    Example:
        >>> images = torch.rand(2, 1, 8, 8)
        >>> flat = mean_over_views(lambda x: torch.full((2, 2, 8, 8), 0.5), images, [[15, 1.0]])
        >>> bool(((flat[:, 0] >= 0.4999) & (flat.sum(dim=1) - 1 < 1e-5)).all())
        True
    """
    total = predict(images)
    for degrees, scale in views:
        back = turned(predict(turned(images, degrees, scale)), -degrees, 1 / scale, padding="zeros")
        back[:, 0] += 1 - back.sum(dim=1)
        total = total + back
    return total / (len(views) + 1) if views else total
