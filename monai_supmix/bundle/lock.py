"""One training run at a time in an output folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from monai_supmix.errors import InputError
from monai_supmix.files import make_directory, writing_error

try:
    import fcntl
except ImportError:  # Windows has no flock; only the checkpoints distinguish its users
    fcntl = None  # type: ignore[assignment]

_held: set[int] = set()  # open descriptors of locks


def _let_go() -> None:
    """Close them in a forked process: a loader's worker would keep the lock of a killed parent."""
    while _held:
        os.close(_held.pop())


if fcntl is not None:
    os.register_at_fork(after_in_child=_let_go)


@contextmanager
def exclusive(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a folder for one run; the operating system lets go when the process ends, however it ends.

    Args:
        folder: the run's output folder, made if missing.

    Raises:
        InputError: when another run holds the folder, or it cannot be made or written to.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, exclusive(folder):
        ...     pass
    """
    lock = make_directory(folder) / ".lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise writing_error(lock, error) from error
    _held.add(descriptor)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    folder, "another run writes to this folder", "wait for it or choose another output_dir"
                ) from error
        yield
    finally:
        if descriptor in _held:  # else it was closed in a forked process, which this is
            _held.remove(descriptor)
            os.close(descriptor)
