"""How often classes occur in labelled images, and class weights that make up for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from monai_supmix.transforms.mixing import inverse_frequency_weights


def inverse_frequency(items: Iterable[Mapping[str, Any]], num_classes: int) -> list[float]:
    """Weights of classes, each one over its share of the labelled pixels.

    For :class:`monai_supmix.transforms.SupMix`, so that rare classes are pasted more often, or for the cross
    entropy of :class:`monai_supmix.losses.SupervisedLoss`.

    Args:
        items: labelled images with ``label``, class indices of any shape; values that are not classes do not count.
        num_classes: C, background included.

    Returns:
        C weights with mean 1. A class that never occurs weighs as much as the rarest one that does.

    Raises:
        ValueError: when no pixel of any label is a class.

    Example:
        >>> label = torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]])
        >>> inverse_frequency([{"label": label}], num_classes=2)
        [0.5, 1.5]
    """
    counts = torch.zeros(num_classes, dtype=torch.float64)
    for item in items:
        label = torch.as_tensor(item["label"]).flatten().long()
        counts += torch.bincount(label[(label >= 0) & (label < num_classes)], minlength=num_classes)
    if not counts.any():
        raise ValueError("the labelled images hold no pixel of any class to count.")
    return (num_classes * inverse_frequency_weights(counts.numpy())).tolist()
