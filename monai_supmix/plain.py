"""Tensors as torch knows them, without MONAI's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.data import MetaTensor


def as_plain(value: Any) -> Any:
    """A tensor, or dictionaries and lists of tensors, without MONAI's metadata; no tensor is copied.

    Args:
        value: a ``MetaTensor`` becomes a plain tensor, also inside dictionaries, lists and tuples; all else stays.

    Example:
        >>> item = as_plain({"image": MetaTensor([1.0]), "case": "eye"})
        >>> type(item["image"]).__name__, item["case"]
        ('Tensor', 'eye')
    """
    if isinstance(value, MetaTensor):
        return value.as_tensor()
    if isinstance(value, Mapping):
        return {key: as_plain(entry) for key, entry in value.items()}
    if type(value) in (list, tuple):
        return type(value)(as_plain(entry) for entry in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):  # a named one
        return type(value)(*(as_plain(entry) for entry in value))
    return value
