"""Files that are whole or not there: atomic writing, hashes, and the system's errors in plain words."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from monai_supmix.errors import InputError

_TEMPORARY = ".tmp"
_FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
# Some network and overlay file systems cannot flush a directory; the rename is atomic there all the same.
_NO_DIRECTORY_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM}


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str], text: bool = False) -> Iterator[IO[Any]]:
    """Open a file for writing that appears under its name only when it is complete and on the disk.

    The bytes go to a temporary file in the same folder, which is flushed, synchronised and then renamed; the
    folder is synchronised last. A reader sees the old file or the new one, never a part, also after a kill or
    a power cut. If the block raises, the temporary file is removed and the old file stays as it was.

    Args:
        path: the file to write. Its folder must exist.
        text: open for UTF-8 text with the line ends as given, instead of bytes (which can also be read back).

    Yields:
        the open temporary file.

    Raises:
        InputError: when the system refuses (full disk, read-only folder, missing folder), with what to do.

    Example:
        >>> import tempfile
        >>> target = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with atomic_write(target, text=True) as file:
        ...     _ = file.write("whole")
        ...     target.exists()
        False
        >>> target.read_text()
        'whole'
    """
    path = Path(path)
    # Created by open(), not mkstemp(): the file then gets the permissions that the user's umask asks for.
    temporary = path.with_name(f".{path.name[-50:]}.{secrets.token_hex(6)}{_TEMPORARY}")
    try:
        options: dict[str, Any] = {"encoding": "utf-8", "newline": ""} if text else {}
        with temporary.open("x" if text else "x+b", **options) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        # Closed before the rename, for Windows does not rename open files.
        temporary.replace(path)
        _sync_directory(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.filename in (None, str(temporary), str(path)):
            raise writing_error(path, error) from error
        raise


def write_json(record: Mapping[str, Any], path: str | os.PathLike[str], indent: int | None = 2) -> None:
    r"""Write plain values as strict JSON (no NaN, no Infinity), whole or not at all.

    Args:
        record: the values.
        path: the file. Its folder must exist.
        indent: of each level; ``None`` writes one line.

    Raises:
        InputError: the file cannot be written.
        ValueError: a number is not finite; see `without_nan`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "record.json"
        >>> write_json({"case": "eye"}, path, indent=None)
        >>> path.read_text(encoding="utf-8")
        '{"case": "eye"}\n'
    """
    with atomic_write(path, text=True) as file:
        file.write(json.dumps(record, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def without_nan(value: Any) -> Any:
    """Nested plain values fit for JSON: ``None`` in the place of NaN and infinity.

    Example:
        >>> without_nan({"iou": (0.5, float("nan"))})
        {'iou': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {name: without_nan(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":  # no such call there; NTFS journals the rename
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_DIRECTORY_SYNC:
            raise
    finally:
        os.close(descriptor)


def writing_error(path: str | os.PathLike[str], error: OSError) -> InputError:
    """Turn the system's refusal to write into a message that names the file and the remedy.

    Args:
        path: what was to be written.
        error: the system's error.

    Returns:
        the error to raise.

    Example:
        >>> print(writing_error("out/model.pt", OSError(errno.ENOSPC, "No space left on device")))
        out/model.pt: cannot be written, the disk is full (No space left on device): free some space ...
    """
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        problem, remedy = "the disk is full", "free some space or choose another output_dir"
    elif error.errno in _FORBIDDEN:
        problem, remedy = "the folder is read-only", "make it writable or choose another output_dir"
    elif error.errno in (errno.ENOENT, errno.ENOTDIR):
        problem, remedy = "its folder does not exist", "make the folder or choose another output_dir"
    else:
        problem, remedy = "the system refused", "check the disk or choose another output_dir"
    return InputError(path, f"cannot be written, {problem} ({reason})", remedy)


def make_directory(path: str | os.PathLike[str]) -> Path:
    """Make a folder, and those above it, unless it is there.

    Args:
        path: the folder.

    Returns:
        the folder as a `Path`.

    Raises:
        InputError: when the system refuses, or a file has that name.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise InputError(path, "is a file, not a folder", "choose another output_dir") from error
    except OSError as error:
        raise writing_error(path, error) from error
    return path


def remove_leftovers(directory: str | os.PathLike[str]) -> list[Path]:
    """Remove the temporary files that a killed process left in a folder.

    Only for folders in which nobody else writes at the time.

    Args:
        directory: the folder; a missing one has no leftovers.

    Returns:
        the files that were removed.
    """
    removed = []
    for leftover in sorted(Path(directory).glob(f".*{_TEMPORARY}")):
        with contextlib.suppress(OSError):
            leftover.unlink()
            removed.append(leftover)
    return removed


def sha256(path: str | os.PathLike[str]) -> str:
    """Hash a file's bytes.

    Args:
        path: the file.

    Returns:
        64 hexadecimal digits.

    Raises:
        InputError: when the file cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile() as file:
        ...     sha256(file.name)[:8]
        'e3b0c442'
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise reading_error(path, error) from error
    return digest.hexdigest()


def reading_error(path: str | os.PathLike[str], error: OSError) -> InputError:
    """Turn the system's refusal to read into a message that names the file and the remedy.

    Args:
        path: what was to be read.
        error: the system's error.

    Returns:
        the error to raise.

    Example:
        >>> print(reading_error("model.pt", FileNotFoundError(errno.ENOENT, "No such file or directory")))
        model.pt: does not exist: check the path
    """
    if error.errno == errno.ENOENT:
        return InputError(path, "does not exist", "check the path")
    if error.errno == errno.EISDIR or Path(path).is_dir():
        return InputError(path, "is a folder", "give the path of a file")
    return InputError(path, f"cannot be read ({error.strerror or error})", "check the file and its permissions")
