"""Confidence-masked consistency between a strong view and the pseudo-label of the weak view."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from monai.losses import DiceLoss
from torch import nn

from monai_supmix.losses.cross_entropy import NOT_SELECTED, class_index_map, summed_cross_entropy

Threshold = float | Sequence[float]


def believed(
    pseudo_label: torch.Tensor, confidence: torch.Tensor, threshold: Threshold, ignore_index: int | None = None
) -> torch.Tensor:
    """Which pixels of a pseudo-label are confident and not ignored.

    Args:
        pseudo_label: class indices, integers of any shape.
        confidence: in [0, 1], of the same shape.
        threshold: tau; pixels of at least this confidence are confident. One for all classes, or one for each.
        ignore_index: value of ``pseudo_label`` that is never believed; ``None``: no such value.

    Returns:
        boolean, of the same shape.

    Example:
        >>> believed(torch.tensor([0, 1, 1, 255]), torch.tensor([0.8, 0.8, 0.5, 1.0]), [0.9, 0.6], ignore_index=255)
        tensor([False,  True, False, False])
    """
    if isinstance(threshold, Sequence):  # what is no class has a threshold that nothing reaches
        each = torch.tensor([*threshold, math.inf]).to(confidence.device, non_blocking=True)
        index = pseudo_label.long()
        sure = confidence >= each[index.masked_fill((index < 0) | (index >= len(threshold)), len(threshold))]
    else:
        sure = confidence >= threshold
    return sure if ignore_index is None else sure & (pseudo_label != ignore_index)


def masked_consistency(
    logits: torch.Tensor,
    pseudo_label: torch.Tensor,
    confidence: torch.Tensor,
    threshold: Threshold = 0.95,
    ignore_index: int | None = None,
) -> torch.Tensor:
    """Cross entropy with the pseudo-label where it is confident, averaged over all pixels that count.

    The sum runs over the confident pixels, the divisor counts *every* pixel that is not ignored: an image
    of which little is certain therefore weighs little (FixMatch, UniMatch; L_s and L_fp of Sec. 4.1).

    Args:
        logits: output for the strong view, shape ``(B, C, *spatial)``, any floating type; reduced in float32.
        pseudo_label: class indices (mixed like the view), integers, shape ``(B, 1, *spatial)``.
        confidence: largest softmax probability of the weak view in [0, 1] (mixed like the view),
            shape ``(B, 1, *spatial)``.
        threshold: tau; pixels of at least this confidence are confident. One for all classes, or one for each.
        ignore_index: value of ``pseudo_label`` left out of sum and divisor; ``None``: no such value.

    Returns:
        a float32 scalar with a gradient function; 0, never NaN, when all pixels are ignored or none sure.

    Raises:
        ValueError: when the three shapes do not belong together.

    Example:
        >>> logits, pseudo_label = torch.zeros(1, 2, 4, 4), torch.zeros(1, 1, 4, 4, dtype=torch.int64)
        >>> confidence = torch.zeros(1, 1, 4, 4)
        >>> confidence[..., :2] = 1.0  # half of the pixels
        >>> round(masked_consistency(logits, pseudo_label, confidence).item(), 4)  # log(2) / 2
        0.3466
    """
    target = class_index_map(pseudo_label, logits)
    if confidence.shape != pseudo_label.shape:
        raise ValueError(
            f"confidence has shape {tuple(confidence.shape)}, its pseudo-label {tuple(pseudo_label.shape)}."
        )
    selected = believed(target, confidence[:, 0], threshold, ignore_index)
    if ignore_index is None:
        return summed_cross_entropy(logits, target, selected) / target.numel()
    # The divisor stays on the device: reading it on the host would make the host wait.
    return summed_cross_entropy(logits, target, selected) / (target != ignore_index).sum().clamp(min=1)


class ConsistencyLoss(nn.Module):
    r"""Module form of :func:`masked_consistency`, with Dice beside the cross entropy when asked for.

    Cross entropy over all pixels hardly sees a class of one percent; Dice does. With ``m`` the confident pixels, ``p``
    the probability of a class and ``y`` where it is the pseudo-label, each summed over the whole batch,
    :math:`1 - 2 \sum m p y / (\sum m p^2 + \sum m y)` is averaged over the foreground classes (UniMatch's medical
    variant; :class:`monai.losses.DiceLoss` with squared predictions). 0 where nothing is confident.

    Args:
        threshold: confidence from which a pseudo-label pixel is believed, in [0, 1]; one for all classes, or a sequence
            with one for each.
        ignore_index: value of the pseudo-label whose pixels never count; ``None``: no such value.
        dice_weight: factor of the Dice term, at least 0; 0 is cross entropy only.

    Raises:
        ValueError: when a ``threshold`` lies outside [0, 1], or ``dice_weight`` below 0.

    Example:
        >>> loss = ConsistencyLoss(threshold=0.95)
        >>> label = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
        >>> loss(torch.zeros(1, 2, 8, 8), label, torch.zeros(1, 1, 8, 8)).item()  # nothing is confident
        0.0
    """

    def __init__(self, threshold: Threshold = 0.95, ignore_index: int | None = None, dice_weight: float = 0.0) -> None:
        super().__init__()
        if not all(0.0 <= tau <= 1.0 for tau in (threshold if isinstance(threshold, Sequence) else [threshold])):
            raise ValueError(f"threshold is a confidence in [0, 1], not {threshold}.")
        if dice_weight < 0:
            raise ValueError(f"dice_weight is at least 0, not {dice_weight}.")
        self.threshold = threshold
        self.ignore_index = ignore_index
        self.dice_weight = dice_weight
        self.dice = DiceLoss(
            include_background=False,
            to_onehot_y=True,
            softmax=True,
            squared_pred=True,
            batch=True,
            ignore_index=NOT_SELECTED,
        )

    def believed(self, pseudo_label: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
        """Which pixels of a pseudo-label count as confident; see :func:`believed`."""
        return believed(pseudo_label, confidence, self.threshold, self.ignore_index)

    def forward(self, logits: torch.Tensor, pseudo_label: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
        """Compute the loss; arguments and result as in :func:`masked_consistency`."""
        loss = masked_consistency(logits, pseudo_label, confidence, self.threshold, self.ignore_index)
        if self.dice_weight == 0:
            return loss
        target = torch.where(self.believed(pseudo_label, confidence), pseudo_label.long(), NOT_SELECTED)
        with torch.autocast(logits.device.type, enabled=False):
            return loss + self.dice_weight * self.dice(logits.float(), target)

    def extra_repr(self) -> str:
        """Show the settings in the module's printed form."""
        return f"threshold={self.threshold}, ignore_index={self.ignore_index}, dice_weight={self.dice_weight}"
