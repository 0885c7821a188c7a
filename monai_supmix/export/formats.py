"""One trained network in one format of another program, compared with its weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from torch import Tensor

from monai_supmix.errors import InputError
from monai_supmix.export.onnx_graph import PACKAGES, onnx_runner, write_onnx
from monai_supmix.export.parity import Parity, compare
from monai_supmix.export.sizes import free_dims, other_size
from monai_supmix.export.subject import Subject
from monai_supmix.export.torchscript import torchscript_runner, write_torchscript
from monai_supmix.files import sha256
from monai_supmix.weights.record import current_versions

FILES = {"torchscript": "model.ts", "onnx": "model.onnx"}
"""The formats, and the name of the file in each."""


@dataclass(frozen=True)
class Exported:
    """A file that gives what its weights give.

    Args:
        path: the file.
        free: dimensions of the input that may have other sizes, see `free_dims`.
        parity: how near it is.
        record: plain values for the record that lies beside it.

    Example:
        >>> parity = Parity(2e-6, 5.0, {"lesion": 1.0}, 4096)
        >>> exported = Exported(Path("model.ts"), ("batch", "height", "width"), parity, record={})
        >>> exported.parity.holds
        True
    """

    path: Path
    free: tuple[str, ...]
    parity: Parity
    record: dict[str, Any]


def export_model(form: str, subject: Subject, folder: Path) -> Exported:
    """Export a network, and compare what was written with the weights, on the case and in other sizes.

    Args:
        form: ``"torchscript"`` or ``"onnx"``.
        subject: what to export.
        folder: where to write it; other files may be left there.

    Returns:
        the file and what is known about it.

    Raises:
        InputError: the network cannot be exported, or the result differs from the weights.

    Example:
        >>> import tempfile
        >>> import torch
        >>> record = {"network": {}, "class_names": ["background", "vessel"], "intensity": {}, "working": {},
        ...           "trained_on": {}, "versions": current_versions()}
        >>> arguments = {"in_channels": 1, "out_channels": 2, "kernel_size": 1}
        >>> config = {"network_def": {"_target_": "torch.nn.Conv2d", **arguments}}
        >>> network, images = torch.nn.Conv2d(**arguments), [torch.rand(1, 1, 8, 8)]
        >>> subject = Subject(network, Path("model.pt"), record, config, {"weights": {}}, "made-up case", images)
        >>> exported = export_model("torchscript", subject, Path(tempfile.mkdtemp()))
        >>> exported.path.name, exported.free, exported.parity.holds
        ('model.ts', ('batch', 'height', 'width'), True)
    """
    path, network, images = folder / FILES[form], subject.network, subject.inputs[0]
    run: Callable[[Tensor], Tensor]
    if form == "torchscript":
        write_torchscript(path, network.state_dict(), subject.record, subject.config, subject.metadata)
        free, run = free_dims(network, images), torchscript_runner(path)
    else:
        free = write_onnx(path, network, images, subject.metadata)
        run = onnx_runner(path)
    inputs = [*subject.inputs, other_size(images, free)] if free else subject.inputs
    parity = compare(network, run, inputs, subject.record["class_names"])
    if not parity.holds:
        problem = f"does not give what {subject.weights.name} gives on {subject.case} ({parity})"
        raise InputError(path.name, problem, "use another format, or other versions of torch and its exporter")
    versions = current_versions() | ({} if form == "torchscript" else {name: version(name) for name in PACKAGES})
    record = {
        "file": path.name,
        "sha256": sha256(path),
        "weights": subject.metadata["weights"],
        "input": {"name": "image", "shape": list(images.shape), "free": list(free), "value_range": [0, 1]},
        "output": {"name": "pred", "values": "logits", "classes": list(subject.record["class_names"])},
        "divisor": int(getattr(network, "divisor", 1)),
        "parity": {"case": subject.case, **parity.as_dict()},
        "versions": versions,
    }
    return Exported(path, free, parity, record)
