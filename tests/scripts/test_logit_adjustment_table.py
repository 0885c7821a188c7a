"""What adjusted logits are worth at several strengths: the weights that are judged, and the table."""

import shutil

import logit_adjustment_table
import pytest
import torch

from monai_supmix.__main__ import main
from monai_supmix.listing import read_json
from monai_supmix.phantoms import write_chest_ct_phantom
from monai_supmix.weights import read_weights, save_weights

SMALL = ["--max_iterations", "4", "--crop_size", "[32,32]", "--working", "{'size':[32,32]}", "--tensorboard", "false",
         "--num_workers", "0", "--num_monitored", "0", "--recalibration", "null"]  # fmt: skip


@pytest.fixture(scope="module")
def trained(phantoms, tmp_path_factory):
    """A training of a few steps on two labelled volumes, and its evaluation."""
    out = tmp_path_factory.mktemp("trained")
    own = ["--dataset_dir", str(phantoms["covid19_ct_supmix"]), "--output_dir", str(out)]
    train = ["run", "covid19_ct_supmix", "train", "--method", "supervised", "--num_labeled", "2", *own, *SMALL]
    assert main(train) == 0
    assert main(["run", "covid19_ct_supmix", "evaluate", *own, "--tta", "true"]) == 0
    return out


def _bias(folder):
    weights = read_weights(f"{folder}/model.pt").tensors
    return weights[[name for name in weights if name.endswith("bias") and weights[name].ndim == 1][-1]].double()


def test_each_strength_is_judged_by_the_evaluation_of_the_training(trained, phantoms, tmp_path, capsys):
    arguments = [
        "covid19_ct_supmix",
        str(trained),
        "--dataset_dir",
        str(phantoms["covid19_ct_supmix"]),
        "--tau",
        "0",
        "0.5",
    ]
    arguments += ["2", "--to", str(tmp_path), "--classes", "ground_glass", "consolidation"]
    assert logit_adjustment_table.main(arguments) == 0
    printed = capsys.readouterr().out.splitlines()[-5:]
    (judged,) = tmp_path.iterdir()
    folders = [judged / f"tau_{tau}" for tau in ("0.0", "0.5", "2.0")]

    assert read_json(folders[0] / "metrics.json")["classes"] == read_json(trained / "metrics.json")["classes"]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in printed]
    assert rows[0] == ["class", "0", "0.5", "2"]
    for name, *cells in rows[2:4]:
        figures = [read_json(folder / "metrics.json")["classes"][name]["iou"] for folder in folders]
        assert cells == [f"{figure:.3f}" for figure in figures]

    shifts = [_bias(folder) - _bias(trained) for folder in folders]
    assert not shifts[0].any()
    torch.testing.assert_close(shifts[2], 4 * shifts[1], atol=1e-5, rtol=1e-4)  # τ times one number for each class
    assert len(shifts[1].round(decimals=4).unique()) > 2

    text = (folders[2] / "metrics.json").read_text(encoding="utf-8")
    (folders[2] / "metrics.json").write_text(text.replace('"iou": 0', '"iou": 9'), encoding="utf-8")
    logit_adjustment_table.main(arguments)
    assert capsys.readouterr().out.splitlines()[-3:] != printed[-3:], "what is there is not judged again"


def test_a_training_with_adjusted_logits_is_refused(phantoms, tmp_path, capsys):
    settings = '{"settings": {"recalibration": {"_target_": "x.AdjustLogits"}}}'
    (tmp_path / "history.json").write_text(settings, encoding="utf-8")
    arguments = ["covid19_ct_supmix", str(tmp_path), "--dataset_dir", str(phantoms["covid19_ct_supmix"])]
    assert logit_adjustment_table.main([*arguments, "--to", str(tmp_path / "to")]) == 2
    assert "has adjusted logits already" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


def test_figures_of_another_training_are_not_those_of_this_one(trained, phantoms, tmp_path, capsys):
    arguments = ["--dataset_dir", str(phantoms["covid19_ct_supmix"]), "--tau", "0", "--to", str(tmp_path / "to")]
    assert logit_adjustment_table.main(["covid19_ct_supmix", str(trained), *arguments]) == 0
    first = capsys.readouterr().out.splitlines()[-4:]
    other = tmp_path / "other"
    shutil.copytree(trained, other)
    weights = read_weights(trained / "model.pt")
    weights.tensors["unet.final_conv.bias"] += torch.tensor([0.0, 100.0, 0.0, 0.0]).repeat(4)  # all is ground-glass
    save_weights(other / "model.pt", weights.tensors, weights.record)
    assert logit_adjustment_table.main(["covid19_ct_supmix", str(other), *arguments]) == 0
    assert capsys.readouterr().out.splitlines()[-4:] != first


def test_trainings_of_other_labelled_images_are_refused(trained, tmp_path, capsys):
    write_chest_ct_phantom(tmp_path / "data", num_labeled=2, num_unlabeled=2, num_test=1, size=(64, 64, 6), seed=5)
    arguments = ["covid19_ct_supmix", str(trained), "--dataset_dir", str(tmp_path / "data"), "--to", str(tmp_path)]
    assert logit_adjustment_table.main(arguments) == 2
    assert "had other labelled images" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--classes", "ground_gls"], ["--tau", "-1"]])
def test_a_wrong_class_or_strength_is_one_line(trained, phantoms, tmp_path, capsys, wrong):
    arguments = ["covid19_ct_supmix", str(trained), "--dataset_dir", str(phantoms["covid19_ct_supmix"]), "--tau", "0"]
    assert logit_adjustment_table.main([*arguments, "--to", str(tmp_path), *wrong]) == 2
    assert "error: " in capsys.readouterr().err.splitlines()[-1]


def test_no_training_is_one_line(phantoms, tmp_path, capsys):
    arguments = ["covid19_ct_supmix", str(tmp_path), "--dataset_dir", str(phantoms["covid19_ct_supmix"])]
    assert logit_adjustment_table.main([*arguments, "--to", str(tmp_path / "to")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
