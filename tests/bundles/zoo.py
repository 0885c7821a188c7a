"""What MONAI's model zoo asks of a bundle, written after its CONTRIBUTING page, without its downloads and installs."""

import json
import os
import shutil
from pathlib import Path

import torch
from monai.bundle import ConfigParser, ckpt_export, verify_metadata, verify_net_in_out
from monai.data import load_net_with_metadata

from tests.bundles.workflows import DATA

LARGEST_FILE = 25 * 1024**2
FILES = ("LICENSE", "configs/metadata.json", "configs/inference.json", "docs/README.md", "docs/data_license.txt")
KEYS = {
    "inference": ("bundle_root", "device", "network_def", "inferer", "output_dir"),
    "train": (
        "bundle_root", "device", "dataset_dir", "output_dir", "val_interval",
        "train#trainer", "train#trainer#max_epochs", "train#dataset", "train#dataset#data", "train#handlers",
        "train#preprocessing", "train#inferer",
        "validate#evaluator", "validate#handlers", "validate#dataset", "validate#dataset#data", "validate#inferer",
        "validate#key_metric",
    ),
}  # fmt: skip


def check_files(bundle, weights=True):
    """Necessary and preferred files; none is larger than the zoo takes, and no path names a home folder."""
    for name in (*FILES, *(("models/model.pt",) if weights else ())):
        assert (bundle / name).stat().st_size, name
    assert all(path.stat().st_size <= LARGEST_FILE for path in bundle.rglob("*") if path.is_file())
    assert str(Path.home()) + os.sep not in "".join(path.read_text("utf-8") for path in bundle.rglob("*.json"))


def check_keys(bundle):
    """Ids have the names that other applications look for."""
    for kind, keys in KEYS.items():
        parser = ConfigParser()
        parser.read_config(str(bundle / "configs" / f"{kind}.json"))
        assert [key for key in keys if key not in parser] == [], kind
    validation = [entry for entry in parser["train#handlers"] if entry["_target_"] == "ValidationHandler"]
    assert validation and all("@val_interval" in entry["interval"] for entry in validation)


def check_metadata(bundle, scratch):
    """Name, version and changelog; and the schema, where its file is at hand beside the real data."""
    path = bundle / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    assert metadata["supported_apps"].keys() == {"monai-label"}  # by which the zoo finds what an app can use
    assert metadata["name"] and metadata["changelog"][metadata["version"]]
    if DATA is not None:
        schema = Path(DATA).parent / "schema" / metadata["schema"].rpartition("/")[2]
        verify_metadata(meta_file=str(path), filepath=shutil.copy(schema, scratch))


def check_network(bundle):
    """Data shapes and types are those that the metadata tell."""
    verify_net_in_out(**_parts(bundle), device="cpu")


def check_torchscript(bundle, scratch):
    """The weights of the bundle become TorchScript with its metadata."""
    weights, exported = bundle / "models" / "model.pt", str(scratch / "model.ts")
    ckpt_export(**_parts(bundle), filepath=exported, ckpt_file=str(weights))
    network, metadata, _ = load_net_with_metadata(exported)
    assert metadata == json.loads((bundle / "configs" / "metadata.json").read_text(encoding="utf-8"))
    stored = torch.load(weights, weights_only=True)
    assert all(torch.equal(tensor, stored[name]) for name, tensor in network.state_dict().items())


def _parts(bundle):
    return {
        "net_id": "network_def",
        "meta_file": str(bundle / "configs" / "metadata.json"),
        "config_file": str(bundle / "configs" / "inference.json"),
        "bundle_root": str(bundle),
    }
