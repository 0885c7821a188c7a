"""Several trained networks as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Ensemble(nn.Module):
    """The mean of the class probabilities of several networks, as logits.

    Serves wherever a trained network does: inference, evaluation, export. Memory holds one network's output at a time
    and the sum.

    Args:
        networks: each gives logits ``(B, K, *spatial)`` of the same shape.

    Raises:
        ValueError: when there is none.

    Example:
        >>> sure, unsure = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 1)
        >>> for network, bias in ((sure, 10.0), (unsure, 0.0)):
        ...     _ = nn.init.zeros_(network.weight), nn.init.constant_(network.bias, 0.0)
        ...     network.bias.data[1] = bias
        >>> logits = Ensemble([sure, unsure])(torch.zeros(1, 1, 1, 1))
        >>> [round(p, 2) for p in logits.softmax(dim=1).flatten().tolist()]  # the mean of (0, 1) and (0.5, 0.5)
        [0.25, 0.75]
    """

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        if not networks:
            raise ValueError("an ensemble has at least one network.")
        self.networks = nn.ModuleList(networks)

    def __getattr__(self, name: str) -> Any:
        """Facts such as ``divisor`` and ``in_channels`` are those of the first network."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_"):  # such as the network inside a compiled one
                raise
            networks: Any = super().__getattr__("networks")
            return getattr(networks[0], name)

    def forward(self, images: Tensor) -> Tensor:
        """Logarithm of the mean probability, float32 ``(B, K, *spatial)``."""
        mean: Tensor | float = 0.0
        for network in self.networks:
            mean += network(images).float().softmax(dim=1) / len(self.networks)  # in place from the second on
        assert isinstance(mean, Tensor)
        return mean.clamp(min=torch.finfo(torch.float32).tiny).log()
