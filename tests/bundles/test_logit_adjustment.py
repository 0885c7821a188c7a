"""`presets/logit_adjustment.json`: a training as ever, whose output layer then knows how rare classes are."""

import json

import pytest
import torch

from monai_supmix.__main__ import main
from monai_supmix.bundle import start_from
from monai_supmix.data.class_weights import labelled_pixels
from monai_supmix.weights import read_weights, save_weights
from tests.bundles.workflows import run, workflow

BUNDLE = "covid19_ct_supmix"


SMALL = {
    "device": "cpu", "num_labeled": 2, "max_iterations": 2, "burn_in": 0.0, "crop_size": [64, 64],
    "working": {"size": [64, 64]}, "amp": False, "num_workers": 0, "tensorboard": False,
}  # fmt: skip


def _bias(folder):
    return read_weights(folder / "model.pt").tensors["unet.final_conv.bias"].double()


def test_the_preset_shifts_the_output_layer_and_nothing_else_also_when_run_again(phantoms, tmp_path):
    state = {}
    for tau, resume in ((0.0, False), (1.0, False), (1.0, "auto")):
        folder = str(tmp_path / str(tau))
        options = {
            **SMALL,
            "dataset_dir": str(phantoms[BUNDLE]),
            "output_dir": folder,
            "logit_adjustment": tau,
            "resume": resume,
        }
        run(BUNDLE, "train", "supmix", "logit_adjustment", **options)
        state[tau, resume] = read_weights(folder + "/model.pt").tensors
    part = workflow(BUNDLE, "train", preset="logit_adjustment", **options).parser.get_parsed_content
    pixels = labelled_pixels(part("train#dataset"), 4)
    assert (pixels[:3] > 0).all(), "the phantom shows them"
    offsets = torch.where(pixels > 0, (pixels[0] / pixels).log(), 0.0).float()
    plain, adjusted = state[0.0, False], state[1.0, False]
    for name, tensor in adjusted.items():
        shift = offsets.repeat(4) if name == "unet.final_conv.bias" else torch.zeros(())
        assert torch.allclose(tensor.float(), plain[name].float() + shift, atol=1e-5), name
        assert torch.equal(tensor, state[1.0, "auto"][name]), "the checkpoint of a finished run is not adjusted twice"


def test_rounds_and_trainings_that_go_on_from_adjusted_weights_are_adjusted_once(phantoms, tmp_path):
    options = {**SMALL, "dataset_dir": str(phantoms[BUNDLE]), "logit_adjustment": 1.0}
    own = {"self_training#networks": 1, "self_training#rounds": 2}
    run(BUNDLE, "train", "self_training", "logit_adjustment", output_dir=str(tmp_path / "O"), **options, **own)
    further = {"output_dir": str(tmp_path / "F"), "ckpt_path": str(tmp_path / "O/model.pt")}
    run(BUNDLE, "train", "supervised", "logit_adjustment", **options, **further)
    folders = [tmp_path / place for place in ("O/rounds/0/network_0", "O/rounds/1/network_0", "O", "F")]
    offsets = [torch.tensor(read_weights(folder / "model.pt").record["logit_offsets"]) for folder in folders]
    assert all(one[1] > 1 for one in offsets)
    for folder, offset in zip(folders, offsets, strict=True):  # two steps hardly move what is left without them
        assert (_bias(folder) - offset.repeat(4)).abs().max() < 0.6


def test_a_training_begins_with_the_logits_of_before_unless_its_classes_are_others(phantoms, tmp_path):
    network = workflow(BUNDLE, "train", **SMALL, output_dir="O").parser.get_parsed_content("network_def")
    names = ["background", "ground_glass", "consolidation", "pleural_effusion"]
    record = {"network": {}, "class_names": names, "intensity": {}, "working": {}, "trained_on": {}, "versions": {}}
    record["versions"] = {"monai_supmix": "0"}
    plain = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    shifted = {**plain, "unet.final_conv.bias": plain["unet.final_conv.bias"] + torch.tensor([0.0, 1, 2, 3]).repeat(4)}
    save_weights(tmp_path / "model.pt", shifted, {**record, "logit_offsets": [0.0, 1.0, 2.0, 3.0]})
    start_from(tmp_path / "model.pt", network, names)
    for name, tensor in network.state_dict().items():
        assert torch.allclose(tensor.float(), plain[name].float(), atol=1e-5), name
    other = workflow(BUNDLE, "train", **{**SMALL, "class_names": names[:2]}, output_dir="O").parser
    two = other.get_parsed_content("network_def")
    bias = two.unet.final_conv.bias.detach().clone()
    start_from(tmp_path / "model.pt", two, names[:2])
    assert torch.equal(two.unet.final_conv.bias, bias)


def test_an_adjustment_that_another_file_takes_away_is_told(phantoms, tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text('{"recalibration": null}', encoding="utf-8")
    options = ["--dataset_dir", str(phantoms[BUNDLE]), "--output_dir", str(tmp_path / "O")]
    assert main(["run", BUNDLE, "train", str(other), "--preset", "logit_adjustment", *options]) == 2
    assert "logit_adjustment: has no effect, for recalibration has no AdjustLogits" in capsys.readouterr().err
    assert not (tmp_path / "O").exists()


@pytest.mark.parametrize("wrong", [[1.0], "1,2,3,4", [0.0, 1.0, float("nan"), 0.0]])
def test_offsets_that_are_none_are_refused(tmp_path, wrong):
    record = {"network": {}, "class_names": ["a", "b", "c", "d"], "intensity": {}, "working": {}, "trained_on": {}}
    record |= {"versions": {"monai_supmix": "0"}, "logit_offsets": wrong}
    with pytest.raises(ValueError, match="'logit_offsets' must be a finite number for each class"):
        save_weights(tmp_path / "model.pt", torch.nn.Conv2d(1, 4, 1), record)


def test_the_last_validation_is_of_the_network_that_is_saved(phantoms, tmp_path):
    options = {
        **SMALL,
        "dataset_dir": str(phantoms[BUNDLE]),
        "num_val_patients": 1,
        "num_labeled": 1,
        "val_interval": 1,
    }
    rows = {}
    for tau in (0.0, 4.0):
        folder = tmp_path / str(tau)
        run(BUNDLE, "train", "supervised", "logit_adjustment", output_dir=str(folder), logit_adjustment=tau, **options)
        rows[tau] = json.loads((folder / "history.json").read_text(encoding="utf-8"))["validation_rows"]
    iterations = [row["iteration"] for row in rows[4.0]]
    assert iterations == sorted(set(iterations)) and iterations[-1] == 2
    assert rows[0.0][:-1] == rows[4.0][:-1] and rows[0.0][-1] != rows[4.0][-1]
