"""A datalist function and a transform from outside the package are checked, trained with and listed as foreign."""

import json
import shutil
import sys

import pytest

from monai_supmix.config.find import find_bundle

MODULE = '''
from pathlib import Path

from monai_supmix.datalists.build import build_datalist


def my_datalist(folder, num_labeled):
    """Cases of imagesTr and labelsTr; the last of them is the test."""
    folder = Path(folder)
    names = sorted(path.name.removesuffix(".nii.gz") for path in (folder / "labelsTr").glob("*.nii.gz"))
    items = [
        {
            "case": name,
            "group": name,
            "image": str(folder / "imagesTr" / f"{name}_0000.nii.gz"),
            "label": str(folder / "labelsTr" / f"{name}.nii.gz"),
        }
        for name in names
    ]
    classes = ["background", "ground_glass", "consolidation", "pleural_effusion"]
    return build_datalist(items[:-1], items[-1:], classes, folder, num_labeled=num_labeled)


class Darken:
    """Scale the values of an image."""

    calls = 0

    def __init__(self, factor):
        self.factor = factor

    def __call__(self, item):
        Darken.calls += 1
        return {**item, "image": item["image"] * self.factor}
'''


@pytest.fixture
def outside(tmp_path, monkeypatch):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "somebody_elses.py").write_text(MODULE, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    yield
    sys.modules.pop("somebody_elses", None)


def test_what_comes_from_outside_is_used_and_listed(outside, chest, front, tmp_path):
    bundle = tmp_path / "mine"
    shutil.copytree(find_bundle("covid19_ct_supmix"), bundle)
    path = bundle / "configs" / "train.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    config["found"] = {
        "_target_": "somebody_elses.my_datalist",
        "folder": "@dataset_dir",
        "num_labeled": "@num_labeled",
    }
    config["weak_augmentation"]["transforms"].append({"_target_": "somebody_elses.Darken", "factor": 0.5})
    path.write_text(json.dumps(config), encoding="utf-8")
    options = ["--dataset_dir", chest, "--num_labeled", "1", "--output_dir", tmp_path / "out", "--device", "cpu"]

    checked = front("check", bundle, "train", *options)
    assert (checked.status, checked.err) == (0, ""), checked
    assert "fit for use" in checked.out

    small = ["--max_iterations", "2", "--working", "{size: [32, 32]}", "--crop_size", "[32, 32]", "--num_workers", "0"]
    small += ["--network_def#features", "[4,4,4,4,4,4]", "--discriminator_widths", "[4,4]", "--amp", "false"]
    trained = front("run", bundle, "train", *options, *small, "--tensorboard", "false", "--recalibration", "null")
    assert trained.status == 0, trained
    assert (tmp_path / "out" / "model.pt").is_file()
    assert sys.modules["somebody_elses"].Darken.calls > 0

    listed = front("audit", bundle)
    assert listed.status == 1 and "0 flagged" in listed.out, listed
    for name in ("my_datalist", "Darken"):
        assert any(line.startswith("foreign") and name in line for line in listed.out.splitlines())

    refused = front("run", bundle, "train", *options, "--weak_augmentation#transforms#4#factr", "1")
    assert (refused.status, "Darken has no such argument: did you mean factor?" in refused.err) == (2, True), refused
