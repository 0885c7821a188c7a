"""Cross entropy over chosen pixels: what the supervised and the consistency loss share."""

from __future__ import annotations

import torch
import torch.nn.functional as F

NOT_SELECTED = -100  # never a class; skipped pixels get exactly zero gradient, even beside infinities


def class_index_map(label: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Check a label map against the logits it belongs to and drop its channel.

    Args:
        label: class indices of any integer (or whole-valued) type, shape ``(B, 1, *spatial)``.
        logits: the network's output, shape ``(B, C, *spatial)``.

    Returns:
        ``int64`` class indices, shape ``(B, *spatial)``.

    Raises:
        ValueError: when the two shapes do not belong together.

    Example:
        >>> class_index_map(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 8, 8])
    """
    expected = (logits.shape[0], 1, *logits.shape[2:])
    if tuple(label.shape) != expected:
        raise ValueError(
            f"a map for logits of shape {tuple(logits.shape)} has shape {expected}, not {tuple(label.shape)}."
        )
    return label[:, 0].long()


def summed_cross_entropy(
    logits: torch.Tensor,
    target: torch.Tensor,
    selected: torch.Tensor | None,
    class_weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Sum of the cross entropy over the selected pixels, in float32 whatever the logits' type.

    Args:
        logits: shape ``(B, C, *spatial)``.
        target: ``int64`` class indices, shape ``(B, *spatial)``; read only where selected.
        selected: boolean, shape ``(B, *spatial)``; ``None`` selects every pixel.
        class_weights: factor of each class, shape ``(C,)``; ``None`` is 1.

    Returns:
        a scalar with a gradient function, 0 when nothing is selected.

    Example:
        >>> target = torch.zeros(1, 4, 4, dtype=torch.int64)
        >>> summed_cross_entropy(torch.zeros(1, 2, 4, 4), target, target > 0).item()
        0.0
    """
    if selected is not None:
        target = torch.where(selected, target, NOT_SELECTED)
    if class_weights is not None:
        class_weights = class_weights.to(device=logits.device, dtype=torch.float32)
    with torch.autocast(logits.device.type, enabled=False):
        return F.cross_entropy(logits.float(), target, weight=class_weights, ignore_index=NOT_SELECTED, reduction="sum")
