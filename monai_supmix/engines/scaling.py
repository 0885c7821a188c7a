"""Scaling of the loss in float16, without which small gradients are lost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class LossScaler(torch.amp.GradScaler):
    """PyTorch's ``GradScaler``, apart from two cases in which it destroys or refuses a training.

    Fused SGD is told to leave a step with infinite gradients out, which the first one with float16 often is; it then
    takes momentum that nobody has written for that of the step before (PyTorch 2.14). Here such steps are left out
    before the optimizer sees them. And a run that was begun in another format, on a device with fast bfloat16 or on a
    CPU, has no state to go on from: the scaler begins anew.

    Args:
        device: ``"cuda"`` or another type of device.
        enabled: whether the training runs in float16; otherwise losses and steps pass unchanged.

    Example:
        >>> scaler = LossScaler("cpu", enabled=True)
        >>> scaler.load_state_dict(LossScaler("cpu", enabled=False).state_dict())
        >>> scaler.get_scale()
        65536.0
    """

    def __init__(self, device: str, enabled: bool) -> None:
        super().__init__(device, enabled=enabled)

    def step(self, optimizer: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> float | None:
        """Let an optimizer take its step, unless a gradient is infinite or no number."""
        if isinstance(optimizer, torch.optim.SGD):
            optimizer._step_supports_amp_scaling = False  # what fused ones are asked
        return super().step(optimizer, *args, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a state; one that is empty, of a run without scaling, leaves the scaler as it is."""
        if state_dict:
            super().load_state_dict(dict(state_dict))
