"""Files of weights that other programs have written."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from monai_supmix.bundle import load_trained
from monai_supmix.errors import InputError
from monai_supmix.weights import configured_record, load_weights, read_weights, save_weights
from tests.weights.test_files import make_network, make_record

STATE = make_network().state_dict()
FORMS = {
    "dictionary.pt": lambda path: torch.save(dict(STATE), path),
    "state_dict.pth": lambda path: torch.save(make_network().state_dict(), path),
    "older.pt": lambda path: torch.save(dict(STATE), path, _use_new_zipfile_serialization=False),
    "nested.ckpt": lambda path: torch.save({"epoch": 3, "state_dict": STATE, "optimizer": {}}, path),
    "monai.pt": lambda path: torch.save({"model": STATE}, path),
    "parallel.pt": lambda path: torch.save(nn.DataParallel(make_network()).state_dict(), path),
    "plain.safetensors": lambda path: save_file(STATE, path, metadata={"format": "pt"}),
}


def own(path):
    save_weights(path.with_suffix(".pt"), make_network(), make_record())


OWN = {
    "model.pt": own,
    "model.safetensors": own,
    "again.pt": lambda path: (own(path), torch.save(torch.load(path, weights_only=True), path)),  # the record stays
}


@pytest.fixture
def bundle(tmp_path):
    channels = {str(i): name for i, name in enumerate(make_record()["class_names"])}
    metadata = {"network_data_format": {"outputs": {"pred": {"channel_def": channels}}}}
    training = {"working": {"size": [8, 8]}, "intensity_settings": {"picture": {"rule": "percentile_scale"}}}
    folder = tmp_path / "bundle"
    (folder / "configs").mkdir(parents=True)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    (folder / "configs" / "train.json").write_text(json.dumps(training), encoding="utf-8")
    return folder


@pytest.mark.parametrize("name", FORMS | OWN)
def test_every_form_of_a_file_gives_the_same_network(tmp_path, bundle, name):
    path = tmp_path / name
    (FORMS | OWN)[name](path)
    trained = load_trained(make_network(seed=1), tmp_path, bundle, path)
    assert all(torch.equal(tensor, STATE[key]) for key, tensor in trained.network.state_dict().items())
    assert trained.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert trained.record["class_names"] == make_record()["class_names"]
    if name in OWN:
        assert trained.record["working"] == make_record()["working"]
        assert "from_configuration" not in trained.record
        assert load_weights(path)[1] == trained.record
    else:
        assert trained.record["working"] == {"size": [8, 8]}
        assert {key: part["from"] for key, part in trained.record["from_configuration"].items()} == {
            "intensity": "train.json", "working": "train.json", "class_names": "metadata.json",
        }  # fmt: skip
        with pytest.raises(InputError, match="no record"):
            load_weights(path)


def test_settings_of_the_run_stand_over_those_of_the_training(tmp_path, bundle):
    rules = {"hu": {"rule": "hu_window", "low": 0.0, "high": 1.0}}
    record = configured_record("w.pt", bundle, {}, rules)
    assert (record["working"], record["intensity"]) == ({}, rules)
    assert record["from_configuration"]["intensity"] == {"value": rules, "from": "intensity_settings"}
    with pytest.raises(InputError, match="'intensity' must be a mapping with 'hu'"):
        configured_record("w.pt", bundle, {}, {"mri": {}})


@pytest.mark.parametrize("training", [None, {"working": {}}, {"working": {}, "intensity_settings": "@elsewhere"}])
def test_no_rule_is_made_up(bundle, training):
    file = bundle / "configs" / "train.json"
    file.unlink() if training is None else file.write_text(json.dumps(training), encoding="utf-8")
    with pytest.raises(InputError, match="no plain 'intensity_settings': give the setting intensity_settings"):
        configured_record("w.pt", bundle)


def test_classes_of_the_bundle_are_those_of_the_network(bundle):
    with pytest.raises(InputError, match=r"the 4 classes of .*metadata\.json are not the network's 3"):
        configured_record("w.pt", bundle, num_classes=3)


def test_settings_without_effect_on_weights_with_a_record_are_told(tmp_path, bundle, caplog):
    own(tmp_path / "model.pt")
    working = make_record()["working"]
    load_trained(make_network(), tmp_path, bundle, working=working)
    assert "no effect" not in caplog.text
    load_trained(make_network(), tmp_path, bundle, working={"size": [1, 1]})
    assert "working={'size': [1, 1]} has no effect" in caplog.text


def test_flipped_bits_of_a_plain_file_are_seen(tmp_path):
    path = tmp_path / "a.pt"
    torch.save({"weight": torch.ones(1000)}, path)
    raw = bytearray(path.read_bytes())
    raw[raw.find(b"\x00\x00\x80\x3f" * 100) + 50] ^= 1
    path.write_bytes(raw)
    assert not torch.equal(torch.load(path, weights_only=True)["weight"], torch.ones(1000))
    with pytest.raises(InputError, match="wrong checksum of"):
        read_weights(path)
    path.write_bytes(raw[:-30])
    with pytest.raises(InputError, match="truncated or damaged"):
        read_weights(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (make_network(), r"could run code when loaded: save it again with torch\.save\(network\.state_dict"),
        ({"epoch": 3}, "holds no trained weights"),
        ({}, "holds no trained weights"),
        (torch.ones(3), "holds no trained weights"),
        ({0: torch.ones(3)}, "holds no trained weights"),
        ({"a": torch.tensor([float("nan")])}, "'a' has NaN"),
    ],
)
def test_files_that_hold_something_else(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(InputError, match=message):
        read_weights(tmp_path / "a.pt")


@pytest.mark.parametrize("name", ["model.pt", "dictionary.pt"])
def test_a_file_is_hashed_once(tmp_path, bundle, name, monkeypatch):
    path = tmp_path / name
    (FORMS | OWN)[name](path)
    hashed, sha256 = [], hashlib.sha256

    class Counting:
        def __init__(self, data=b""):
            self.digest = sha256()
            self.update(data)

        def update(self, data):
            hashed.append(len(memoryview(data).cast("B")))
            self.digest.update(data)

        def hexdigest(self):
            return self.digest.hexdigest()

    monkeypatch.setattr(hashlib, "sha256", Counting)
    load_trained(make_network(), tmp_path, bundle, path)
    assert sum(hashed) == path.stat().st_size
