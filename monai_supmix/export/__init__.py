"""Handing a trained model on: TorchScript, ONNX, and a bundle as an archive, each checked against its weights."""

from monai_supmix.export.archive import write_archive
from monai_supmix.export.formats import Exported, export_model
from monai_supmix.export.onnx_graph import onnx_runner, require_onnx, write_onnx
from monai_supmix.export.parity import Parity, compare
from monai_supmix.export.subject import Subject, network_inputs
from monai_supmix.export.torchscript import torchscript_runner, write_torchscript

__all__ = [
    "Subject",
    "network_inputs",
    "Exported",
    "export_model",
    "Parity",
    "compare",
    "write_torchscript",
    "torchscript_runner",
    "write_onnx",
    "onnx_runner",
    "require_onnx",
    "write_archive",
]
