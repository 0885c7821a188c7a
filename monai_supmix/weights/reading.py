"""Reading trained weights: our own files, with their record, and those of other programs, without one."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError

from monai_supmix.errors import InputError
from monai_supmix.files import reading_error
from monai_supmix.weights.record import content_sha256, record_problem
from monai_supmix.weights.tensor_files import check_seal, load_plain, refuse_nonfinite

_NESTED = ("model", "state_dict", "model_state_dict", "network")  # where training programs put the weights
_DAMAGED = "use another copy of the file, or train again"
_PLAIN = "save it again with torch.save(network.state_dict(), ...)"


@dataclass(frozen=True)
class WeightsFile:
    """What a file of weights holds.

    Args:
        tensors: the state dictionary, on the CPU.
        record: see :mod:`monai_supmix.weights.record`; ``None`` in a file of another program.
        sha256: of the file's bytes.

    Example:
        >>> weights = WeightsFile(torch.nn.Conv2d(1, 2, 1).state_dict(), record=None, sha256="0" * 64)
        >>> sorted(weights.tensors), weights.record is None
        (['bias', 'weight'], True)
    """

    tensors: dict[str, torch.Tensor]
    record: dict[str, Any] | None
    sha256: str


def read_weights(path: str | os.PathLike[str]) -> WeightsFile:
    """Read weights of any origin without running anything from the file, which is read and hashed once.

    Damage is found by the seal of our own ``.pt`` files, by the hash in the record of our other files, and by the
    checksums of the zip archive in those of other programs.

    Args:
        path: a file of `save_weights`; a state dictionary that ``torch.save`` has written, also as ``model``,
            ``state_dict``, ``model_state_dict`` or ``network`` of a dictionary; a ``.safetensors`` file.

    Returns:
        the tensors (on the CPU), the record if there is one, and the SHA-256 of the file.

    Raises:
        InputError: when the file is missing, damaged, of another kind, or has weights that are not finite.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "plain.pt"
        >>> torch.save(torch.nn.Linear(2, 1).state_dict(), path)
        >>> weights = read_weights(path)
        >>> sorted(weights.tensors), weights.record
        (['bias', 'weight'], None)
    """
    path = Path(path)
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise reading_error(path, error) from error
    sealed, sha256 = check_seal(raw, path)
    content = _safetensors(raw, path) if path.suffix == ".safetensors" else _torch(raw, path, sealed)
    tensors, record = content
    if not (isinstance(tensors, Mapping) and tensors and all(_is_entry(*item) for item in tensors.items())):
        raise InputError(
            path,
            "holds no trained weights",
            "give a model.pt or model.safetensors (training continues from a checkpoint with resume=auto)",
        )
    weights = dict(tensors)
    if record is not None:
        problem = record_problem(record)
        if problem:
            raise InputError(path, f"has an incomplete record ({problem})", "use weights that monai_supmix has saved")
        if not sealed and record.get("content_sha256") != content_sha256(weights, record):
            raise InputError(path, "is damaged (wrong checksum)", _DAMAGED)
    refuse_nonfinite(weights, path)
    return WeightsFile(weights, record, sha256)


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read weights that have a record.

    Args:
        path: a ``.pt`` or ``.safetensors`` file of `save_weights`.

    Returns:
        the state dictionary (on the CPU) and the record.

    Raises:
        InputError: as `read_weights` does, and when the file has no record.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "plain.pt"
        >>> torch.save(torch.nn.Linear(2, 1).state_dict(), path)
        >>> load_weights(path)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: ...plain.pt: has no record of classes and intensity rules, ...
    """
    weights = read_weights(path)
    if weights.record is None:
        problem = "has no record of classes and intensity rules, as weights of other programs have none"
        raise InputError(path, problem, "use weights that monai_supmix has saved")
    return weights.tensors, weights.record


def _is_entry(name: Any, tensor: Any) -> bool:
    return isinstance(name, str) and isinstance(tensor, torch.Tensor)


def _torch(raw: bytes, path: Path, sealed: bool) -> tuple[Any, Any]:
    if not sealed:
        _check_archive(raw, path)
    content = load_plain(io.BytesIO(raw), path, remedy=_PLAIN)
    if hasattr(content, "record"):
        return dict(content), content.record
    if isinstance(content, Mapping) and not all(isinstance(value, torch.Tensor) for value in content.values()):
        # Side by side with its record, as it was written before the state dictionary carried it, or somebody else's.
        return next((content[key] for key in _NESTED if key in content), None), content.get("record")
    return content, None


def _check_archive(raw: bytes, path: Path) -> None:
    """Check the checksums of a zip archive, which `torch.load` does not read; older files of PyTorch are a pickle."""
    if not raw.startswith((b"PK", b"\x80")):
        raise InputError(path, "is not a file of PyTorch, or damaged" if raw else "is empty", _DAMAGED)
    if raw.startswith(b"\x80"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            # PyTorch writes no comment: this is our seal, and no longer whole.
            broken = "the seal" if archive.comment else archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        raise InputError(path, "is truncated or damaged", _DAMAGED) from error
    if broken:
        raise InputError(path, f"is truncated or damaged (wrong checksum of {broken})", _DAMAGED)


def _safetensors(raw: bytes, path: Path) -> tuple[Any, Any]:
    try:
        tensors = safetensors.torch.load(raw)
        metadata = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]).get("__metadata__", {})
        return tensors, json.loads(metadata.get("record", "null"))
    except (SafetensorError, ValueError) as error:
        problem = "is truncated, damaged, or no safetensors file"
        raise InputError(path, problem, "use another copy of the file, or train again") from error
