"""Configured objects as plain values, to record a run and to compare it with another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch


def describe(value: Any) -> Any:
    """Turn a configuration into plain values.

    Args:
        value: plain values, mappings and sequences of them, and objects. An object becomes its class's name and its
            public attributes; random states, tensors' contents and private attributes are left out.

    Returns:
        nested dictionaries, lists, strings, numbers, booleans and ``None``.

    Example:
        >>> from monai_supmix.transforms import CutMix
        >>> describe({"mixing": CutMix(prob=0.25), "crop": (64, 64)})["mixing"]["prob"]
        0.25
    """
    return _describe(value, depth=6)


def _describe(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (Path, torch.device, torch.dtype)):
        return str(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return f"{type(value).__name__}{tuple(value.shape)}"
    if depth == 0:
        return type(value).__name__
    if isinstance(value, Mapping):
        return {str(key): _describe(entry, depth - 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_describe(entry, depth - 1) for entry in value]
    if callable(value) and hasattr(value, "__qualname__"):
        return value.__qualname__
    name = f"{type(value).__module__}.{type(value).__qualname__}"
    if isinstance(value, torch.nn.Module):
        return {"class": name, **_describe(getattr(value, "config", {}), depth - 1)} | {
            "parameters": sum(p.numel() for p in value.parameters())
        }
    if isinstance(value, torch.optim.Optimizer):
        return {"class": name, **_describe(value.defaults, depth - 1)}
    public = {key: entry for key, entry in vars(value).items() if not key.startswith("_") and key != "R"}
    return {"class": name, **_describe(public, depth - 1)}
