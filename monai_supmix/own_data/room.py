"""Networks with room for their classes.

The networks of the bundles are made for a handful of classes: `CompactUNet` turns 16 channels into the logits of a
block of 2 x 2 pixels, four times as many as there are classes. On a made-up data set of 42 classes such a network left
holes in 9 % of the foreground and lost 13 classes after 500 iterations, one with 48 channels 1 % and one class. One
channel for each class in the last level is therefore proposed; more was not tried.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_supmix.own_data.choice import Choice

_MULTIPLE = 8  # widths that processors like


def roomy(network_def: Mapping[str, Any], num_classes: int) -> dict[str, Any]:
    """A network's configuration with one channel for each class, or more, where the logits are made.

    Args:
        network_def: of a ``CompactUNet``, or of a ``HookedNetwork`` around MONAI's ``UNet``; others stay as they are.
        num_classes: number of classes, background included.

    Returns:
        the configuration, the same where there is room already.

    Example:
        >>> network = {"_target_": "monai_supmix.networks.CompactUNet", "features": [16, 32, 32, 64, 64, 16]}
        >>> roomy(network, 4) == network, roomy(network, 42)["features"]
        (True, [16, 32, 32, 64, 64, 48])
        >>> volume = {"_target_": "x.HookedNetwork", "network": {"_target_": "x.UNet", "channels": [8, 16, 32, 64]}}
        >>> roomy(volume, 42)["network"]["channels"]
        [24, 24, 32, 64]
    """
    least = -(-num_classes // _MULTIPLE) * _MULTIPLE
    match str(network_def.get("_target_")).rpartition(".")[2]:
        case "CompactUNet":
            *levels, last = network_def["features"]
            return {**network_def, "features": [*levels, max(last, least)]}
        case "HookedNetwork" if "channels" in network_def["network"]:
            half = -(-num_classes // (2 * _MULTIPLE)) * _MULTIPLE  # its last level joins two maps of this width
            network = network_def["network"]
            return {**network_def, "network": {**network, "channels": [max(w, half) for w in network["channels"]]}}
    return dict(network_def)


def propose_room(network_def: Mapping[str, Any], num_classes: int) -> Choice | None:
    """The width of the network in words, where the classes ask for more than the template has; else ``None``.

    Args:
        network_def: see `roomy`.
        num_classes: number of classes, background included.

    Example:
        >>> network = {"_target_": "monai_supmix.networks.CompactUNet", "features": [16, 32, 32, 64, 64, 16]}
        >>> propose_room(network, 4) is None, propose_room(network, 42).value
        (True, '48 channels before the output instead of 16')
    """
    wide = roomy(network_def, num_classes)
    if wide == network_def:
        return None
    value = f"{wide['features'][-1]} channels before the output instead of {network_def['features'][-1]}"
    return Choice("network", value, f"{num_classes} classes: narrower, masks had holes and classes were lost")
