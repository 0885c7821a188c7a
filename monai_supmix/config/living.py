"""What is alive in this process: MONAI gives neither a component nor an expression a way to what it is a part of."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


def living(kind: type[T]) -> Iterator[T]:
    """All objects of a class and of those derived from it, such as MONAI's parsers and workflows.

    Example:
        >>> class Parser: ...
        >>> class OwnParser(Parser): ...
        >>> parsers = [Parser(), OwnParser()]
        >>> sorted(type(found).__name__ for found in living(Parser))
        ['OwnParser', 'Parser']
    """
    # Asked once for the class, not for each of a million objects; by id, for somebody's class may have no hash.
    kinds = {id(one) for one in (kind, *_derived(kind))}
    yield from (candidate for candidate in gc.get_objects() if id(type(candidate)) in kinds)


def _derived(kind: type[T]) -> Iterator[type[T]]:
    """All classes below one."""
    for below in kind.__subclasses__():
        yield below
        yield from _derived(below)
