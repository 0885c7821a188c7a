"""The bundle of heart MRI from training to masks, in both of the data's layouts."""

import json

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.datalists.acdc import TEST, TRAINING
from monai_supmix.networks import PACKAGED
from tests.bundles.workflows import TINY, run, workflow
from tests.datalists.acdc_files import write_publishers, write_ssl4mis

BUNDLE = "acdc_supmix"
PATIENTS = (*TRAINING[:3], *TEST[:2])
SMALL = {"num_labeled": 1, "crop_size": [64, 64], "working": {"size": [64, 64]}, **TINY}


@pytest.fixture(scope="module")
def hearts(tmp_path_factory):
    return write_publishers(tmp_path_factory.mktemp("acdc"), PATIENTS, size=(40, 36, 3))


@pytest.fixture(scope="module")
def output(hearts, tmp_path_factory):
    """The output folder of a short training."""
    folder = tmp_path_factory.mktemp("output")
    run(BUNDLE, "train", dataset_dir=str(hearts), output_dir=str(folder), max_iterations=2, burn_in=0.5, **SMALL)
    return folder


@pytest.mark.parametrize("kind", ["train", "inference", "evaluate"])
def test_monai_finds_all_properties(kind, hearts, output, tmp_path):
    where = {"dataset_dir": str(hearts / "training"), "output_dir": str(tmp_path), "device": "cpu"}
    rest = SMALL if kind == "train" else {"ckpt_path": str(output / "model.pt"), "amp": False}
    rest |= {} if kind == "train" else {"network_def#features": SMALL["network_def#features"]}
    flow = workflow(BUNDLE, kind, **(where | rest))
    flow.initialize()
    assert flow.check_properties() == []


def test_figures_stand_beside_the_fields_own(hearts, output):
    where = {"dataset_dir": str(hearts), "output_dir": str(output)}
    run(BUNDLE, "evaluate", **where, **{k: SMALL[k] for k in ("network_def#features", "amp", "device")})
    metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
    assert (metrics["num_images"], metrics["num_groups"]) == (4, 2)
    assert list(metrics["classes"]) == ["background", "right_ventricle", "myocardium", "left_ventricle"]
    shown = [figures for name, figures in metrics["classes"].items() if figures and name != "background"]
    assert all({"dice", "case_dice", "case_dice_sd", "hd95_mm", "asd_mm"} <= set(figures) for figures in shown)
    assert 0 <= metrics["mean_case_dice"] <= 1 and metrics["mean_case_dice_sd"] >= 0


def test_slices_train_too_and_give_no_millimetres(output, tmp_path):
    pytest.importorskip("h5py", reason="h5py is not installed (extra hdf5)")
    data = write_ssl4mis(tmp_path / "data", PATIENTS, size=(40, 36, 3))
    run(BUNDLE, "train", dataset_dir=str(data), output_dir=str(tmp_path / "out"), max_iterations=1, **SMALL)
    small = {k: SMALL[k] for k in ("network_def#features", "amp", "device")}
    run(BUNDLE, "evaluate", dataset_dir=str(data), output_dir=str(tmp_path / "out"), **small)
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert metrics["num_images"] == 2 and "mean_case_dice" in metrics
    assert not any("hd95_mm" in (figures or {}) for figures in metrics["classes"].values())


def test_the_shipped_weights_predict_a_volume_on_its_grid(hearts, tmp_path):
    case = hearts / "training" / "patient099" / "patient099_frame01.nii.gz"
    run(BUNDLE, "inference", dataset_dir=str(case), output_dir=str(tmp_path), device="cpu")
    mask, image = nib.load(tmp_path / "patient099_frame01_seg.nii.gz"), nib.load(case)
    assert mask.shape == image.shape and np.array_equal(mask.affine, image.affine)


def test_a_pretrained_network_teaches_itself_twice(hearts, tmp_path):
    pytest.importorskip(PACKAGED["lite0"].package, reason="the weights are not installed (extra pretrained)")
    small = {key: value for key, value in SMALL.items() if not key.startswith("network_def")}
    where = {"dataset_dir": str(hearts), "output_dir": str(tmp_path)}
    run(BUNDLE, "train", "self_training", "pretrained", max_iterations=2, **where, **small)
    rounds = tmp_path / "rounds"
    first, second = rounds / "0", rounds / "1"
    assert sorted(rounds.iterdir()) == [first, second]
    for folder in (first, second):
        assert {path.name for path in folder.iterdir()} == {"network_0", "pseudo_labels"}
    for folder, method, steps in (
        (first / "network_0", "supervised", 11),
        (second / "network_0", "self_training", 4),
        (tmp_path, "self_training", 4),
    ):
        assert json.loads((folder / "history.json").read_text(encoding="utf-8"))["method"] == method
        assert (folder / "checkpoints" / f"checkpoint_iteration={steps:06d}.pt").exists()
