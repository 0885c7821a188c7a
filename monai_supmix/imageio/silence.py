"""Silence of libraries whose checks are made here, for threads side by side."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager


class _Silence:
    """Levels and filters are the whole process's: the first who asks changes them, the last puts them back."""

    def __init__(self) -> None:
        self._lock, self._asked, self._outside = threading.Lock(), 0, ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            if self._asked == 0:
                self._outside.enter_context(_silenced())
            self._asked += 1

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._asked -= 1
            if self._asked == 0:
                self._outside.close()


_SILENCE = _Silence()


def quiet() -> AbstractContextManager[None]:
    """Keep pydicom and highdicom from telling of what is checked here, and names and identifiers to the log.

    Example:
        >>> with quiet(), quiet():
        ...     logging.getLogger("pydicom").isEnabledFor(logging.CRITICAL)
        False
        >>> logging.getLogger("pydicom").isEnabledFor(logging.CRITICAL)
        True
    """
    return _SILENCE


@contextmanager
def _silenced() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("highdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
