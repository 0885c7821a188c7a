"""The exponential moving average of a network in training: the teacher of Mean Teacher."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from monai_supmix.weights import unwrap


class MovingAverage:
    r"""An exponential moving average of a network's parameters and buffers, in tensors of its own.

    :math:`\theta_t \leftarrow m \theta_t + (1 - m) \theta` (Tarvainen and Valpola, "Mean teachers are better role
    models", 2017). It begins as the network itself. Counters, such as those of batch normalisation, are copied.

    Told how many steps t the network has been trained for, it takes the smaller of :math:`m` and :math:`t / (t + 9)`.
    Otherwise a third of the initial weights would still be in the average after 100 steps with m = 0.99, and a short
    training would save a network that finds nothing.

    Under several processes parameters are the same everywhere, running statistics may not be (on GPUs SyncBatchNorm
    keeps them alike): all processes take those of the first one, whose state is what a checkpoint holds.

    (Ignite's ``EMAHandler`` lets its copy share the buffers of the network; PyTorch's ``AveragedModel`` waits for the
    device at every update and averages counters. The averaging itself is PyTorch's.)

    Args:
        network: the network, perhaps wrapped for several devices.
        momentum: m, in [0, 1); 0.99 is usual.

    Attributes:
        network: the average, an unwrapped network in evaluation mode, without gradients.
        is_fresh: whether it has neither followed a step nor been given a state, such as that of a checkpoint.

    Raises:
        ValueError: when ``momentum`` lies outside [0, 1).

    Example:
        >>> network = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.ones_(network.weight)
        >>> average = MovingAverage(network, momentum=0.75)
        >>> _ = nn.init.constant_(network.weight, 5.0)
        >>> average.update(network)
        >>> average.network.weight.item()  # 0.75 * 1 + 0.25 * 5
        2.0
    """

    def __init__(self, network: nn.Module, momentum: float) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"teacher_momentum is in [0, 1), not {momentum}.")
        self.network = copy.deepcopy(unwrap(network)).requires_grad_(False).eval()
        self.is_fresh = True
        self.network.register_load_state_dict_post_hook(self._note_loading)
        self._momentum = momentum
        self._is_synchronised = any(isinstance(module, nn.SyncBatchNorm) for module in self.network.modules())

    @torch.no_grad()
    def restart(self, network: nn.Module) -> None:
        """Begin anew as a copy of the network, which may have been given other weights since."""
        self.network.load_state_dict(unwrap(network).state_dict())
        self.is_fresh = True

    def _note_loading(self, _network: nn.Module, _keys: Any) -> None:
        self.is_fresh = False

    @torch.no_grad()
    def update(self, network: nn.Module, step: int | None = None) -> None:
        """Take one step towards the network; every process of a distributed training has to.

        Args:
            network: the network.
            step: how many steps it has been trained for, at least 1. None: many.
        """
        self.is_fresh = False
        momentum = self._momentum if step is None else min(self._momentum, step / (step + 9))
        pairs = list(zip(_tensors(self.network), _tensors(unwrap(network)), strict=True))
        floating = [(ours, theirs.detach()) for ours, theirs in pairs if ours.is_floating_point()]
        average = get_ema_multi_avg_fn(momentum)
        average([ours for ours, _ in floating], [theirs for _, theirs in floating], None)
        for ours, theirs in pairs:
            if not ours.is_floating_point():
                ours.copy_(theirs)
        if dist.is_initialized() and not self._is_synchronised:
            for buffer in self.network.buffers():
                dist.broadcast(buffer, src=0)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]
