"""ONNX by PyTorch's exporter, with the runtime that shows it equal; both come with the extra ``onnx``."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_supmix.errors import InputError, first_line
from monai_supmix.export.sizes import doubled, free_dims
from monai_supmix.networks.modes import evaluating

PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def require_onnx() -> None:
    """Raise `InputError` unless the packages of the extra are installed.

    Example:
        >>> require_onnx()  # they are: nothing happens
    """
    for package in PACKAGES:
        if find_spec(package) is None:
            problem = f"needs the package {package}, which is not installed"
            raise InputError("--format onnx", problem, 'pip install "monai-supmix[onnx]"')


def write_onnx(path: Path, network: nn.Module, images: Tensor, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Write a network as one ONNX file, input ``image`` in [0, 1], output ``pred``, the logits.

    Batch and sides are free as far as network and exporter allow: all of them, only the batch, or none.

    Args:
        path: the file; its folder must exist.
        network: with its weights, on the CPU; exported in eval mode and left as it was. Free sides are
            multiples of its ``divisor`` (1 without).
        images: ``(1, C, *spatial)``, of a size that the network takes.
        metadata: plain values, stored as JSON under ``metadata`` in the model's properties.

    Returns:
        names of the free dimensions, see `free_dims`.

    Raises:
        InputError: the network cannot be exported.

    Example:
        >>> import tempfile
        >>> network, path = nn.Conv2d(1, 2, 1), Path(tempfile.mkdtemp()) / "model.onnx"
        >>> write_onnx(path, network, torch.rand(1, 1, 8, 8), metadata={})  # doctest: +SKIP
        ('batch', 'height', 'width')
        >>> torch.allclose(onnx_runner(path)(torch.ones(2, 1, 4, 6)), network(torch.ones(2, 1, 4, 6)))  # doctest: +SKIP
        True
    """
    possible = free_dims(network, images)
    failures = []
    for free in dict.fromkeys((possible, possible[:1], ())):
        with evaluating(network):
            failed = _try(path, network, images, free)
        if failed is None:
            _finish(path, metadata)
            return free
        failures.append(failed)
    problem = f"cannot be exported to ONNX ({first_line(failures[-1])})"
    raise InputError("network_def", problem, "export it to torchscript, or use a network that torch.export takes")


def _try(path: Path, network: nn.Module, images: Tensor, free: tuple[str, ...]) -> Exception | None:
    """Export with these dimensions free; the reason if that cannot be done."""
    divisor = int(getattr(network, "divisor", 1))
    dims: dict[int, Any] = {}
    if free:
        dims[0] = torch.export.Dim("batch")
        images = doubled(images, (0,))  # a batch of one, or a side of one unit, would count as fixed
    for dim, name in enumerate(free[1:], start=2):
        dims[dim] = divisor * torch.export.Dim(name) if divisor > 1 else torch.export.Dim(name)
        images = doubled(images, (dim,)) if images.shape[dim] == divisor else images
    try:
        torch.onnx.export(
            network,
            (images,),
            path,
            input_names=["image"],
            output_names=["pred"],
            dynamic_shapes=(dims,) if dims else None,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
        shape = _session(path).get_inputs()[0].shape
    except Exception as error:  # torch.export, the translation and the runtime raise whatever they trip over
        return error
    fixed = [name for dim, name in zip(dims, free, strict=True) if isinstance(shape[dim], int)]
    return ValueError(f"{' and '.join(fixed)} became fixed") if fixed else None


def _finish(path: Path, metadata: Mapping[str, Any]) -> None:
    """Take off where in the sources each node comes from, with this machine's paths; put in the metadata."""
    import onnx  # noqa: PLC0415  # an optional package

    model = onnx.load(path)
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
    onnx.helper.set_model_props(model, {"metadata": json.dumps(metadata)})
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)


def onnx_runner(path: Path) -> Callable[[Tensor], Tensor]:
    """Open an exported network.

    Args:
        path: the file.

    Returns:
        gives logits for images, both on the CPU.

    Example:
        >>> import tempfile
        >>> import onnx
        >>> path = Path(tempfile.mkdtemp()) / "negative.onnx"
        >>> graph = "g (float[N] image) => (float[N] pred) { pred = Neg(image) }"
        >>> onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["": 17]> {graph}'), path)
        >>> onnx_runner(path)(torch.tensor([1.0, 2.0]))
        tensor([-1., -2.])
    """
    session = _session(path)
    return lambda images: torch.from_numpy(session.run(None, {"image": images.numpy()})[0])


def _session(path: Path) -> Any:
    import onnxruntime  # noqa: PLC0415  # an optional package

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
