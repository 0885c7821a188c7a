"""Images in which not all classes were labelled: what their label says, and what it leaves open.

Pixels of a missing class carry the label of the background, which there means "background or a missing class".
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_supmix.losses.cross_entropy import class_index_map


def merge_missing(logits: Tensor, label: Tensor, labelled_classes: Tensor) -> Tensor:
    """Let the background stand for itself and the missing classes wherever the label says background.

    The softmax of the result has the sum of their probabilities as that of the background and 0 for the missing
    classes; the other classes keep theirs. A cross entropy with it moves the sum, and its gradient divides over the
    background and the missing classes as the network does.

    Args:
        logits: shape ``(B, C, *spatial)``.
        label: class indices, integers, shape ``(B, 1, *spatial)``.
        labelled_classes: bool ``(B, C)``, the classes that were labelled in each image.

    Returns:
        float32 logits of the same shape; those of pixels that are not background, and of images in which all classes
        were labelled, are as they were.

    Raises:
        ValueError: when the shapes do not belong together.

    Example:
        >>> logits = torch.tensor([0.2, 0.3, 0.5]).log().view(1, 3, 1, 1)
        >>> label, labelled = torch.zeros(1, 1, 1, 1, dtype=torch.long), torch.tensor([[False, True, False]])
        >>> merge_missing(logits, label, labelled).softmax(dim=1).flatten()  # class 2 was not labelled
        tensor([0.7000, 0.3000, 0.0000])
    """
    background = class_index_map(label, logits)[:, None] == 0
    missing = background & ~_per_pixel(labelled_classes, logits)
    missing[:, 0] = False
    merged = logits.float().masked_fill(missing, -math.inf)
    open_to = torch.cat([background, missing[:, 1:]], dim=1)
    together = logits.float().masked_fill(~open_to, -math.inf).logsumexp(dim=1, keepdim=True)
    return torch.cat([torch.where(background, together, merged[:, :1]), merged[:, 1:]], dim=1)


def compared_maps(
    logits: Tensor, label: Tensor, labelled_classes: Tensor, ignore_index: int | None = None
) -> tuple[Tensor, Tensor]:
    """Probabilities and truth of each class, 0 where an image says nothing about the class.

    Args:
        logits: shape ``(B, C, *spatial)``.
        label: class indices, integers, shape ``(B, 1, *spatial)``.
        labelled_classes: bool ``(B, C)``, the classes that were labelled in each image.
        ignore_index: label value whose pixels say nothing; ``None``: no such value.

    Returns:
        two float32 maps ``(B, C, *spatial)``.

    Raises:
        ValueError: when the shapes do not belong together.

    Example:
        >>> logits, label = torch.zeros(1, 2, 1, 3), torch.tensor([[[[0, 1, 255]]]])
        >>> compared_maps(logits, label, torch.tensor([[True, True]]), ignore_index=255)[0][0, 1]
        tensor([[0.5000, 0.5000, 0.0000]])
        >>> compared_maps(logits, label, torch.tensor([[False, False]]), ignore_index=255)[0].any()
        tensor(False)
    """
    target = class_index_map(label, logits)
    compared = _per_pixel(labelled_classes, logits)
    if ignore_index is not None:
        counted = target != ignore_index
        target, compared = torch.where(counted, target, 0), compared & counted[:, None]
    truth = F.one_hot(target, logits.shape[1]).movedim(-1, 1)
    return logits.float().softmax(dim=1) * compared, (truth * compared).float()


def _per_pixel(labelled_classes: Tensor, logits: Tensor) -> Tensor:
    """The classes labelled in each image, in a shape that goes with its maps."""
    if labelled_classes.shape != logits.shape[:2]:
        raise ValueError(
            f"labelled_classes for logits of shape {tuple(logits.shape)} has shape {tuple(logits.shape[:2])}, "
            f"not {tuple(labelled_classes.shape)}."
        )
    return labelled_classes.to(logits.device).view(*logits.shape[:2], *[1] * (logits.ndim - 2))
