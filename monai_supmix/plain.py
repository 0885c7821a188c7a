"""Tensors as torch knows them, without MONAI's metadata."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai.data import MetaTensor


def as_plain(value: Any) -> Any:
    """A tensor, or a dictionary with tensors, without MONAI's metadata; nothing is copied.

    Args:
        value: a ``MetaTensor`` becomes a plain tensor, a dictionary one of plain values; all else stays what it is.

    Example:
        >>> item = as_plain({"image": MetaTensor([1.0]), "case": "eye"})
        >>> type(item["image"]).__name__, item["case"]
        ('Tensor', 'eye')
    """
    if isinstance(value, MetaTensor):
        return value.as_tensor()
    return {key: as_plain(entry) for key, entry in value.items()} if isinstance(value, Mapping) else value
