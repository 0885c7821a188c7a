"""Editing a configuration so that a reader sees in a comparison of files what was edited, and nothing else."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from monai_supmix.errors import InputError

_WIDTH = 120


def put(config: dict[str, Any], key: str, value: Any, new: bool = False) -> None:
    """Put a value in the place of an entry, which must be there: a template that changed is reported, not missed.

    Args:
        config: the configuration, changed in place.
        key: the entry, with ``#`` between its parts.
        value: its new value.
        new: the entry is a further argument of a component instead.

    Raises:
        InputError: the template has no such entry.

    Example:
        >>> config = {"network_def": {"in_channels": 3}}
        >>> put(config, "network_def#in_channels", 1)
        >>> config
        {'network_def': {'in_channels': 1}}
    """
    *parts, last = key.split("#")
    place = config
    for part in parts:
        place = place.get(part, {})
    if (last in place) == new or (new and "_target_" not in place):
        raise InputError(key, "is not where the shipped bundles had it", "install a matching version of monai-supmix")
    place[last] = value


def without(config: Mapping[str, Any], ids: Collection[str]) -> dict[str, Any]:
    """Leave out top-level entries, and all entries that refer to them, by themselves or in an expression.

    Example:
        >>> without({"split": "a", "seed": 0, "settings": {"split": "@split", "seed": "@seed"}}, ["split"])
        {'seed': 0, 'settings': {'seed': '@seed'}}
        >>> without({"split": "a", "named": ["$None if @seed else @split", "@splits"]}, ["split"])
        {'named': ['@splits']}
    """
    reference = re.compile(rf"@({'|'.join(map(re.escape, ids))})(?!\w)") if ids else None

    def refers(entry: Any) -> bool:
        return reference is not None and isinstance(entry, str) and reference.search(entry) is not None

    def clean(entry: Any) -> Any:
        if isinstance(entry, Mapping):
            return {key: clean(value) for key, value in entry.items() if not refers(value)}
        if isinstance(entry, list):
            return [clean(value) for value in entry if not refers(value)]
        return entry

    return clean({key: entry for key, entry in config.items() if key not in ids})


def to_text(entry: Any, indent: int = 0, taken: int = 0) -> str:
    r"""Write JSON as the shipped bundles have it: on one line what fits on one, four spaces a level.

    A component that takes more has its ``_target_`` first, and as many arguments on each of the lines below as fit.

    Args:
        entry: plain values.
        indent: spaces that lines below the first begin with.
        taken: width of what stands before the first line.

    Example:
        >>> print(to_text({"crop_size": [160, 160]}))
        {
            "crop_size": [160, 160]
        }
    """
    flat = json.dumps(entry, ensure_ascii=False)
    if not isinstance(entry, (dict, list)) or not entry or (indent and indent + taken + len(flat) + 1 <= _WIDTH):
        return flat
    inner = " " * (indent + 4)
    if isinstance(entry, dict):
        keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in entry]
        parts = [key + to_text(value, indent + 4, len(key)) for key, value in zip(keys, entry.values(), strict=True)]
        lines = _filled(parts, _WIDTH - len(inner)) if next(iter(entry)) == "_target_" else parts
        return "{\n" + ",\n".join(inner + line for line in lines) + "\n" + " " * indent + "}"
    return "[\n" + ",\n".join(inner + to_text(value, indent + 4) for value in entry) + "\n" + " " * indent + "]"


def _filled(parts: list[str], width: int) -> list[str]:
    """Parts on one line if all fit there, else the first on a line of its own and the others as far as they fit."""
    whole = ", ".join(parts)
    if "\n" not in whole and len(whole) <= width:
        return [whole]
    lines = parts[:1]
    for number, part in enumerate(parts[1:]):
        together = f"{lines[-1]}, {part}"
        if number and "\n" not in together and len(together) + 1 <= width:
            lines[-1] = together
        else:
            lines.append(part)
    return lines
