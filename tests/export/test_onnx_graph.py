"""ONNX files: the same network, in as many sizes as it takes."""

import json
from pathlib import Path

import pytest
import torch
from monai.networks.nets import UNet

from monai_supmix.errors import InputError
from monai_supmix.export import compare, onnx_runner, write_onnx
from monai_supmix.export.onnx_graph import require_onnx
from monai_supmix.export.sizes import free_dims
from monai_supmix.networks import HookedNetwork
from tests.export.networks import OneByOne, OneSize, Plain, Unpredictable

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
ALL = ("batch", "height", "width")


def wrapped_unet():
    unet = UNet(2, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,), norm="batch")
    return HookedNetwork(unet, divisor=2)


@pytest.mark.parametrize(
    ("make", "free", "sizes"),
    [
        (Plain, ALL, [(1, 4, 4), (3, 20, 8)]),
        (wrapped_unet, ALL, [(1, 2, 2), (3, 14, 8)]),
        (OneSize, ("batch",), [(3, 8, 12)]),
        (OneByOne, (), []),
        (lambda: Plain(volumes=True), ("batch", "depth", "height", "width"), [(1, 4, 4, 8), (3, 12, 4, 4)]),
    ],
    ids=["plain", "wrapped_unet", "one_size", "one_by_one", "volumes"],
)
def test_free_dimensions_are_free(make, free, sizes, tmp_path):
    torch.manual_seed(0)
    network = make()
    images = torch.rand(1, 1, 8, 12, 4) if "depth" in free else torch.rand(1, 1, 8, 12)
    path = tmp_path / "model.onnx"
    assert write_onnx(path, network, images, {}) == free
    assert network.training
    run = onnx_runner(path)
    others = [torch.rand(batch, 1, *sides) for batch, *sides in sizes]
    assert compare(network, run, [images, *others]).holds
    graph = onnx.load(path).graph
    shape = [dim.dim_value or dim.dim_param for dim in graph.input[0].type.tensor_type.shape.dim]
    assert [graph.input[0].name, graph.output[0].name] == ["image", "pred"]
    sides_are_free = [len(free) > 1] * (images.ndim - 2)
    assert [isinstance(dim, str) for dim in shape] == [bool(free), False, *sides_are_free]


def test_the_file_carries_its_metadata_and_nothing_of_this_machine(tmp_path):
    metadata = {"weights": {"record": {"class_names": ["background", "vessel"]}}}
    write_onnx(tmp_path / "model.onnx", Plain(), torch.rand(1, 1, 8, 12), metadata)
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    properties = {entry.key: entry.value for entry in onnx.load(tmp_path / "model.onnx").metadata_props}
    assert json.loads(properties["metadata"]) == metadata
    raw = (tmp_path / "model.onnx").read_bytes()
    for folder in (Path(__file__).parents[2], Path(torch.__file__).parent, tmp_path):
        assert str(folder).encode() not in raw


def test_a_network_that_cannot_be_exported_is_told(tmp_path):
    with pytest.raises(InputError, match=r"cannot be exported to ONNX .*: export it to torchscript"):
        write_onnx(tmp_path / "model.onnx", Unpredictable(), torch.rand(1, 1, 8, 12), {})


def test_sizes_are_those_the_network_takes():
    images = torch.rand(1, 1, 8, 12)
    assert free_dims(Plain(), images) == ALL
    assert free_dims(OneSize(), images) == ("batch",)


@pytest.mark.parametrize("package", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(package, monkeypatch):
    require_onnx()
    monkeypatch.setattr("monai_supmix.export.onnx_graph.find_spec", lambda name: None if name == package else object())
    with pytest.raises(InputError, match=rf"needs the package {package},.*: pip install \"monai-supmix\[onnx\]\""):
        require_onnx()
