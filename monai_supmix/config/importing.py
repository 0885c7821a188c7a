"""Imports that do not hold up a command: PyTorch and MONAI make a million objects, which live until it ends."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Iterator[None]:
    """Import modules without searching for garbage meanwhile, and leave what they made out of all later searches.

    Of the six seconds that a command starts and ends in, two were spent on these searches, the longest of them when
    the process ends.

    Example:
        >>> with uncollected():
        ...     import wave
        >>> gc.isenabled()
        True
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_enabled:
            gc.enable()
