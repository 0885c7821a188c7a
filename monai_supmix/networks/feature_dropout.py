"""Channel dropout on encoder features: the feature perturbation of UniMatch (L_fp)."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def drop_channels(features: torch.Tensor, prob: float, training: bool) -> torch.Tensor:
    """Zero whole channels at random and scale the others by ``1 / (1 - prob)``.

    Args:
        features: shape ``(B, C, *spatial)``, 2D or 3D.
        prob: probability of each channel of each sample to be zeroed, in [0, 1].
        training: without it nothing is dropped.

    Returns:
        the features' shape and type; every channel is either zero everywhere or scaled everywhere.

    Raises:
        ValueError: when the features are not 2D or 3D maps.

    Example:
        >>> sums = drop_channels(torch.ones(1, 6, 2, 2), prob=0.5, training=True).sum(dim=(2, 3))
        >>> bool(((sums == 0) | (sums == 8)).all())
        True
    """
    if not training or prob == 0.0:
        return features
    if features.dim() == 4:
        return F.dropout2d(features, prob, training)
    if features.dim() == 5:
        return F.dropout3d(features, prob, training)
    raise ValueError(f"channel dropout needs features (B, C, *spatial) in 2D or 3D, not {list(features.shape)}.")


def append_last(features: torch.Tensor, num_dropped: int, prob: float, training: bool) -> torch.Tensor:
    """Append the last samples once more, with channel dropout.

    Args:
        features: shape ``(B, C, *spatial)``.
        num_dropped: how many of the last samples to append, n in [1, B].
        prob: probability of a channel of an appended sample to be zeroed; 0 appends plain copies.
        training: without it plain copies are appended.

    Returns:
        shape ``(B + n, C, *spatial)``; the first ``B`` are the features as given.

    Example:
        >>> append_last(torch.ones(3, 4, 8, 8), num_dropped=2, prob=0.5, training=True).shape
        torch.Size([5, 4, 8, 8])
    """
    return torch.cat((features, drop_channels(features[-num_dropped:], prob, training)))


def check_probability(prob: float) -> float:
    """Return a dropout probability after checking that it is one.

    Raises:
        ValueError: when ``prob`` lies outside [0, 1].
    """
    if not 0.0 <= prob <= 1.0:
        raise ValueError(f"dropout_prob is a probability in [0, 1], not {prob}.")
    return prob
