"""Losses: supervised, confidence-masked consistency, and the terms of the discriminator (Eq. 12)."""

from monai_supmix.losses.consistency import ConsistencyLoss, believed, masked_consistency
from monai_supmix.losses.sufd import (
    SUFDLoss,
    discriminator_accuracy,
    sufd_discriminator_loss,
    sufd_generator_loss,
)
from monai_supmix.losses.supervised import SupervisedLoss, masked_cross_entropy

__all__ = [
    "ConsistencyLoss",
    "masked_consistency",
    "believed",
    "SUFDLoss",
    "sufd_generator_loss",
    "sufd_discriminator_loss",
    "discriminator_accuracy",
    "SupervisedLoss",
    "masked_cross_entropy",
]
