"""The two sides of SUFD (Sec. 3.2, Eq. 12): what the discriminator sees, and one forward of each side's loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from monai_supmix.engines.step import tap
from monai_supmix.losses import discriminator_accuracy, sufd_discriminator_loss, sufd_generator_loss
from monai_supmix.networks import frozen


def judged_maps(network: nn.Module, sufd_input: str = "softmax") -> Callable[[Tensor], Tensor]:
    """Choose what the discriminator sees of a forward pass.

    Args:
        network: the segmentation network, perhaps wrapped.
        sufd_input: ``"softmax"`` or ``"logits"`` of the output map, or the dotted name of a module of the network.

    Returns:
        a function of the logits ``(B, C, *spatial)``: their float32 softmax, themselves, or what the module gave in the
        latest forward.

    Raises:
        ValueError: the network has no such module.

    Example:
        >>> judged = judged_maps(nn.Conv2d(1, 2, 1), "softmax")
        >>> judged(torch.zeros(1, 2, 1, 1)).flatten()
        tensor([0.5000, 0.5000])
    """
    if sufd_input == "softmax":
        return lambda logits: logits.float().softmax(dim=1)
    if sufd_input == "logits":
        return lambda logits: logits
    return tap(network, sufd_input, "sufd_input is 'softmax', 'logits' or the name of a module of the network")


def generator_loss(discriminator: nn.Module, unlabeled: Tensor) -> Tensor:
    """The network's side: maps of unlabelled images should be taken for those of labelled ones.

    Args:
        discriminator: gives logits; frozen meanwhile, so that the gradient reaches only the maps.
        unlabeled: maps of unlabelled images, undetached.

    Returns:
        a float32 scalar, the first term of Eq. 12.

    Example:
        >>> discriminator, maps = nn.Conv2d(2, 1, 1), torch.rand(1, 2, 4, 4, requires_grad=True)
        >>> generator_loss(discriminator, maps).backward()
        >>> maps.grad is None, discriminator.weight.grad is None
        (False, True)
    """
    with frozen(discriminator) as judge:
        return sufd_generator_loss(judge(unlabeled))


def discriminator_loss(discriminator: nn.Module, labeled: Tensor, unlabeled: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's side: it tells maps of labelled images from those of unlabelled ones.

    Args:
        discriminator: gives logits; put into training mode.
        labeled: maps of labelled images; detached here.
        unlabeled: maps of unlabelled images; detached here.

    Returns:
        the second and third term of Eq. 12, a float32 scalar; and how often the discriminator is right, in [0, 1].

    Example:
        >>> maps = torch.rand(1, 2, 4, 4, requires_grad=True)
        >>> discriminator_loss(nn.Conv2d(2, 1, 1), maps, maps)[0].backward()
        >>> maps.grad is None
        True
    """
    discriminator.train()
    sizes = [len(unlabeled), len(labeled)]
    d_unlabeled, d_labeled = discriminator(torch.cat([unlabeled.detach(), labeled.detach()])).split(sizes)
    accuracy = discriminator_accuracy(d_unlabeled.detach(), d_labeled.detach())
    return sufd_discriminator_loss(d_unlabeled, d_labeled), accuracy


def ramped(weight: float, ramp_up: int, iteration: int) -> float:
    """A weight that rises linearly from 0, reached at iteration ``ramp_up``; 0 means at once.

    Example:
        >>> [ramped(2.0, 4, iteration) for iteration in (1, 2, 4, 8)], ramped(2.0, 0, 1)
        ([0.5, 1.0, 2.0, 2.0], 2.0)
    """
    return weight * min(1.0, iteration / ramp_up if ramp_up else 1.0)
