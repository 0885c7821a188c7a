"""Batch normalisation folded into the convolutions before it, for inference."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from torch import nn
from torch.nn.utils import fuse_conv_bn_weights

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def folded(network: nn.Module) -> nn.Module:
    """A network whose convolutions do what the batch normalisation after them did; the same but for rounding.

    Only where the order is certain: one directly after the other in an `nn.Sequential`, or in several that lie in one
    another, as in MONAI's blocks. The rest is left as it is, and all of a network that has hooks: a copy of it would
    call them, and they may look at the network that they were made for.

    Args:
        network: the network; it is left as it was.

    Returns:
        a copy in eval mode, which cannot be trained any more; the network itself where there is nothing to fold.

    Example:
        >>> import torch
        >>> network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU()).eval()
        >>> folded(network)[1]
        Identity()
        >>> image = torch.rand(1, 1, 8, 8)
        >>> torch.allclose(folded(network)(image), network(image), atol=1e-6)
        True
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in network.modules()):
        return network
    instead: dict[int, nn.Module] = {}
    for convolution, norm in _pairs(network):
        fused = copy.deepcopy(convolution)
        fused.weight, fused.bias = fuse_conv_bn_weights(
            *(convolution.weight, convolution.bias),
            *(norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias),
        )
        instead |= {id(convolution): fused, id(norm): nn.Identity()}
    return copy.deepcopy(network, instead).eval() if instead else network  # the second argument: copies there are


def _pairs(network: nn.Module) -> Iterator[tuple[Any, Any]]:
    """Convolutions, each with the batch normalisation that comes directly after it."""
    uses = Counter(module for _, module in network.named_modules(remove_duplicate=False))
    for sequence in network.modules():
        for first, second in pairwise(_in_order(sequence)):
            fits = type(first) in _CONVOLUTIONS and type(second) in _NORMS and second.running_mean is not None
            if fits and not any(uses[module] > 1 for module in (first, second)):
                yield first, second


def _in_order(module: nn.Module) -> Iterator[nn.Module]:
    """The modules that a sequence runs one after the other, those of sequences in it among them."""
    if type(module).forward is not nn.Sequential.forward:
        return
    for child in module.children():
        if type(child).forward is nn.Sequential.forward:
            yield from _in_order(child)
        else:
            yield child
