"""Configured objects as plain values, to record a run and to compare it with another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

_DEEPEST = 12  # a transform in a composition in a component of a configuration is eight deep


def describe(value: Any) -> Any:
    """Turn a configuration into plain values.

    Args:
        value: plain values, mappings and sequences of them, and objects. An object becomes its class's name and its
            public attributes; random states, tensors' contents, private attributes and those fields of a dataclass that
            count for no comparison are left out.

    Returns:
        nested dictionaries, lists, strings, numbers, booleans and ``None``.

    Example:
        >>> from monai_supmix.transforms import CutMix
        >>> describe({"mixing": CutMix(prob=0.25), "crop": (64, 64)})["mixing"]["prob"]
        0.25
    """
    return _describe(value, depth=_DEEPEST)


def _describe(value: Any, depth: int) -> Any:
    result: Any
    if value is None or isinstance(value, (bool, int, float, str)):
        result = value
    elif isinstance(value, (Path, torch.device, torch.dtype)):
        result = str(value)
    elif isinstance(value, np.generic):
        result = value.item()
    elif isinstance(value, (torch.Tensor, np.ndarray)):
        result = f"{type(value).__name__}{tuple(value.shape)}"
    elif depth == 0:
        result = type(value).__name__
    elif isinstance(value, Mapping):
        result = {str(key): _describe(entry, depth - 1) for key, entry in value.items()}
    elif isinstance(value, (list, tuple, set, frozenset)):
        result = [_describe(entry, depth - 1) for entry in value]
    elif callable(value) and hasattr(value, "__qualname__"):
        result = value.__qualname__
    else:
        name = f"{type(value).__module__}.{type(value).__qualname__}"
        result = {"class": name, **_describe(_arguments(value), depth - 1)}
    return result


def _arguments(value: Any) -> dict[str, Any]:
    """The public attributes of an object that say how it was made."""
    if isinstance(value, torch.nn.Module):
        counts = {"parameters": sum(parameter.numel() for parameter in value.parameters())}
        plain = {k: v for k, v in vars(value).items() if isinstance(v, (bool, int, float, str, list, tuple))}
        return counts | {k: v for k, v in plain.items() if not k.startswith("_") and k != "training"}
    if isinstance(value, torch.optim.Optimizer):
        return value.defaults
    aside = {"R", *(field.name for field in fields(value) if not field.compare)} if is_dataclass(value) else {"R"}
    return {key: entry for key, entry in vars(value).items() if not key.startswith("_") and key not in aside}
