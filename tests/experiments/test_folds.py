"""``run --folds``: what is trained, what is left, and what is refused."""

import csv
import json

import pytest
from torch import nn

from monai_supmix.bundle.quality import read_quality
from monai_supmix.cli.workflow import Configured
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.weights import load_weights, save_weights
from tests.experiments.conftest import TINY
from tests.weights.test_files import make_record

RUN = ("run", "covid19_ct_supmix", "train", *TINY)


@pytest.fixture
def final(monkeypatch):
    """Final trainings, which do nothing."""
    runs = []

    def run(configured):  # a function, which becomes a method
        runs.append(configured)

    monkeypatch.setattr(Configured, "run", run)
    return runs


def test_every_labelled_case_is_judged_by_a_fold_that_did_not_see_it(chest, front, pretence, final, tmp_path):
    out = tmp_path / "out"
    status, told, _ = front(
        *RUN, "--folds", 3, "--dataset_dir", chest, "--output_dir", out, "--tta", "--form", "nnunet"
    )
    assert status == 0
    lists = [Datalist.from_json(trial.training.overrides["dataset_dir"]) for trial in pretence.trials]
    judged = [item["case"] for one in lists for item in one.test]
    assert sorted(judged) == [f"chest_{number:03d}" for number in range(1, 7)]
    for one, trial in zip(lists, pretence.trials, strict=True):
        assert not {item["group"] for item in one.test} & {item["group"] for item in (*one.labeled, *one.unlabeled)}
        assert {item["case"] for item in one.unlabeled} == {"chest_007", "chest_008"}  # the pool is shared
        assert trial.training.overrides.items() >= {"num_labeled": None, "resume": "auto"}.items()
        assert trial.evaluation.overrides["tta"] is True and "tta" not in trial.training.overrides
        assert not {"form", "labeled_seed"} & (trial.training.overrides.keys() | trial.evaluation.overrides.keys())
    (last,) = final
    assert last.overrides.items() >= {"dataset_dir": str(chest), "output_dir": str(out), "num_labeled": 6}.items()
    rows = list(csv.DictReader((out / "3_folds" / "cases.csv").open(encoding="utf-8")))
    assert {row["case"]: int(row["fold"]) for row in rows} == {
        item["case"]: number for number, one in enumerate(lists, 1) for item in one.test
    }
    figures = json.loads((out / "3_folds" / "metrics.json").read_text(encoding="utf-8"))
    assert (figures["num_images"], figures["num_groups"], figures["num_folds"]) == (6, 6, 3)
    assert figures["classes"]["ground_glass"]["iou"] == 0.5
    assert figures["settings"] == {"tta": True}
    assert "out of fold" in told and "final training on all 6 labelled cases" in told


def test_what_is_finished_stands_until_settings_change(chest, front, pretence, final, tmp_path):
    command = (*RUN, "--folds", 2, "--dataset_dir", chest, "--output_dir", tmp_path / "out")
    pretence.stop_at = 1
    assert front(*command)[0] == 130
    assert not final
    pretence.stop_at = None
    assert front(*command)[0] == 0
    assert [trial.folder.name for trial in pretence.trials] == ["fold_1", "fold_2"]
    assert front(*command)[0] == 0
    assert len(pretence.trials) == 2
    for changed in (("--max_epochs", 7), ("--burn_in", 0.1), ("--tta", "true")):
        before = len(pretence.trials)
        assert front(*command, *changed)[0] == 0
        assert len(pretence.trials) == before + 2


def test_single_folds_leave_the_figures_to_the_last_of_them(chest, front, pretence, final, tmp_path):
    out = tmp_path / "out"
    command = (*RUN, "--folds", 2, "--dataset_dir", chest, "--output_dir", out)
    assert "folds 1 are missing" in front(*command, "--fold", 2)[1]
    assert not (out / "2_folds" / "metrics.json").exists()
    assert front(*command, "--fold", 1)[0] == 0
    assert (out / "2_folds" / "metrics.json").exists()
    assert not final


def test_weights_to_begin_with_are_named_beside_the_figures(chest, front, pretence, final, tmp_path):
    more = ("--dataset_dir", chest, "--output_dir", tmp_path, "--ckpt_path", "start.pt")
    told = "trainings began with the weights start.pt, which must not have seen the cases that are judged"
    assert told in front(*RUN, "--folds", 2, *more)[1]
    assert told in json.loads((tmp_path / "2_folds" / "metrics.json").read_text(encoding="utf-8"))["notes"]


def test_a_class_of_one_fold_has_a_note(chest, front, pretence, final, tmp_path):
    pretence.only_in = "chest_001"
    told = front(*RUN, "--folds", 3, "--dataset_dir", chest, "--output_dir", tmp_path)[1]
    assert "all labels of pleural_effusion are in fold 2, whose network has never seen the class" in told
    assert told.count("has never seen the class") == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--folds", 7), "--folds: is 7, and the labels are of 6 patients: give 2 to 6"),
        (("--folds", 1), "--folds: is 1"),
        (("--folds", 3, "--fold", 4), "--fold: is 4: give 1 to 3"),
        (("--folds", 3, "--fold", 0), "--fold: is 0"),
        (("--fold", 1), "--fold: is one of several"),
        (("--folds", "three"), "command line: argument --folds: invalid int value: 'three'"),
        (("--folds", 3, "--pseudo_labels", "masks"), "--pseudo_labels: are of networks that may have seen the cases"),
        (("--folds", 3, "--burn_inn", 0.5), "--burn_inn: is not a key of train.json: did you mean burn_in?"),
        (("--folds", 3, "--method", "supmx"), "supmx: is not a method: did you mean supmix?"),
    ],
)
def test_mistakes_end_in_one_line(options, says, chest, front, tmp_path):
    status, _, errors = front(*RUN, *options, "--dataset_dir", chest, "--output_dir", tmp_path / "out")
    assert status == 2 and errors.count("\n") == 1
    assert says in errors
    assert not (tmp_path / "out").exists()


def test_folds_are_for_a_single_process_that_trains(chest, front, monkeypatch, tmp_path):
    more = ("--folds", 2, "--dataset_dir", chest, "--output_dir", tmp_path / "out")
    assert "evaluate.json: is not the configuration of a training" in front(*RUN[:2], "evaluate", *more)[2]
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert "--folds: runs in one process: start it without torchrun" in front(*RUN, *more)[2]


def test_the_final_weights_get_what_confidences_are_worth_out_of_fold(chest, front, pretence, monkeypatch, tmp_path):
    out = tmp_path / "out"
    pretence.dice = {f"chest_{number:03d}": 0.3 + 0.1 * number for number in range(1, 7)}

    def run(configured):
        save_weights(out / "model.pt", nn.Conv2d(1, 2, 1), make_record())

    monkeypatch.setattr(Configured, "run", run)
    status, told, _ = front(*RUN, "--folds", 3, "--dataset_dir", chest, "--output_dir", out)
    assert status == 0
    assert (
        "a mask with mean confidence 0.82 is expected to have a Dice of 0.65 ± 0.00 (90 %), learnt from 6 cases" in told
    )
    assert f"written: {out / 'quality.json'}" in told
    _, record = load_weights(out / "model.pt")
    quality = read_quality(out / "model.pt", record)
    assert quality.predict(0.8) == {"dice": 0.6, "low": 0.6, "high": 0.6, "look": True}
    assert quality.inference == {"flips": False}
    assert read_quality(out / "model.pt", {**record, "content_sha256": "0"}) is None, "it is about these weights"
