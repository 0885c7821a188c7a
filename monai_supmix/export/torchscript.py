"""TorchScript by MONAI's ``ckpt_export``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ckpt_export
from torch import Tensor

from monai_supmix.errors import InputError, first_line
from monai_supmix.export.quiet import quiet
from monai_supmix.weights import save_weights

_NETWORK = "network_def"


def write_torchscript(
    path: Path,
    state_dict: Mapping[str, Any],
    record: Mapping[str, Any],
    config: Mapping[str, Any],
    metadata: Mapping[str, Any],
) -> None:
    """Write a scripted network with its configuration and metadata inside, see MONAI's `load_net_with_metadata`.

    Args:
        path: the ``.ts`` file; its folder must exist, and holds afterwards what MONAI wants as files.
        state_dict: the weights.
        record: their record.
        config: the configuration with ``network_def``, stored as ``inference.json``.
        metadata: stored as ``metadata.json``.

    Raises:
        InputError: TorchScript cannot express the network.

    Example:
        >>> import tempfile
        >>> from monai_supmix.weights import current_versions
        >>> arguments = {"in_channels": 1, "out_channels": 2, "kernel_size": 1}
        >>> config = {"network_def": {"_target_": "torch.nn.Conv2d", **arguments}}
        >>> record = {"network": {}, "class_names": ["background", "vessel"], "intensity": {}, "working": {},
        ...           "trained_on": {}, "versions": current_versions()}
        >>> path, network = Path(tempfile.mkdtemp()) / "model.ts", torch.nn.Conv2d(1, 2, 1)
        >>> write_torchscript(path, network.state_dict(), record, config, metadata={})
        >>> images = torch.rand(1, 1, 8, 8)
        >>> torch.allclose(torchscript_runner(path)(images), network(images))
        True
    """
    config_file, meta_file = path.with_name("inference.json"), path.with_name("metadata.json")
    config_file.write_text(json.dumps(config), encoding="utf-8")
    meta_file.write_text(json.dumps(metadata), encoding="utf-8")
    checkpoint, _ = save_weights(path.with_suffix(".pt"), state_dict, record)
    try:
        with quiet():
            ckpt_export(_NETWORK, str(path), str(checkpoint), str(meta_file), str(config_file))
    except Exception as error:  # TorchScript raises whatever it trips over
        problem = f"cannot be expressed in TorchScript ({first_line(error)})"
        remedy = "export it to onnx, or use a network that torch.jit.script takes"
        raise InputError(_NETWORK, problem, remedy) from error


def torchscript_runner(path: Path) -> Callable[[Tensor], Tensor]:
    """Open an exported network.

    Args:
        path: the file.

    Returns:
        gives logits for images, both on the CPU.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "model.ts"
        >>> torch.jit.script(torch.nn.Conv2d(1, 2, 1)).save(path)
        >>> torchscript_runner(path)(torch.rand(1, 1, 8, 8)).shape
        torch.Size([1, 2, 8, 8])
    """
    with quiet():
        network: Callable[[Tensor], Tensor] = torch.jit.load(path, map_location="cpu")
    return network
