"""The memory layout of 2D networks."""

from __future__ import annotations

import torch
from torch import nn


def channels_last_if_2d(network: nn.Module) -> None:
    """Lay out a 2D network's weights with channels last, which convolutions are fastest on; 3D ones stay.

    The parameters stay the same objects. A network that DistributedDataParallel holds is left as it is: that has noted
    the layout when it was made, and with another one it exchanges wrong gradients in the first iteration.

    Args:
        network: the network.

    Example:
        >>> network = nn.Conv2d(2, 3, 3)
        >>> channels_last_if_2d(network)
        >>> network.weight.is_contiguous(memory_format=torch.channels_last)
        True
    """
    wrapped = isinstance(network, nn.parallel.DistributedDataParallel)
    if not wrapped and all(parameter.ndim < 5 for parameter in network.parameters()):
        network.to(memory_format=torch.channels_last)
