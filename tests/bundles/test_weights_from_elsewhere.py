"""Weights that other programs have written, in the bundles."""

import json
import logging

import nibabel as nib
import pytest
import timm
import torch
from safetensors.torch import save_file

from monai_supmix.bundle import error_line, start_from
from monai_supmix.networks import CompactUNet
from monai_supmix.weights import load_weights
from tests.bundles.workflows import BUNDLES, TINY, read_config, run

BUNDLE = "covid19_ct_supmix"
SAVE = {"plain.pt": torch.save, "plain.safetensors": save_file}


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """The shipped weights, without their record."""
    folder = tmp_path_factory.mktemp("shipped")
    for name, save in SAVE.items():
        save(load_weights(BUNDLES / BUNDLE / "models" / "model.pt")[0], folder / name)
    return folder


def test_the_shipped_weights_without_their_record_give_the_same_mask(shipped, phantoms, tmp_path, caplog):
    case = sorted((phantoms[BUNDLE] / "imagesTs").glob("*.nii.gz"))[0]
    training = read_config(BUNDLE, "train")

    def predict(name, **override):
        out = tmp_path / name
        where = {"dataset_dir": str(case), "output_dir": str(out), "device": "cpu", "amp": False}
        run(BUNDLE, "inference", probabilities=True, **where, **override)
        maps = [path.read_bytes() for path in sorted(out.glob("*_seg*.nii.gz"))]
        return maps, json.loads(next(out.glob("*_seg.json")).read_text(encoding="utf-8"))

    masks, told = predict("own")
    assert nib.load(next((tmp_path / "own").glob("*_seg_prob_ground_glass.nii.gz"))).get_fdata().max() > 0
    assert "from_configuration" not in told
    for name in SAVE:
        same, told = predict(name, ckpt_path=str(shipped / name))
        assert len(same) == 4
        assert same == masks
        filled = told["from_configuration"]
        assert filled["class_names"] == {"value": training["class_names"], "from": "metadata.json"}
        assert filled["intensity"] == {"value": training["intensity_settings"], "from": "train.json"}
        assert filled["working"] == {"value": training["working"], "from": "train.json"}
        assert f"{name}: the weights have no record; used are: intensity of train.json" in caplog.text
    # A mask made by another rule is another mask, and is not taken for done.
    with pytest.raises(RuntimeError) as raised:
        predict(name, ckpt_path=str(shipped / name), working={})
    assert "from_configuration" in str(error_line(raised.value))


def test_metrics_tell_what_the_configuration_has_filled_in(shipped, phantoms, tmp_path):
    where = {"dataset_dir": str(phantoms[BUNDLE]), "device": "cpu", "amp": False}
    run(BUNDLE, "evaluate", output_dir=str(tmp_path / "own"), **where)
    run(BUNDLE, "evaluate", output_dir=str(tmp_path), ckpt_path=str(shipped / "plain.pt"), **where)
    own, metrics = (
        json.loads((folder / "metrics.json").read_text(encoding="utf-8")) for folder in (tmp_path / "own", tmp_path)
    )
    assert metrics["classes"] == own["classes"]
    assert "the weights have no record" in metrics["notes"][-1]
    assert metrics["settings"]["from_configuration"]["working"] == {"value": {"size": [256, 256]}, "from": "train.json"}
    assert "from_configuration" not in own["settings"]


def test_an_encoder_of_timm_begins_a_training(phantoms, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    torch.save(timm.create_model("resnet18", pretrained=False, in_chans=1).state_dict(), tmp_path / "encoder.pth")
    network = {
        "_target_": "monai_supmix.networks.EncoderDecoder",
        "architecture": "Unet",
        "encoder_name": "tu-resnet18",
        "in_channels": 1,
        "num_classes": "@num_classes",
    }
    settings = {key: value for key, value in TINY.items() if not key.startswith("network_def")}
    run(
        BUNDLE, "train", "supervised", dataset_dir=str(phantoms[BUNDLE]), output_dir=str(tmp_path / "out"),
        num_labeled=2, max_iterations=1, crop_size=[32, 32], recalibration=None, network_def=network,
        ckpt_path=str(tmp_path / "encoder.pth"), **settings,
    )  # fmt: skip
    lines = [record.getMessage() for record in caplog.records if "training begins" in record.getMessage()]
    assert len(lines) == 1
    assert "names with 'encoder.model.' put in front" in lines[0]
    assert "2 unexpected, left out: encoder.model.fc.bias" in lines[0]
    assert load_weights(tmp_path / "out" / "model.pt")[0]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_training_is_told_that_its_weights_are_for_other_classes(swapped, caplog):
    names = ["background", "ground_glass", "consolidation", "pleural_effusion"]
    given = [names[0], names[2], names[1], names[3]] if swapped else names
    network = CompactUNet(in_channels=1, num_classes=4, features=(16, 32, 32, 64, 64, 16), patch_size=2)
    with caplog.at_level(logging.WARNING):
        start_from(BUNDLES / BUNDLE / "models" / "model.pt", network, given)
    assert ("their output layer means others" in caplog.text) == swapped
