import hashlib
import json
import shutil
from pathlib import Path

import pytest
import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.networks import CompactUNet
from monai_supmix.weights import (
    current_versions,
    default_weights,
    install_weights,
    load_into,
    load_weights,
    part_of_more,
    record_problem,
    record_run,
    save_weights,
)
from monai_supmix.weights.tensor_files import write_state_dict, write_tensors
from tests.devices import DEVICES

FORMATS = ["model.pt", "model.safetensors"]


def make_network(classes=4, channels=1, width=3, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(channels, width, 3), nn.BatchNorm2d(width), nn.Conv2d(width, classes, 1))


def make_record(**changes):
    record = {
        "network": {"_target_": "some.Network", "widths": (8, 16)},
        "class_names": ["background", "ground_glass", "consolidation", "pleural_effusion"],
        "intensity": {"hu": {"window": [-1000.0, 200.0]}, "picture": {"percentiles": [1, 99]}},
        "working": {"spacing": [0.7, 0.7]},
        "trained_on": {"spacing": None},
        "versions": current_versions(),
    }
    return record | changes


def digest(path):
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", FORMATS)
def test_round_trip(tmp_path, name, device):
    network = make_network().to(device)
    save_weights(tmp_path / "model.pt", network, make_record())
    state, record = load_weights(tmp_path / name)
    assert state.keys() == network.state_dict().keys()
    for key, value in network.state_dict().items():
        assert state[key].device.type == "cpu"
        assert state[key].dtype == value.dtype
        assert torch.equal(state[key], value.cpu())
    del record["content_sha256"]
    assert record == make_record(network={"_target_": "some.Network", "widths": [8, 16]})
    other = make_network(seed=1).to(device)
    load_into(other, state, tmp_path / name)
    x = torch.rand(1, 1, 8, 8, device=device)
    assert torch.equal(other.eval()(x), network.eval()(x))


def test_both_formats_say_the_same(tmp_path):
    save_weights(tmp_path / "model.pt", make_network(), make_record())
    (state, record), (twin_state, twin_record) = (load_weights(tmp_path / name) for name in FORMATS)
    assert record == twin_record
    assert all(torch.equal(state[k], twin_state[k]) for k in state.keys() | twin_state.keys())
    # readable by the formats' own libraries
    assert load_file(tmp_path / "model.safetensors").keys() == state.keys()
    with safetensors.safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert json.loads(file.metadata()["record"]) == record
    plain_state = torch.load(tmp_path / "model.pt", weights_only=True)
    assert plain_state.record == record
    make_network(seed=1).load_state_dict(plain_state)  # strict: nothing but tensors


def test_weights_and_record_side_by_side_are_read_too(tmp_path):
    save_weights(tmp_path / "model.pt", make_network(), make_record())
    tensors, record = load_weights(tmp_path / "model.pt")
    write_tensors(tmp_path / "older.pt", {"model": tensors, "record": record})
    again, same_record = load_weights(tmp_path / "older.pt")
    assert same_record == record
    assert all(torch.equal(again[name], tensors[name]) for name in tensors | again)


def test_equal_weights_give_equal_files(tmp_path):
    network = make_network()
    compiled = torch.compile(network)
    last = nn.DataParallel(make_network().to(memory_format=torch.channels_last))
    saved = [
        save_weights(tmp_path / f"{i}.pt", n, make_record())
        for i, n in enumerate([network, compiled, last, network.state_dict()])
    ]
    saved.append(save_weights(tmp_path / "again.pt", *load_weights(tmp_path / "0.pt")))
    for files in zip(*saved, strict=True):
        assert len({digest(file) for file in files}) == 1


def test_tied_weights_are_saved_in_both_formats(tmp_path):
    network = make_network()
    network.append(network[2])
    save_weights(tmp_path / "model.pt", network, make_record())
    for name in FORMATS:
        load_into(network, load_weights(tmp_path / name)[0], name)


@pytest.mark.parametrize("name", FORMATS)
def test_bit_flips_are_seen(tmp_path, name):
    save_weights(tmp_path / "model.pt", nn.Linear(2, 2), make_record())
    path = tmp_path / name
    intact = path.read_bytes()
    for position in range(0, len(intact), 7):
        flipped = bytearray(intact)
        flipped[position] ^= 1 << (position % 8)
        path.write_bytes(flipped)
        with pytest.raises(InputError, match=name):
            load_weights(path)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("size", [0, 5, 100, -1])
def test_truncation_is_seen(tmp_path, name, size):
    save_weights(tmp_path / "model.pt", make_network(), make_record())
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(InputError, match=r"truncated|empty"):
        load_weights(path)


@pytest.mark.parametrize("name", FORMATS)
def test_missing_file(tmp_path, name):
    with pytest.raises(InputError, match="does not exist"):
        load_weights(tmp_path / name)


def test_nonfinite_weights_are_neither_saved_nor_loaded(tmp_path):
    network = make_network()
    save_weights(tmp_path / "model.pt", network, make_record())
    before = [digest(tmp_path / name) for name in FORMATS]
    nn.init.constant_(network[2].bias, float("nan"))
    with pytest.raises(InputError, match=r"'2\.bias' has NaN"):
        save_weights(tmp_path / "model.pt", network, make_record())
    assert [digest(tmp_path / name) for name in FORMATS] == before

    # from elsewhere, with everything else in order
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("monai_supmix.weights.writing.refuse_nonfinite", lambda *_: None)
        patch.setattr("monai_supmix.weights.tensor_files.refuse_nonfinite", lambda *_: None)
        save_weights(tmp_path / "model.pt", network, make_record())
    for name in FORMATS:
        with pytest.raises(InputError, match=r"'2\.bias' has NaN"):
            load_weights(tmp_path / name)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"class_names": ["a", "a"]}, "class_names"),
        ({"class_names": ["a"]}, "class_names"),
        ({"class_names": [0, 1]}, "class_names"),
        ({"class_names": "ab"}, "class_names"),
        ({"intensity": {"mri": {}}}, "hu"),
        ({"working": {"sizes": []}}, "scale"),
        ({"network": None}, "network"),
        ({"trained_on": None}, "trained_on"),
        ({"versions": {}}, "versions"),
        ({"labelled_images": "abc"}, "labelled_images"),
        ({"labelled_images": [1]}, "labelled_images"),
        ({"window": [16, 64]}, "window"),
        ({"window": [16, 64, 64.5]}, "window"),
        ({"window": [True, 64, 64]}, "window"),
    ],
)
def test_incomplete_record(tmp_path, changes, word):
    record = make_record(**changes)
    assert word in record_problem(record)
    with pytest.raises(ValueError, match=word):
        save_weights(tmp_path / "model.pt", make_network(), record)
    write_state_dict(tmp_path / "model.pt", make_network().state_dict(), record)
    with pytest.raises(InputError, match=word):
        load_weights(tmp_path / "model.pt")
    assert record_problem(make_record()) is None
    assert record_problem([]) is not None


def test_foreign_files_are_refused_with_a_reason(tmp_path):
    write_tensors(tmp_path / "a.pt", {"state": {}, "iteration": 3})
    with pytest.raises(InputError, match="holds no trained weights"):
        load_weights(tmp_path / "a.pt")
    save_file({"x": torch.ones(2)}, tmp_path / "a.safetensors")
    with pytest.raises(InputError, match="no record of classes"):
        load_weights(tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"\.pt"):
        save_weights(tmp_path / "model.pth", make_network(), make_record())


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (make_network(classes=2), "was trained with 4 classes, this network has 2"),
        (make_network(channels=3), "was trained on images of 1 channels, this network takes 3"),
        (make_network(width=5), r"another network, tensors: \d+ of another shape \(such as '0.weight'\)"),
        (nn.Linear(2, 2), r"another network.* unknown here .*2 missing \(such as 'bias'\)"),
        (nn.Sequential(*make_network(), nn.Conv2d(4, 4, 1)), r"2 missing \(such as '3.bias'\)"),
    ],
)
def test_weights_of_another_network_say_in_what_they_differ(network, message):
    before = {k: v.clone() for k, v in network.state_dict().items()}
    with pytest.raises(InputError, match=message) as caught:
        load_into(network, make_network().state_dict(), "O/model.pt")
    assert caught.value.subject == "O/model.pt"
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_classes_and_channels_are_those_of_a_pixel_where_networks_take_blocks():
    def network(classes, channels):
        return CompactUNet(2, channels, classes, features=(4,) * 6, patch_size=2)

    with pytest.raises(InputError, match="was trained with 3 classes, this network has 4"):
        load_into(network(4, 1), network(3, 1).state_dict(), "model.pt")
    with pytest.raises(InputError, match="was trained on images of 1 channels, this network takes 3"):
        load_into(network(4, 3), network(4, 1).state_dict(), "model.pt")


def test_default_weights(tmp_path):
    output, bundle = tmp_path / "out", tmp_path / "bundle"
    (bundle / "models").mkdir(parents=True)
    output.mkdir()
    with pytest.raises(InputError, match=r"out/model\.pt: does not exist, and neither does .*models/model\.pt"):
        default_weights(output, bundle)
    shipped, trained, asked = bundle / "models" / "model.pt", output / "model.pt", tmp_path / "asked.pt"
    shipped.touch()
    assert default_weights(output, bundle) == [shipped]
    trained.touch()
    assert default_weights(output, bundle) == default_weights(output, bundle, "") == [trained]
    with pytest.raises(InputError, match=r"asked\.pt"):
        default_weights(output, bundle, asked)
    asked.touch()
    assert default_weights(output, bundle, str(asked)) == [asked]


def test_the_last_run_is_noted_in_a_bundle_without_weights_of_its_own(tmp_path):
    output, bundle = tmp_path / "out", tmp_path / "bundle"
    for folder in (output, bundle / "models", bundle / "configs"):
        folder.mkdir(parents=True)
    assert record_run(bundle, output) is None and not list(bundle.glob("*.json")), "this is no bundle"
    (bundle / "configs" / "metadata.json").touch()
    with part_of_more():
        assert record_run(bundle, output) is None and not (bundle / "last_run.json").exists()
    assert record_run(bundle, output) is not None
    with pytest.raises(InputError, match=r"models/model\.pt: does not exist, and neither does .*out/model\.pt: train"):
        default_weights(None, bundle)
    (output / "model.pt").touch()
    assert default_weights(None, bundle) == [output / "model.pt"]
    with pytest.raises(InputError, match=r"elsewhere/model\.pt: does not exist, .*the last training wrote to .*out\)"):
        default_weights(tmp_path / "elsewhere", bundle)  # no other weights than those that were named
    (bundle / "models" / "model.pt").touch()
    assert default_weights(None, bundle) == [bundle / "models" / "model.pt"]
    assert record_run(bundle, tmp_path) is None


@pytest.fixture
def bundle(tmp_path):
    channels = {str(i): name for i, name in enumerate(make_record()["class_names"])}
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": channels}}}}
    (tmp_path / "bundle" / "configs").mkdir(parents=True)
    (tmp_path / "bundle" / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    return tmp_path / "bundle"


def test_install(tmp_path, bundle):
    output = tmp_path / "out"
    output.mkdir()
    with pytest.raises(InputError, match="out: holds no weights"):
        install_weights(output, bundle)
    save_weights(output / "model.pt", make_network(), make_record())
    installed = install_weights(output, bundle)
    assert [path.relative_to(bundle).as_posix() for path in installed] == [f"models/{name}" for name in FORMATS]
    assert [digest(path) for path in installed] == [digest(output / name) for name in FORMATS]

    save_weights(output / "model.pt", make_network(seed=1), make_record())
    (output / "model.safetensors").unlink()  # what is installed comes from model.pt alone
    install_weights(output / "model.pt", bundle)
    assert digest(installed[0]) == digest(output / "model.pt")
    assert torch.equal(load_weights(installed[1])[0]["2.bias"], make_network(seed=1)[2].bias)


def test_install_refuses_other_classes_and_damage(tmp_path, bundle):
    output = tmp_path / "out"
    output.mkdir()
    record = make_record(class_names=["background", "vessel"])
    save_weights(output / "model.pt", make_network(classes=2), record)
    with pytest.raises(InputError, match=r"background, vessel.*is for background, ground_glass"):
        install_weights(output, bundle)
    save_weights(output / "model.pt", make_network(), make_record())
    (output / "model.pt").write_bytes((output / "model.pt").read_bytes()[:-9])
    with pytest.raises(InputError, match="truncated"):
        install_weights(output, bundle)
    save_weights(output / "model.pt", make_network(), make_record())
    (bundle / "configs" / "metadata.json").write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="channel_def"):
        install_weights(output, bundle)
    shutil.rmtree(bundle / "configs")
    with pytest.raises(InputError, match=r"metadata\.json"):
        install_weights(output, bundle)
    assert not (bundle / "models").exists()
