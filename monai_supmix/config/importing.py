"""Imports that do not hold up a command: PyTorch and MONAI make a million objects, which live until it ends."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_LARGE = "monai"
_own_process = False


def own_process() -> None:
    """Say that this process runs a command and nothing else, so that no caller has objects of its own in it."""
    global _own_process  # noqa: PLW0603  # a process is a command's or it is not
    _own_process = True


@contextmanager
def uncollected() -> Iterator[None]:
    """Import what needs MONAI without searching for garbage meanwhile, and leave what that made out of later searches.

    Of the six seconds that a command starts and ends in, two were spent on these searches, the longest of them when
    the process ends. Nothing is done where MONAI is there already, or where a program of somebody's calls us: objects
    of its own would never be searched again.

    Example:
        >>> with uncollected():
        ...     import monai
        >>> gc.isenabled()
        True
    """
    if not _own_process or _LARGE in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
