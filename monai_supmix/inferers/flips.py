"""Class probabilities, optionally averaged over mirrored views of planes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

Flips = bool | Sequence[int]
"""Axes of a plane along which its mirrored views are averaged: 0 up-down, 1 left-right; True is both."""


def flip_dims(flips: Flips) -> list[tuple[int, ...]]:
    """Dimensions of ``(B, C, ..., H, W)`` to flip for each view, the plane as it is first.

    Raises:
        ValueError: for an axis other than 0 and 1.

    Example:
        >>> flip_dims(True), flip_dims([1]), flip_dims(False)
        ([(), (-1,), (-2,), (-2, -1)], [(), (-1,)], [()])
    """
    axes = ((0, 1) if flips else ()) if isinstance(flips, bool) else tuple(flips)
    if not set(axes) <= {0, 1}:
        raise ValueError(f"flips are True, False or axes among 0 (up-down) and 1 (left-right), not {flips!r}.")
    views: list[tuple[int, ...]] = [()]
    for axis in sorted(set(axes), reverse=True):
        views += [(axis - 2, *view) for view in views]
    return views


def class_probabilities(network: Callable[[Tensor], Tensor], images: Tensor, flips: Flips = False) -> Tensor:
    """Softmax of the network's logits, or its mean over mirrored views (each turned back before the mean).

    Args:
        network: gives logits ``(B, K, *spatial)`` for images ``(B, C, *spatial)``.
        images: ``(B, C, H, W)`` or volumes ``(B, C, D, H, W)`` in [0, 1].
        flips: see :data:`Flips`; two axes take four times the time, one twice.

    Returns:
        float32 ``(B, K, *spatial)``, summing to 1 over K.

    Raises:
        ValueError: the logits have another shape, or less than two classes.

    Example:
        >>> import torch
        >>> class_probabilities(torch.nn.Conv2d(1, 3, 1), torch.rand(2, 1, 8, 8), flips=True).shape
        torch.Size([2, 3, 8, 8])
    """
    total: Tensor | None = None
    views = flip_dims(flips)
    for dims in views:
        logits = network(images.flip(dims))
        expected = (images.shape[0], *images.shape[2:])
        if logits.ndim != images.ndim or (logits.shape[0], *logits.shape[2:]) != expected or logits.shape[1] < 2:
            shapes = f"{tuple(images.shape)} gave {tuple(logits.shape)}"
            raise ValueError(f"The network must give (B, classes, *sides) with two or more classes, but {shapes}.")
        probabilities = logits.float().softmax(dim=1).flip(dims)
        total = probabilities if total is None else total.add_(probabilities)
    assert total is not None
    return total.div_(len(views)) if len(views) > 1 else total
