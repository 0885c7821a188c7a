"""Writing trained weights: `model.pt` and `model.safetensors` with the same tensors and the same record.

Neither can run code when it is loaded. To other programs ``model.pt`` is a plain state dictionary, see
`write_state_dict`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from monai_supmix.files import atomic_write
from monai_supmix.weights.matching import unwrap
from monai_supmix.weights.record import content_sha256, record_problem
from monai_supmix.weights.tensor_files import plain, refuse_nonfinite, write_state_dict


def save_weights(
    path: str | os.PathLike[str], network: nn.Module | Mapping[str, torch.Tensor], record: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Write weights with their record in both formats, each atomically.

    Equal weights and records give equal bytes, whatever way led to them.

    Args:
        path: the ``.pt`` file; the other one gets the suffix ``.safetensors`` beside it.
        network: the network (also wrapped for distributed training or compiled) or its state dictionary.
        record: see :mod:`monai_supmix.weights.record`; plain values that JSON can hold.

    Returns:
        the two files.

    Raises:
        InputError: when a weight is not finite, or the system refuses to write.
        ValueError: when the record is incomplete or the path has another suffix.

    Example:
        >>> import tempfile
        >>> from monai_supmix.weights import current_versions, load_weights
        >>> record = {"network": {}, "class_names": ["background", "vessel"], "intensity": {}, "working": {},
        ...           "trained_on": {}, "versions": current_versions()}
        >>> path, _ = save_weights(Path(tempfile.mkdtemp()) / "model.pt", nn.Conv2d(1, 2, 1), record)
        >>> state, loaded = load_weights(path)
        >>> sorted(state), loaded["class_names"]
        (['bias', 'weight'], ['background', 'vessel'])
    """
    path = Path(path)
    if path.suffix != ".pt":
        raise ValueError(f"weights are written to a .pt file, not to '{path.name}'")
    problem = record_problem(record)
    if problem:
        raise ValueError(f"the record is incomplete: {problem}")
    state = unwrap(network).state_dict() if isinstance(network, nn.Module) else network
    refuse_nonfinite(state, path)
    # Copied, so that tied tensors lie apart (safetensors asks for it) and strides are standard: contiguous()
    # keeps other strides along axes of length 1.
    tensors = {n: torch.empty(t.shape, dtype=t.dtype).copy_(t) for n, t in plain(state).items()}
    noted: dict[str, Any] = json.loads(json.dumps(plain(record), allow_nan=False))  # no tuples: as JSON has it
    noted["content_sha256"] = content_sha256(tensors, noted)
    return write_both(path, tensors, noted)


def write_both(path: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> tuple[Path, Path]:
    """Write ``model.pt`` and its twin, tensors and record as they are."""
    twin = path.with_suffix(".safetensors")
    _write_safetensors(twin, tensors, record)
    write_state_dict(path, tensors, record)
    return path, twin


def _write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    # The format orders several metadata entries at random, so there is only one.
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(dict(tensors), {"record": json.dumps(record, sort_keys=True)}))
