"""Parameters of an encoder-decoder, the encoder's apart from the head's."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_groups(network: nn.Module, lr: float, head_lr_multiplier: float = 1.0) -> list[dict[str, Any]]:
    """Groups of parameters for an optimizer, so that what is not pretrained can learn faster.

    UniMatch's published settings multiply the learning rate of all but the encoder by 1 or 10; a schedule scales both
    groups alike.

    Args:
        network: a network with an ``encoder``, such as :class:`monai_supmix.networks.EncoderDecoder`.
        lr: learning rate of the encoder.
        head_lr_multiplier: that of all other parameters is ``lr`` times this, above 0.

    Returns:
        two groups, encoder and rest, each with its ``lr``.

    Raises:
        ValueError: the network has no encoder, or the multiplier is not above 0.

    Example:
        >>> from torch import nn
        >>> network = nn.ModuleDict({"encoder": nn.Conv2d(1, 2, 1), "head": nn.Conv2d(2, 2, 1)})
        >>> network.encoder = network["encoder"]
        >>> [(group["lr"], len(group["params"])) for group in parameter_groups(network, 0.25, head_lr_multiplier=2)]
        [(0.25, 2), (0.5, 2)]
    """
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module):
        raise ValueError(f"{type(network).__name__} has no encoder whose learning rate could be another.")
    if head_lr_multiplier <= 0:
        raise ValueError(f"head_lr_multiplier is above 0, not {head_lr_multiplier}.")
    inside = {id(parameter) for parameter in encoder.parameters()}
    rest = [parameter for parameter in network.parameters() if id(parameter) not in inside]
    return [{"params": list(encoder.parameters()), "lr": lr}, {"params": rest, "lr": lr * head_lr_multiplier}]
