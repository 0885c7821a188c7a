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
            With ``labelled_classes``, bool ``(C,)`` or ``(Z, C)``, a class counts in the images where it is labelled.
            Where no image has all classes labelled, the background is what none of them calls a class.
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
    return (num_classes * inverse_frequency_weights(labelled_pixels(items, num_classes).numpy())).tolist()


def labelled_pixels(items: Iterable[Mapping[str, Any]], num_classes: int) -> torch.Tensor:
    """Count the labelled pixels of each class, as if all classes were labelled in as many pixels.

    Args:
        items: as for `inverse_frequency`.
        num_classes: C, background included.

    Returns:
        float64 ``(C,)``.

    Raises:
        ValueError: when no pixel of any label is a class.

    Example:
        >>> labelled_pixels([{"label": torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]])}], num_classes=2).tolist()
        [6.0, 2.0]
    """
    counts, pixels, every = torch.zeros(3, num_classes, dtype=torch.float64)
    for item in items:
        label = torch.as_tensor(item["label"]).flatten().long()
        label_counts = torch.bincount(label[(label >= 0) & (label < num_classes)], minlength=num_classes)
        labelled = torch.as_tensor(item.get("labelled_classes", torch.ones(num_classes, dtype=torch.bool)))
        labelled = labelled.view(-1, num_classes)[0]  # the same for all planes of a case
        counts += labelled * label_counts
        pixels += labelled * label_counts.sum()
        every += label_counts
    if not every.any():
        raise ValueError("the labelled images hold no pixel of any class to count.")
    if not pixels[0]:  # it may hold missing classes, but it is not rare
        counts[0], pixels[0] = every[0], every.sum()
    return counts * (pixels.max() / pixels.clamp(min=1))
