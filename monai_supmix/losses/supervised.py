"""The supervised term L_x: cross entropy, and Dice beside it when asked for (Sec. 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.losses import DiceLoss
from torch import nn

from monai_supmix.losses.cross_entropy import class_index_map, summed_cross_entropy
from monai_supmix.losses.partly_labelled import compared_maps, merge_missing


def masked_cross_entropy(
    logits: torch.Tensor,
    label: torch.Tensor,
    ignore_index: int | None = None,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross entropy over the pixels that are not ignored, and 0 instead of NaN when none is left.

    Args:
        logits: shape ``(B, C, *spatial)``, any floating type; reduced in float32.
        label: class indices, integers, shape ``(B, 1, *spatial)``.
        ignore_index: label value whose pixels do not count; ``None``: every pixel counts.
        class_weights: factor of each class, shape ``(C,)``; the mean is then weighted, as in
            :func:`torch.nn.functional.cross_entropy`.

    Returns:
        a float32 scalar with a gradient function.

    Raises:
        ValueError: when the shapes do not belong together.

    Example:
        >>> label = torch.full((1, 1, 4, 4), 255)
        >>> masked_cross_entropy(torch.zeros(1, 2, 4, 4), label, ignore_index=255).item()
        0.0
        >>> label[..., 0] = 1
        >>> round(masked_cross_entropy(torch.zeros(1, 2, 4, 4), label, ignore_index=255).item(), 4)
        0.6931
    """
    target = class_index_map(label, logits)
    counted = None if ignore_index is None else target != ignore_index
    total = summed_cross_entropy(logits, target, counted, class_weights)
    if counted is None and class_weights is None:
        return total / target.numel()
    weight = torch.ones_like(target, dtype=torch.float32) if counted is None else counted.float()
    if class_weights is not None:
        classes = target if counted is None else torch.where(counted, target, 0)
        weight = weight * class_weights.to(weight)[classes]
    divisor = weight.sum()
    return total / torch.where(divisor > 0, divisor, 1.0)


class SupervisedLoss(nn.Module):
    """Cross entropy plus, optionally, soft Dice over the foreground classes.

    Dice is :class:`monai.losses.DiceLoss`: softmax, background left out, one figure per class over the whole
    batch, so that a rare class absent from one image is still compared with the images that hold it.

    An image in which not all classes were labelled is trained on for what its label says: where it says background,
    the probability of the background is that of the background and the missing classes together, and a missing class
    is not compared with the image in the Dice term (marginal loss, Shi et al., Medical Image Analysis 2021; target
    adaptive loss, Fang and Yan, IEEE TMI 2020).

    Args:
        dice_weight: factor of the Dice term, at least 0; 0 is cross entropy only.
        ignore_index: label value whose pixels do not count in either term; ``None``: every pixel counts.
        class_weights: factor of each class in the cross entropy, at least 0; ``None``: all equal.

    Raises:
        ValueError: when a weight is negative.

    Example:
        >>> loss = SupervisedLoss(dice_weight=1.0, ignore_index=255)
        >>> label = torch.zeros(2, 1, 8, 8, dtype=torch.uint8)
        >>> label[..., :4] = 1
        >>> logits = torch.cat((1.0 - label.float(), label.float()), dim=1) * 50  # a perfect answer
        >>> round(loss(logits, label).item(), 4)
        0.0
        >>> unsure = torch.zeros_like(logits)  # no pixel of an image without labels of the one class can be wrong
        >>> round(loss(unsure, 0 * label, labelled_classes=torch.tensor([[False, False]] * 2)).item(), 4)
        0.0
    """

    class_weights: torch.Tensor | None

    def __init__(
        self,
        dice_weight: float = 0.0,
        ignore_index: int | None = None,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if dice_weight < 0:
            raise ValueError(f"dice_weight is at least 0, not {dice_weight}.")
        if class_weights is not None and min(class_weights) < 0:
            raise ValueError(f"class_weights are at least 0, not {tuple(class_weights)}.")
        self.dice_weight = dice_weight
        self.ignore_index = ignore_index
        weights = None if class_weights is None else torch.tensor(class_weights, dtype=torch.float32)
        self.register_buffer("class_weights", weights, persistent=False)
        self.dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True, ignore_index=ignore_index
        )
        self.dice_of_maps = DiceLoss(include_background=False, batch=True)

    def forward(
        self, logits: torch.Tensor, label: torch.Tensor, labelled_classes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            logits: shape ``(B, C, *spatial)``.
            label: class indices, integers, shape ``(B, 1, *spatial)``.
            labelled_classes: bool ``(B, C)``, the classes that were labelled in each image; ``None``: all.

        Returns:
            a float32 scalar with a gradient function; finite, also when every pixel is ignored.

        Raises:
            ValueError: when the shapes do not belong together.
        """
        if labelled_classes is None:
            loss = masked_cross_entropy(logits, label, self.ignore_index, self.class_weights)
            return loss + self.dice_weight * self.dice(logits.float(), label.long()) if self.dice_weight else loss
        merged = merge_missing(logits, label, labelled_classes)
        loss = masked_cross_entropy(merged, label, self.ignore_index, self.class_weights)
        if self.dice_weight == 0:
            return loss
        maps = compared_maps(logits, label, labelled_classes, self.ignore_index)
        return loss + self.dice_weight * self.dice_of_maps(*maps)
