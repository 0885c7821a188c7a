"""Silence for calls that talk about themselves."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hide MONAI's lists of its arguments, here temporary files, and PyTorch's notes that TorchScript is old."""
    log = logging.getLogger("monai.bundle.scripts")
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for category in (DeprecationWarning, FutureWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        log.setLevel(level)
