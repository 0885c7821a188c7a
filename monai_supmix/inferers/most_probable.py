"""From class probabilities to labels."""

from __future__ import annotations

import torch
from torch import Tensor


def most_probable(probabilities: Tensor) -> Tensor:
    """Number of the most probable class of every pixel, the first of equals.

    It equals ``probabilities.argmax(dim=1)``, which on a processor takes some twenty times as long, because the
    classes of a pixel lie far apart in memory.

    Args:
        probabilities: ``(B, K, H, W)``, none of them NaN.

    Returns:
        uint8 ``(B, H, W)``.

    Raises:
        ValueError: more than 256 classes.

    Example:
        >>> most_probable(torch.tensor([0.2, 0.4, 0.4]).view(1, 3, 1, 1)).item()
        1
    """
    if probabilities.shape[1] > 256:
        raise ValueError(f"{probabilities.shape[1]} classes do not fit into uint8.")
    highest = probabilities[:, 0]
    labels = torch.zeros_like(highest, dtype=torch.uint8)
    for index, values in enumerate(probabilities.unbind(1)[1:], start=1):
        # Later classes have higher numbers, so that the maximum replaces earlier ones where they are exceeded.
        labels = torch.maximum(labels, (values > highest).to(torch.uint8) * index)
        highest = torch.maximum(highest, values)
    return labels
