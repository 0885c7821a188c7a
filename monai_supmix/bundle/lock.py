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
    held = True

    def close() -> None:
        nonlocal held
        if held:
            held = False
            os.close(descriptor)

    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise InputError(
                    folder, "another run writes to this folder", "wait for it or choose another output_dir"
                ) from error
            # A forked loader worker would keep the lock of a killed parent.
            os.register_at_fork(after_in_child=close)
        yield
    finally:
        close()
