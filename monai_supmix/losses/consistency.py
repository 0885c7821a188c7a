"""Confidence-masked consistency between a strong view and the pseudo-label of the weak view."""

from __future__ import annotations

import torch
from torch import nn

from monai_supmix.losses.cross_entropy import class_index_map, summed_cross_entropy


def masked_consistency(
    logits: torch.Tensor,
    pseudo_label: torch.Tensor,
    confidence: torch.Tensor,
    threshold: float = 0.95,
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
        threshold: tau; a pixel counts as confident from this value on.
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
    selected = confidence[:, 0] >= threshold
    if ignore_index is None:
        return summed_cross_entropy(logits, target, selected) / target.numel()
    counted = target != ignore_index
    # The divisor stays on the device: reading it on the host would make the host wait.
    return summed_cross_entropy(logits, target, selected & counted) / counted.sum().clamp(min=1)


class ConsistencyLoss(nn.Module):
    """Module form of :func:`masked_consistency`.

    Args:
        threshold: confidence from which a pseudo-label pixel is believed, in [0, 1].
        ignore_index: value of the pseudo-label whose pixels never count; ``None``: no such value.

    Raises:
        ValueError: when ``threshold`` lies outside [0, 1].

    Example:
        >>> loss = ConsistencyLoss(threshold=0.95)
        >>> label = torch.ones(1, 1, 8, 8, dtype=torch.uint8)
        >>> loss(torch.zeros(1, 2, 8, 8), label, torch.zeros(1, 1, 8, 8)).item()  # nothing is confident
        0.0
    """

    def __init__(self, threshold: float = 0.95, ignore_index: int | None = None) -> None:
        super().__init__()
        if not 0.0 <= threshold <= 1.0:
            raise ValueError(f"threshold is a confidence in [0, 1], not {threshold}.")
        self.threshold = threshold
        self.ignore_index = ignore_index

    def forward(self, logits: torch.Tensor, pseudo_label: torch.Tensor, confidence: torch.Tensor) -> torch.Tensor:
        """Compute the loss; arguments and result as in :func:`masked_consistency`."""
        return masked_consistency(logits, pseudo_label, confidence, self.threshold, self.ignore_index)

    def extra_repr(self) -> str:
        """Show the settings in the module's printed form."""
        return f"threshold={self.threshold}, ignore_index={self.ignore_index}"
