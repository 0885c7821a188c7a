"""Imports that do not hold up a command: PyTorch and MONAI make a million objects, which live until it ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LARGE = "monai"


@contextmanager
def uncollected() -> Iterator[None]:
    """Import what needs MONAI without searching for garbage meanwhile, and leave what that made out of later searches.

    Of the six seconds that a command starts and ends in, two were spent on these searches, the longest of them when
    the process ends. Where MONAI is there already nothing is done: by then a caller has objects of its own.

    Example:
        >>> with uncollected():
        ...     import monai
        >>> gc.isenabled()
        True
    """
    if _LARGE in sys.modules or not gc.isenabled():
        yield
        return
    gc.collect()  # what is garbage so far would stay
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
