"""Class probabilities, optionally averaged over the four mirrored views of a plane."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

# Dimensions of (B, C, H, W) to flip: as it is, left-right, up-down, both.
FLIPS: tuple[tuple[int, ...], ...] = ((), (3,), (2,), (2, 3))


def class_probabilities(network: Callable[[Tensor], Tensor], images: Tensor, flips: bool = False) -> Tensor:
    """Softmax of the network's logits, or its mean over four flips (each turned back before the mean).

    Args:
        network: gives logits ``(B, K, H, W)`` for images ``(B, C, H, W)``.
        images: ``(B, C, H, W)`` in [0, 1].
        flips: whether to average; four times the time.

    Returns:
        float32 ``(B, K, H, W)``, summing to 1 over K.

    Raises:
        ValueError: the logits have another shape, or less than two classes.

    Example:
        >>> import torch
        >>> class_probabilities(torch.nn.Conv2d(1, 3, 1), torch.rand(2, 1, 8, 8), flips=True).shape
        torch.Size([2, 3, 8, 8])
    """
    total: Tensor | None = None
    views = FLIPS if flips else FLIPS[:1]
    for dims in views:
        logits = network(images.flip(dims))
        expected = (images.shape[0], *images.shape[2:])
        if logits.ndim != 4 or (logits.shape[0], *logits.shape[2:]) != expected or logits.shape[1] < 2:
            shapes = f"{tuple(images.shape)} gave {tuple(logits.shape)}"
            raise ValueError(f"The network must give (B, classes, H, W) with two or more classes, but {shapes}.")
        probabilities = logits.float().softmax(dim=1).flip(dims)
        total = probabilities if total is None else total.add_(probabilities)
    assert total is not None
    return total.div_(len(views)) if flips else total
