"""A bundle as an archive."""

import json
import zipfile

import pytest
from monai.bundle import ConfigParser

from monai_supmix.errors import InputError
from monai_supmix.export import write_archive
from monai_supmix.files import sha256
from monai_supmix.weights import current_versions, save_weights

NETWORK = {
    "_target_": "monai_supmix.networks.CompactUNet",
    "in_channels": 1,
    "num_classes": "@num_classes",
    "features": [4, 4, 4, 4, 4, 4],
}


def save(path, num_classes=2, **network):
    config = ConfigParser({"num_classes": num_classes, "network_def": NETWORK | network})
    record = {"network": {}, "class_names": ["background", "vessel", "vein"][:num_classes], "intensity": {}}
    record |= {"working": {}, "trained_on": {}, "versions": current_versions()}
    return save_weights(path, config.get_parsed_content("network_def"), record)[0]


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "eyes"
    for name in ("configs/methods", "docs", "models", "runs", "configs/__pycache__"):
        (folder / name).mkdir(parents=True)
    image = {"num_channels": 1, "spatial_shape": ["16*n", "16*n"], "dtype": "float32"}
    pred = {**image, "num_channels": 2, "channel_def": {"0": "background", "1": "vessel"}}
    metadata = {"version": "0.1.0", "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": pred}}}
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata), encoding="utf-8")
    (folder / "configs" / "inference.json").write_text(
        json.dumps({"num_classes": 2, "network_def": NETWORK}), encoding="utf-8"
    )
    (folder / "configs" / "methods" / "unimatch.json").write_text("{}", encoding="utf-8")
    for name in ("LICENSE", "docs/README.md", "docs/.draft", "runs/patients.txt", "configs/__pycache__/a.pyc"):
        (folder / name).write_text(name, encoding="utf-8")
    save(folder / "models" / "model.pt")
    return folder


def write(bundle, weights, tmp_path, models=()):
    (tmp_path / "out").mkdir(exist_ok=True)
    path = tmp_path / "out" / "eyes_v0.1.0.zip"
    write_archive(path, bundle, weights, models)
    return path


def test_the_archive_holds_the_layout_of_the_model_zoo_and_no_more(bundle, tmp_path):
    weights = save(tmp_path / "trained.pt")
    (tmp_path / "model.ts").write_text("a network", encoding="utf-8")
    path = write(bundle, weights, tmp_path, [tmp_path / "model.ts"])
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [
            "eyes/LICENSE",
            "eyes/configs/inference.json",
            "eyes/configs/metadata.json",
            "eyes/configs/methods/unimatch.json",
            "eyes/docs/README.md",
            "eyes/models/model.pt",
            "eyes/models/model.safetensors",
            "eyes/models/model.ts",
        ]
        assert archive.read("eyes/models/model.pt") == weights.read_bytes()  # not those that lay in the bundle
        card = archive.read("eyes/docs/README.md").decode()
        assert card.startswith("docs/README.md\n\n> **The weights in this archive are not those that this page")
        assert sha256(weights) in card
    first = path.read_bytes()
    (tmp_path / "out").rename(tmp_path / "before")
    assert write(bundle, weights, tmp_path, [tmp_path / "model.ts"]).read_bytes() == first


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": 3}, "was trained for the classes background, vessel, vein, the bundle"),
        ({"features": [8, 4, 4, 4, 4, 4]}, "holds the weights of another network"),
        ({"in_channels": 3}, "was trained on images of 3 channels"),
    ],
)
def test_weights_of_something_else_are_refused(bundle, change, message, tmp_path):
    weights = save(tmp_path / "trained.pt", **change)
    with pytest.raises(InputError, match=message):
        write(bundle, weights, tmp_path)
    assert not list((tmp_path / "out").glob("*.zip"))


def test_metadata_that_do_not_describe_the_network_are_refused(bundle, tmp_path):
    file = bundle / "configs" / "metadata.json"
    metadata = json.loads(file.read_text(encoding="utf-8"))
    metadata["network_data_format"]["outputs"]["pred"]["num_channels"] = 5
    file.write_text(json.dumps(metadata), encoding="utf-8")
    with pytest.raises(InputError, match=r"eyes/configs/metadata\.json: do not describe the network \(output channel"):
        write(bundle, bundle / "models" / "model.pt", tmp_path)


def test_links_that_lead_out_are_not_followed(bundle, tmp_path):
    (tmp_path / "secret").write_text("secret", encoding="utf-8")
    (bundle / "docs" / "notes.md").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match=r"notes\.md: is a link that leads out of the bundle"):
        write(bundle, bundle / "models" / "model.pt", tmp_path)
