"""Whether images of a test were labelled training images of the weights under test."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_supmix.datalists.fingerprint import content_sha256

_DIGITS, _TOLD = 16, 3


def image_digests(items: Iterable[Mapping[str, Any]]) -> list[str]:
    """Hash the images of cases: names say who somebody is, these do not.

    Args:
        items: cases with an ``image``, and perhaps a ``slice`` of it, which is an image of its own.

    Returns:
        the first 16 hexadecimal digits of each content's SHA-256, sorted, each once.

    Raises:
        InputError: a file cannot be read.

    Example:
        >>> item = {"image": __file__, "case": "a", "group": "a"}
        >>> [len(digest) for digest in image_digests([item, item])]
        [16]
    """
    content = lru_cache(maxsize=None)(lambda name: content_sha256(Path(name)))
    return sorted({_digest(item, content) for item in items})


def _digest(item: Mapping[str, Any], content: Callable[[str], str]) -> str:
    whole = content(str(item["image"]))
    part = item.get("slice")
    return (whole if part is None else hashlib.sha256(f"{whole} {part}".encode()).hexdigest())[:_DIGITS]


def seen_note(test: Iterable[Mapping[str, Any]], labelled_images: Collection[str]) -> list[str]:
    """A note on test images that a network learnt with their labels, if there are any.

    Args:
        test: the cases of a test.
        labelled_images: what :func:`image_digests` says of the labelled training images.

    Example:
        >>> item = {"image": __file__, "case": "a", "group": "a"}
        >>> seen_note([item], image_digests([item]))[0].partition(": figures")[0]
        'test: 1 of 1 was trained on with its labels (a)'
        >>> seen_note([item], [])
        []
    """
    if not labelled_images:
        return []
    items, learnt = list(test), set(labelled_images)
    content = lru_cache(maxsize=None)(lambda name: content_sha256(Path(name)))
    seen = [item["case"] for item in items if _digest(item, content) in learnt]
    if not seen:
        return []
    names = ", ".join([*seen[:_TOLD], *(["..."] if len(seen) > _TOLD else [])])
    verb = "was trained on with its labels" if len(seen) == 1 else "were trained on with their labels"
    return [
        f"test: {len(seen)} of {len(items)} {verb} ({names}): figures are too good; "
        "test on images that no training has seen"
    ]
