"""Pseudo-labels of a batch of weak views (Eq. 7): the maps, pixels without one, and figures about them."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_supmix.losses import believed
from monai_supmix.losses.consistency import Threshold


@torch.no_grad()
def pseudo_label_of(logits: Tensor) -> tuple[Tensor, Tensor]:
    """The most probable class of every pixel, and its probability.

    Args:
        logits: of the weak views, ``(B, C, *spatial)``.

    Returns:
        confidence, float32 in [0, 1], and pseudo-label, int64, both ``(B, 1, *spatial)``.

    Example:
        >>> confidence, pseudo_label = pseudo_label_of(torch.tensor([0.25, 0.75]).log().view(1, 2, 1, 1))
        >>> round(confidence.item(), 2), pseudo_label.item()
        (0.75, 1)
    """
    confidence, pseudo_label = logits.detach().float().softmax(dim=1).max(dim=1, keepdim=True)
    return confidence, pseudo_label


def without_ignored(pseudo_label: Tensor, ignore: Tensor, ignore_index: int | None) -> Tensor:
    """Give pixels outside the image no pseudo-label.

    Args:
        pseudo_label: ``(B, 1, *spatial)``.
        ignore: of the same shape, true outside the image.
        ignore_index: the value of pixels without a class.

    Raises:
        ValueError: there is no such value.

    Example:
        >>> without_ignored(torch.tensor([0, 1]), torch.tensor([True, False]), ignore_index=255)
        tensor([255,   1])
    """
    if ignore_index is None:
        raise ValueError("the unlabelled batch holds an ignore map, but the consistency loss no ignore_index.")
    return pseudo_label.masked_fill(ignore.bool(), ignore_index)


@torch.no_grad()
def pseudo_label_statistics(
    pseudo_label: Tensor, confidence: Tensor, threshold: Threshold, num_classes: int, ignore_index: int | None = None
) -> dict[str, Tensor]:
    """What the log tells of a batch's pseudo-labels.

    Args:
        pseudo_label: ``(B, 1, *spatial)``.
        confidence: of the same shape, in [0, 1].
        threshold: pixels of at least this confidence are confident; one for all classes, or one for each.
        num_classes: number of classes ``C``.
        ignore_index: value of ``pseudo_label`` outside the images; ``None``: no such value.

    Returns:
        fractions of the pixels that are not ignored, on the device: ``confidence_coverage``, the share of confident
        ones, and ``pseudo_label_share`` ``(C,)``, that of each class.

    Example:
        >>> label, confidence = torch.tensor([[[[0, 1, 1, 1]]]]), torch.tensor([[[[0.9, 0.9, 0.5, 0.5]]]])
        >>> pseudo_label_statistics(label, confidence, threshold=0.8, num_classes=2)
        {'confidence_coverage': tensor(0.5000), 'pseudo_label_share': tensor([0.2500, 0.7500])}
        >>> pseudo_label_statistics(label, confidence, threshold=0.8, num_classes=1, ignore_index=1)
        {'confidence_coverage': tensor(1.), 'pseudo_label_share': tensor([1.])}
    """
    everywhere = torch.ones_like(pseudo_label, dtype=torch.bool)
    counted = (everywhere if ignore_index is None else pseudo_label != ignore_index).sum().clamp(min=1)
    of_classes = torch.stack([(pseudo_label == c).sum() for c in range(num_classes)])
    confident = believed(pseudo_label, confidence, threshold, ignore_index).sum()
    return {"confidence_coverage": confident / counted, "pseudo_label_share": of_classes / counted}
