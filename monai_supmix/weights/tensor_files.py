"""Files of tensors and plain values: equal content gives equal bytes, damage is found, nothing is unpickled.

PyTorch's own format is a zip archive whose checksums `torch.load` does not read: of 400 single bit flips in a
file, 397 load silently. Checking them by hand is not enough either, a flipped directory flag makes it return
memory that was never written. So a file of `write_tensors` is sealed: the SHA-256 of all its bytes stands in
the archive's comment, where `torch.load` and every other zip reader pass over it.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import sys
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any, cast

import torch

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, reading_error

_SEAL_MARK = b"sha256:"
_SEAL_LENGTH = len(_SEAL_MARK) + 64


def plain(content: Any, where: str = "content") -> Any:
    """Rebuild nested content from tensors on the host and exact built-in types only.

    What comes out is loadable with ``weights_only=True``, holds no view of a larger storage, and pickles to
    bytes that depend on the values alone: pickle writes an object that occurs twice as a reference, so equal
    content built along another path (a resumed run) would otherwise give another file. Strides stay as they
    are, because the last bit of a sum may depend on them.

    Args:
        content: nested mappings, lists and tuples of tensors, numbers, strings, booleans and None.
        where: the name of the content in messages.

    Returns:
        the same values; mappings have become `dict`, tensors are detached and on the CPU.

    Raises:
        ValueError: when something else occurs in the content; the message says where.

    Example:
        >>> plain({"epoch": 3, "shape": torch.Size([2, 1])})
        {'epoch': 3, 'shape': (2, 1)}
    """
    if isinstance(content, torch.Tensor):
        tensor = content.detach().as_subclass(torch.Tensor).cpu()
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        return tensor if whole else tensor.clone()
    if content is None or isinstance(content, bool):
        return content
    if isinstance(content, str):
        return sys.intern(str.__str__(content))
    for number in (int, float):  # also their subclasses, such as numpy.float64
        if isinstance(content, number):
            return number(content)
    if isinstance(content, Mapping):
        return {plain(k, where): plain(v, f"{where}[{k!r}]") for k, v in content.items()}
    if isinstance(content, (list, tuple)):
        values = [plain(value, f"{where}[{i}]") for i, value in enumerate(content)]
        return values if isinstance(content, list) else tuple(values)
    raise ValueError(f"{where} is a {type(content).__name__}, not a tensor or a plain value")


def tensors_in(content: Any, where: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Walk through nested content.

    Args:
        content: as for `plain`.
        where: the name of the content.

    Yields:
        each tensor with its dotted name.

    Example:
        >>> [name for name, _ in tensors_in({"net": {"bias": torch.zeros(1)}, "steps": [torch.ones(1), 2]})]
        ['net.bias', 'steps.0']
    """
    if isinstance(content, torch.Tensor):
        yield where, content
    elif isinstance(content, (Mapping, list, tuple)):
        items = content.items() if isinstance(content, Mapping) else enumerate(content)
        for key, value in items:
            yield from tensors_in(value, f"{where}.{key}" if where else str(key))


def nonfinite_tensor(content: Any) -> str | None:
    """Find a tensor with a NaN or an infinite value.

    The values are reduced on their device and read once, so that a check on a GPU costs one synchronisation.

    Args:
        content: as for `plain`; tensors may be on any device.

    Returns:
        the dotted name of the first such tensor, or None when all are finite.

    Example:
        >>> nonfinite_tensor({"weight": torch.ones(2), "bias": torch.tensor([0.0, float("nan")])})
        'bias'
    """
    named = [(n, t) for n, t in tensors_in(content) if t.is_floating_point() or t.is_complex()]
    devices = {tensor.device for _, tensor in named}
    bad: set[str] = set()
    for device in devices:
        here = [(name, tensor) for name, tensor in named if tensor.device == device]
        finite = torch.stack([tensor.detach().isfinite().all() for _, tensor in here]).tolist()
        bad.update(name for (name, _), is_finite in zip(here, finite, strict=True) if not is_finite)
    return next((name for name, _ in named if name in bad), None)


def refuse_nonfinite(content: Any, path: str | os.PathLike[str]) -> None:
    """Refuse to write or use content with NaN or infinite values.

    Args:
        content: as for `plain`.
        path: the file that the content was to be written to, or came from.

    Raises:
        InputError: with the name of the first such tensor.
    """
    name = nonfinite_tensor(content)
    if name is not None:
        raise InputError(
            path,
            f"'{name}' has NaN or infinite values",
            "go back to an earlier checkpoint, and lower the learning rate if training diverged",
        )


def write_tensors(path: str | os.PathLike[str], content: Mapping[str, Any]) -> None:
    """Write tensors and plain values, atomically, so that equal content gives equal bytes.

    Args:
        path: the file; its folder must exist.
        content: as for `plain`.

    Raises:
        InputError: when a tensor is not finite, or the system refuses to write.
        ValueError: when the content holds anything but tensors and plain values.
    """
    refuse_nonfinite(content, path)
    _write(path, plain(content))


def write_state_dict(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]
) -> None:
    """Write a state dictionary that knows what it is, otherwise as `write_tensors` does.

    The file holds a plain, flat state dictionary, which is what MONAI's tools and `load_state_dict` take. The
    record is an attribute of it, as PyTorch's own ``_metadata`` is: ``torch.load(path).record``.

    Args:
        path: the file; its folder must exist.
        tensors: the state dictionary.
        record: plain values.

    Raises:
        InputError: when a tensor is not finite, or the system refuses to write.
    """
    refuse_nonfinite(tensors, path)
    state = OrderedDict(plain(tensors))
    vars(state)["record"] = plain(record)
    _write(path, state)


def _write(path: str | os.PathLike[str], content: Any) -> None:
    with atomic_write(path) as file:
        recorder = _ErrorRecorder(file)
        try:
            torch.save(content, cast(IO[bytes], recorder))
        except RuntimeError as error:
            raise recorder.error or error from error
        _seal(file)


def _seal(file: IO[bytes]) -> None:
    """Append the hash of a zip archive without a comment as its comment."""
    file.seek(-2, os.SEEK_END)  # the comment's length is the archive's last field
    file.write(_SEAL_LENGTH.to_bytes(2, "little"))
    size = file.tell()
    file.seek(0)
    file.write(_SEAL_MARK + _hash(file, size).encode())


def _hash(file: IO[bytes], size: int) -> str:
    digest = hashlib.sha256()
    while size > 0 and (block := file.read(min(size, 1 << 20))):
        digest.update(block)
        size -= len(block)
    return digest.hexdigest()


class _ErrorRecorder:
    """A file that keeps the system's error, which `torch.save` hides behind its own.

    Writing to a Python file also gives the archive a fixed inner name, where a path would give the name of
    the temporary file and so other bytes each time.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.error = file, None  # type: IO[bytes], OSError | None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()


def damage_of(path: str | os.PathLike[str]) -> str | None:
    """Look for damage in a file of `write_tensors` by reading all of it against its seal.

    Args:
        path: the file.

    Returns:
        what is wrong in a few words, or None when every byte is as it was written.

    Raises:
        InputError: when the file cannot be read at all.
    """
    try:
        with Path(path).open("rb") as file:
            size = file.seek(0, os.SEEK_END) - _SEAL_LENGTH
            if size < 0:
                return "empty or truncated"
            file.seek(size)
            seal = file.read()
            if not seal.startswith(_SEAL_MARK):
                return "truncated, or not written by monai_supmix"
            file.seek(0)
            return None if seal == _SEAL_MARK + _hash(file, size).encode() else "damaged (wrong checksum)"
    except OSError as error:
        raise reading_error(path, error) from error


def read_tensors(path: str | os.PathLike[str]) -> Any:
    """Read a file of `write_tensors` without running anything from it.

    Args:
        path: the file.

    Returns:
        the content, tensors on the CPU.

    Raises:
        InputError: when the file is missing, damaged, or holds objects other than tensors and plain values.
    """
    damage = damage_of(path)
    if damage is not None:
        raise InputError(path, f"is {damage}", "use another copy of the file, or train again")
    return load_plain(path, path, "use a file that monai_supmix has written")


def load_plain(source: str | os.PathLike[str] | IO[bytes], path: str | os.PathLike[str], remedy: str) -> Any:
    """Read tensors and plain values from a file of PyTorch, unpickling nothing else.

    Args:
        source: the file, or its bytes.
        path: its name, for the message.
        remedy: what to do where it holds something else, for the message.

    Raises:
        InputError: when it does, or is not a file of PyTorch.
    """
    try:
        return torch.load(source, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, LookupError, ValueError) as error:
        problem = "holds something other than tensors and plain values, which could run code when loaded"
        raise InputError(path, problem, remedy) from error


def check_seal(raw: bytes, path: str | os.PathLike[str]) -> tuple[bool, str]:
    """Hash the bytes of a file once, for its seal and for its own SHA-256.

    Args:
        raw: all its bytes.
        path: its name, for the message.

    Returns:
        whether it has a seal, and the SHA-256 of all its bytes.

    Raises:
        InputError: when the seal does not hold.
    """
    body, seal = memoryview(raw)[:-_SEAL_LENGTH], raw[-_SEAL_LENGTH:]
    digest = hashlib.sha256(body)
    sealed = seal.startswith(_SEAL_MARK)
    if sealed and seal != _SEAL_MARK + digest.hexdigest().encode():
        raise InputError(path, "is damaged (wrong checksum)", "use another copy of the file, or train again")
    digest.update(seal)
    return sealed, digest.hexdigest()
