"""The three terms of the Sup-Unsup Feature Discriminator (Eq. 12), on discriminator logits.

    L_SUFD = BCE(D(p_w), 1) + 1/2 [ BCE(D(p_w), 0) + BCE(D(p_l), 1) ],   1 = labelled, 0 = unlabelled

``p_w`` is the output map of the unlabelled weak view, ``p_l`` that of the labelled images. The first term
trains the segmentation network through an undetached ``p_w`` while the discriminator is frozen
(:func:`monai_supmix.networks.frozen`); the other two train only the discriminator, on detached maps.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

LABELED, UNLABELED = 1.0, 0.0


def _bce(logits: torch.Tensor, truth: float) -> torch.Tensor:
    """Mean binary cross entropy of discriminator logits of any shape with one constant truth, in float32."""
    logits = logits.float()
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))


def sufd_generator_loss(d_unlabeled: torch.Tensor) -> torch.Tensor:
    """First term of Eq. 12: unlabelled output maps should be taken for labelled ones.

    Args:
        d_unlabeled: ``D(p_w)``, logits of any shape, from a frozen discriminator and an undetached ``p_w``.

    Returns:
        a float32 scalar, at least 0; log 2 when the discriminator is undecided.

    Example:
        >>> round(sufd_generator_loss(torch.zeros(4, 1, 8, 8)).item(), 4)
        0.6931
    """
    return _bce(d_unlabeled, LABELED)


def sufd_discriminator_loss(d_unlabeled: torch.Tensor, d_labeled: torch.Tensor) -> torch.Tensor:
    """Second and third term of Eq. 12, with their factor 1/2: tell unlabelled from labelled output maps.

    Each term is a mean of its own, so the two batches may differ in size.

    Args:
        d_unlabeled: ``D(p_w)``, logits of any shape, on a detached ``p_w``.
        d_labeled: ``D(p_l)``, logits of any shape, on a detached ``p_l``.

    Returns:
        a float32 scalar, at least 0; log 2 (0.69) when the discriminator is at chance, near 0 when it tells all maps
        apart.

    Example:
        >>> sure = torch.full((4, 1, 8, 8), 9.0)
        >>> round(sufd_discriminator_loss(-sure, sure).item(), 3)
        0.0
        >>> round(sufd_discriminator_loss(sure, -sure).item(), 3)
        9.0
    """
    return 0.5 * (_bce(d_unlabeled, UNLABELED) + _bce(d_labeled, LABELED))


def discriminator_accuracy(d_unlabeled: torch.Tensor, d_labeled: torch.Tensor) -> torch.Tensor:
    """How often the discriminator is right, each side counting half; for the log.

    Args:
        d_unlabeled: logits of any shape on unlabelled maps.
        d_labeled: logits of any shape on labelled maps.

    Returns:
        a float32 scalar in [0, 1] without gradient; 1/2 is guessing. It stays on the logits' device.

    Example:
        >>> discriminator_accuracy(torch.tensor([-1.0, 2.0]), torch.tensor([3.0, 4.0])).item()
        0.75
    """
    right_unlabeled = (d_unlabeled <= 0).float().mean()
    right_labeled = (d_labeled > 0).float().mean()
    return 0.5 * (right_unlabeled + right_labeled)


class SUFDLoss:
    """The two losses of the adversarial game of Eq. 12, both on discriminator logits.

    Example:
        >>> loss = SUFDLoss()
        >>> d_unlabeled, d_labeled = torch.zeros(4, 1, 8, 8), torch.zeros(2, 1, 8, 8)
        >>> round(loss.generator_loss(d_unlabeled).item(), 4)
        0.6931
        >>> round(loss.discriminator_loss(d_unlabeled, d_labeled).item(), 4)
        0.6931
    """

    def generator_loss(self, d_unlabeled: torch.Tensor) -> torch.Tensor:
        """Loss of the segmentation network; see :func:`sufd_generator_loss`."""
        return sufd_generator_loss(d_unlabeled)

    def discriminator_loss(self, d_unlabeled: torch.Tensor, d_labeled: torch.Tensor) -> torch.Tensor:
        """Loss of the discriminator; see :func:`sufd_discriminator_loss`."""
        return sufd_discriminator_loss(d_unlabeled, d_labeled)
