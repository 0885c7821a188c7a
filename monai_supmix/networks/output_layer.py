"""The layer that gives a network's logits."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from monai_supmix.networks.modes import evaluating
from monai_supmix.weights import unwrap


def shift_logits(network: nn.Module, offsets: torch.Tensor) -> None:
    """Add a number to the logit of each class, through the bias of the network's last convolution.

    Args:
        network: gives logits ``(B, C, *spatial)``, perhaps wrapped for several devices. Its last convolution may give
            several pixels of each class at once, as that of :class:`monai_supmix.networks.CompactUNet`.
        offsets: float ``(C,)``.

    Raises:
        ValueError: when no such layer is found, or its bias does something else; the network is then as it was.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))
        >>> before = network(torch.zeros(1, 1, 4, 4))
        >>> shift_logits(network, torch.tensor([0.0, 1.5]))
        >>> (network(torch.zeros(1, 1, 4, 4)) - before)[0, :, 0, 0].round(decimals=4).tolist()
        [0.0, 1.5]
    """
    network = unwrap(network)
    convolutions = [module for module in network.modules() if isinstance(module, _ConvNd)]
    layer = convolutions[-1] if convolutions else None
    if layer is None or layer.bias is None or layer.out_channels % len(offsets):
        raise ValueError(f"its last layer is no convolution with a bias for {len(offsets)} classes")
    dims = layer.weight.ndim - 2
    divisor = int(getattr(network, "divisor", 16))
    side = divisor * max(2, -(-32 // divisor))
    channels = int(getattr(network, "in_channels", convolutions[0].in_channels))
    probe = torch.zeros(1, channels, *[side] * dims, device=layer.weight.device)
    kept, pixels = layer.bias.detach().clone(), layer.out_channels // len(offsets)
    with evaluating(network), torch.no_grad():
        given = network(probe)
        if given.shape[1] != len(offsets):
            raise ValueError(f"it gives {given.shape[1]} classes and not {len(offsets)}")
        expected = given + offsets.to(probe).view(1, -1, *[1] * dims)
        for shift in (offsets.repeat(pixels), offsets.repeat_interleave(pixels)):  # classes or pixels side by side
            layer.bias.copy_(kept + shift.to(kept))
            if torch.allclose(network(probe), expected, rtol=1e-4, atol=1e-4):
                return
        layer.bias.copy_(kept)
        raise ValueError("the bias of its last convolution is not added to its logits")
