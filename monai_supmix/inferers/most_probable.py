"""From class probabilities to labels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def decide(probabilities: Tensor, classes: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """Number of the most probable class of every pixel, the first of equals, and its probability.

    The numbers equal ``probabilities.argmax(dim=1)``, which on a processor takes some twenty times as long, because the
    classes of a pixel lie far apart in memory.

    Args:
        probabilities: ``(B, K, H, W)``, none of them NaN.
        classes: the numbers of these classes, ascending from 0; ``None``: all from 0 to ``K - 1``.

    Returns:
        uint8 ``(B, H, W)``, and the highest of the probabilities, ``(B, H, W)``.

    Raises:
        ValueError: more than 256 classes.

    Example:
        >>> labels, highest = decide(torch.tensor([0.2, 0.4, 0.4]).view(1, 3, 1, 1))
        >>> labels.item(), round(highest.item(), 4)
        (1, 0.4)
    """
    numbers = range(probabilities.shape[1]) if classes is None else classes
    if numbers[-1] > 255:
        raise ValueError(f"{numbers[-1] + 1} classes do not fit into uint8.")
    highest = probabilities[:, 0]
    labels = torch.zeros_like(highest, dtype=torch.uint8)
    for number, values in zip(numbers[1:], probabilities.unbind(1)[1:], strict=True):
        # Later classes have higher numbers, so that the maximum replaces earlier ones where they are exceeded.
        labels = torch.maximum(labels, (values > highest).to(torch.uint8) * number)
        highest = torch.maximum(highest, values)
    return labels, highest
