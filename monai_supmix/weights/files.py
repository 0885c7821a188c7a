"""Trained weights as files: `model.pt` and `model.safetensors`, with a record of what they were trained for.

Both files hold the same tensors and the same record (see `weights_record`), and neither can run code when it
is loaded. To other programs ``model.pt`` is a plain state dictionary, see `write_state_dict`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory, reading_error
from monai_supmix.weights.record import current_versions, record_problem
from monai_supmix.weights.tensor_files import plain, read_tensors, refuse_nonfinite, write_state_dict

__all__ = [
    "current_versions",
    "default_weights",
    "install_weights",
    "load_into",
    "load_weights",
    "record_problem",
    "require_classes",
    "save_weights",
    "unwrap",
]


def save_weights(
    path: str | os.PathLike[str], network: nn.Module | Mapping[str, torch.Tensor], record: Mapping[str, Any]
) -> tuple[Path, Path]:
    """Write weights with their record in both formats, each atomically.

    Equal weights and records give equal bytes, whatever way led to them.

    Args:
        path: the ``.pt`` file; the other one gets the suffix ``.safetensors`` beside it.
        network: the network (also wrapped for distributed training or compiled) or its state dictionary.
        record: see `weights_record`; plain values that JSON can hold.

    Returns:
        the two files.

    Raises:
        InputError: when a weight is not finite, or the system refuses to write.
        ValueError: when the record is incomplete or the path has another suffix.

    Example:
        >>> import tempfile
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
    noted["content_sha256"] = _content_sha256(tensors, noted)
    return _write_both(path, tensors, noted)


def _write_both(path: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> tuple[Path, Path]:
    twin = path.with_suffix(".safetensors")
    _write_safetensors(twin, tensors, record)
    write_state_dict(path, tensors, record)
    return path, twin


def unwrap(network: nn.Module) -> nn.Module:
    """Take off the wrappers of distributed training and compilation, which change the names of the tensors.

    Args:
        network: a module.

    Returns:
        the module inside.
    """
    while True:
        if isinstance(network, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            network = network.module
        elif isinstance(inner := getattr(network, "_orig_mod", None), nn.Module):
            network = inner
        else:
            return network


def _content_sha256(tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in record.items() if key != "content_sha256"}
    digest = hashlib.sha256(json.dumps(rest, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any]) -> None:
    # The format orders several metadata entries at random, so there is only one.
    with atomic_write(path) as file:
        file.write(safetensors.torch.save(dict(tensors), {"record": json.dumps(record, sort_keys=True)}))


def load_weights(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read weights and their record from either format, without running anything from the file.

    Args:
        path: a ``.pt`` or ``.safetensors`` file of `save_weights`.

    Returns:
        the state dictionary (on the CPU) and the record.

    Raises:
        InputError: when the file is missing, damaged, of another kind, or has weights that are not finite.
    """
    path = Path(path)
    model, record = _read_safetensors(path) if path.suffix == ".safetensors" else _read_state_dict(path)
    if not (isinstance(model, dict) and all(isinstance(value, torch.Tensor) for value in model.values())):
        raise InputError(
            path,
            "holds no trained weights",
            "give a model.pt or model.safetensors (training goes on from a checkpoint with resume=auto)",
        )
    tensors: dict[str, torch.Tensor] = model
    problem = record_problem(record)
    if problem:
        raise InputError(path, f"has an incomplete record ({problem})", "use weights that monai_supmix has saved")
    if record.get("content_sha256") != _content_sha256(tensors, record):
        raise InputError(path, "is damaged (wrong checksum)", "use another copy of the file, or train again")
    refuse_nonfinite(tensors, path)
    return tensors, record


def _read_state_dict(path: Path) -> tuple[Any, Any]:
    content = read_tensors(path)
    if hasattr(content, "record"):
        return dict(content), content.record
    # As it was written before the state dictionary carried its record.
    return (content.get("model"), content.get("record")) if isinstance(content, dict) else (None, None)


def _read_safetensors(path: Path) -> tuple[Any, Any]:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise reading_error(path, error) from error
    try:
        tensors = safetensors.torch.load(raw)
        metadata = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")]).get("__metadata__", {})
        return tensors, json.loads(metadata.get("record", "null"))
    except (SafetensorError, ValueError) as error:
        raise InputError(
            path,
            "is truncated, damaged, or no safetensors file",
            "use another copy of the file, or train again",
        ) from error


def load_into(network: nn.Module, state_dict: Mapping[str, torch.Tensor], path: str | os.PathLike[str]) -> None:
    """Load weights into a network, or say in what the two differ.

    Args:
        network: the network, also wrapped; it is left as it is when the weights do not fit.
        state_dict: the weights.
        path: where they come from, for the message.

    Raises:
        InputError: when the weights belong to another number of classes, of image channels, or to another
            network.
    """
    network = unwrap(network)
    # A network that works on blocks of pixels has the classes and channels of a whole block in its tensors.
    block = int(getattr(network, "patch_size", 1)) ** int(getattr(network, "spatial_dims", 2))
    problem = _misfit(state_dict, network.state_dict(), block)
    if problem:
        raise InputError(
            path, problem, "use weights trained with this network, or the preset that these were trained with"
        )
    network.load_state_dict(dict(state_dict))


def _misfit(theirs: Mapping[str, torch.Tensor], ours: Mapping[str, torch.Tensor], block: int) -> str | None:
    unknown, missing = sorted(theirs.keys() - ours.keys()), sorted(ours.keys() - theirs.keys())
    shapes = [(n, tuple(theirs[n].shape), tuple(ours[n].shape)) for n in ours if n in theirs]
    other = [(name, their, our) for name, their, our in shapes if their != our]
    if other and not (unknown or missing):
        # The head alone differs in the number of its outputs, or the first layer in that of its inputs.
        for axis, message in (
            (0, "was trained with {} classes, this network has {}"),
            (1, "was trained on images of {} channels, this network takes {}"),
        ):
            sizes = {(their[axis : axis + 1], our[axis : axis + 1]) for _, their, our in other}
            rests_agree = all(t[:axis] + t[axis + 1 :] == o[:axis] + o[axis + 1 :] for _, t, o in other)
            if len(sizes) == 1 and rests_agree:
                ((their_size,), (our_size,)) = sizes.pop()
                return message.format(their_size // block, our_size // block)
    groups = ((unknown, "unknown here"), (missing, "missing"), ([n for n, *_ in other], "of another shape"))
    parts = [f"{len(names)} {what} (such as '{names[0]}')" for names, what in groups if names]
    return f"holds the weights of another network, tensors: {', '.join(parts)}" if parts else None


def default_weights(
    output_dir: str | os.PathLike[str],
    bundle_root: str | os.PathLike[str],
    ckpt_path: str | os.PathLike[str] | None = None,
) -> Path:
    """Find the weights that evaluation and inference use.

    Args:
        output_dir: folder of a training run, perhaps.
        bundle_root: folder of the bundle.
        ckpt_path: weights that the user asks for; None or empty for the default.

    Returns:
        ``ckpt_path`` if given, else ``output_dir/model.pt`` if it exists, else
        ``bundle_root/models/model.pt``.

    Raises:
        InputError: when there is no such file.
    """
    if ckpt_path:
        if not Path(ckpt_path).is_file():
            raise InputError(ckpt_path, "no weights file has this path", "give ckpt_path the path of a model.pt")
        return Path(ckpt_path)
    candidates = [Path(output_dir) / "model.pt", Path(bundle_root) / "models" / "model.pt"]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise InputError(
        candidates[0],
        f"does not exist, and neither does {candidates[1]}",
        "train first, or give ckpt_path the path of a model.pt",
    )


def install_weights(source: str | os.PathLike[str], bundle_root: str | os.PathLike[str]) -> tuple[Path, Path]:
    """Copy a finished training's weights into a bundle, whose own they then are.

    Args:
        source: folder of the training run, with ``model.pt``, or a file of weights.
        bundle_root: folder of the bundle, with ``configs/metadata.json``.

    Returns:
        the bundle's ``models/model.pt`` and ``models/model.safetensors``.

    Raises:
        InputError: when the weights are missing or damaged, their classes are not the bundle's, or the system
            refuses to write.
    """
    source = Path(source) if Path(source).is_file() else Path(source) / "model.pt"
    tensors, record = load_weights(source)
    require_classes(source, record, bundle_root)
    return _write_both(make_directory(Path(bundle_root) / "models") / "model.pt", tensors, record)


def require_classes(
    path: str | os.PathLike[str], record: Mapping[str, Any], bundle_root: str | os.PathLike[str]
) -> None:
    """Raise `InputError` unless weights are for the classes of a bundle.

    Args:
        path: the file of the weights, for the message.
        record: their record.
        bundle_root: folder of the bundle, whose ``configs/metadata.json`` names its classes.
    """
    classes = _bundle_classes(Path(bundle_root) / "configs" / "metadata.json")
    if list(record["class_names"]) != classes:
        raise InputError(
            path,
            f"was trained for the classes {', '.join(record['class_names'])}, "
            f"the bundle {bundle_root} is for {', '.join(classes)}",
            "use it with the bundle that it was trained for",
        )


def _bundle_classes(metadata_file: Path) -> list[str]:
    try:
        metadata = json.loads(metadata_file.read_text(encoding="utf-8"))
        channels = metadata["network_data_format"]["outputs"]["pred"]["channel_def"]
        return [channels[key] for key in sorted(channels, key=int)]
    except OSError as error:
        raise reading_error(metadata_file, error) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            metadata_file,
            "does not name the classes",
            "give network_data_format.outputs.pred.channel_def one entry for each class",
        ) from error
