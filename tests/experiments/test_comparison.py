"""``compare``: what is trained, how long, and what the page says."""

import csv
import json

import pytest

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.experiments.judged import Judged
from tests.experiments.conftest import TINY

COMPARE = ("compare", "covid19_ct_supmix", *TINY, "--methods", "supervised", "supmix_sufd")


def command(chest, out, *more):
    return (*COMPARE, "--dataset_dir", chest, "--output_dir", out, *more)


@pytest.fixture
def gain(pretence):
    """SupMix with SUFD is better, and takes three times as long."""
    pretence.right["supmix_sufd"], pretence.seconds["supmix_sufd"] = 60, 300.0
    return pretence


def test_the_baseline_is_also_trained_for_as_many_seconds(chest, front, gain, tmp_path):
    status, told, _ = front(*command(chest, tmp_path, "--folds", 3))
    assert status == 0
    runs = [
        (trial.training.files[1].stem, trial.training.overrides.get("max_iterations"), trial.training.overrides["seed"])
        for trial in gain.trials
    ]
    assert sorted(set(runs), key=str) == sorted(
        {(m, n, s) for m, n in (("supervised", None), ("supmix_sufd", None), ("supervised", 3000)) for s in range(3)},
        key=str,
    )
    assert len(runs) == 27  # three folds of each
    found = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert [(row["method"], row["steps"], row["seconds"]) for row in found["rows"]] == [
        ("supervised", 1000, 100.0), ("supmix_sufd", 1000, 300.0), ("supervised", 3000, 300.0)
    ]  # fmt: skip
    assert found["long_steps"] == {"supmix_sufd": 3000}
    assert [(one["at"], one["minus_steps"]) for one in found["differences"]] == [
        ("equal steps", 1000), ("equal time", 3000)
    ]  # fmt: skip
    assert found["verdict"].startswith("Use supmix_sufd: its IoU is higher than that of supervised by +10.0 points")
    assert found["verdict"] in told and "**+10.00 [+10.00, +10.00]**" in told
    assert "that have not seen the patient" in told and "over seeds and patients" in told
    rows = list(csv.DictReader((tmp_path / "cases.csv").open(encoding="utf-8")))
    assert len(rows) == 3 * 3 * 6 and {row["fold"] for row in rows} == {"1", "2", "3"}


def test_unknown_patients_are_not_spoken_of(chest, front, gain, tmp_path, monkeypatch):
    monkeypatch.setattr(Judged, "patients_known", False)
    _, told, _ = front(*command(chest, tmp_path, "--folds", 2, "--seeds", 0))
    assert "that have not seen the image" in told and "over seeds and images" in told


def test_without_folds_the_test_is_judged(chest, front, pretence, tmp_path):
    status, told, _ = front(*command(chest, tmp_path, "--seeds", 4))
    assert status == 0
    assert told.count("without an interval is of one seed and one patient") == 1
    assert "[" not in told[told.index("| method | minus") :], "one patient with one seed makes no interval"
    lists = [Datalist.from_json(trial.training.overrides["dataset_dir"]) for trial in pretence.trials]
    assert [[item["case"] for item in one.test] for one in lists] == [["chest_009"]] * 2  # none is longer: equal times
    assert {len(one.labeled) for one in lists} == {6}
    found = json.loads((tmp_path / "comparison.json").read_text(encoding="utf-8"))
    assert [one["minus_steps"] for one in found["differences"]] == [1000, 1000]


def test_little_evidence_is_neither_bold_nor_a_recommendation(chest, front, gain, tmp_path):
    _, told, _ = front(*command(chest, tmp_path, "--folds", 2, "--seeds", 0, "--max_iterations", 20))
    table = told[told.index("## IoU") :]
    assert "**" not in table and "[+10.00, +10.00]" in table and "without an interval" not in table
    assert "1 seed (3 or more are needed), 20 steps (200 or more are needed). Until then use supervised." in told


def test_a_stopped_comparison_goes_on_and_ends_the_same(chest, front, gain, tmp_path):
    """Stopped in the middle of a seed, and among the longer trainings of the baseline."""
    whole, parts, more = tmp_path / "whole", tmp_path / "parts", ("--folds", 2, "--seeds", 0, 1)
    assert front(*command(chest, whole, *more))[0] == 0
    gain.trials = []
    for gain.stop_at in (3, 10):
        assert front(*command(chest, parts, *more))[0] == 130
        assert "Not finished yet" in (parts / "comparison.md").read_text(encoding="utf-8")
    gain.stop_at = None
    assert front(*command(chest, parts, *more))[0] == 0
    folders = [trial.folder for trial in gain.trials]
    assert len(set(folders)) == len(folders) == 12
    for name in ("comparison.md", "comparison.json", "cases.csv"):
        assert (parts / name).read_bytes() == (whole / name).read_bytes()


def test_other_settings_are_other_runs_and_leave_nothing_of_the_earlier_ones(chest, front, pretence, tmp_path):
    assert front(*command(chest, tmp_path, "--seeds", 0))[0] == 0
    earlier = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert front(*command(chest, tmp_path, "--seeds", 0, "--burn_in", 0.1))[0] == 0
    later = sorted(path.name for path in (tmp_path / "runs").iterdir() if path.is_dir())
    assert len(later) == len(earlier) == 2 and not set(later) & set(earlier)
    assert len(pretence.trials) == 4


def test_weights_of_finished_trainings_are_kept_on_demand_only(chest, front, pretence, tmp_path):
    for keep, left in (((), 0), (("--keep",), 2)):
        assert front(*command(chest, tmp_path, "--seeds", left, *keep))[0] == 0
        assert len(list(tmp_path.glob("runs/*/model.pt"))) == left


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--methods", "supervised", "supmx"), "supmx: is not a method: did you mean supmix?"),
        (("--methods", "supmix"), "--methods: are supmix: give two or more"),
        (("--methods", "supmix", "supmix"), "--methods: are supmix supmix: give two or more"),
        (("--seeds", "0", "0"), "--seeds: are 0 0: give different numbers"),
        (("--seeds", "zero"), "command line: argument --seeds: invalid int value: 'zero'"),
        (("--seed", "1"), "--seed: is set for each training"),
        (("--folds", "9"), "--folds: is 9, and the labels are of 6 patients: give 2 to 6"),
        (("--burn_inn", "0.5"), "is not a key of train.json, supervised.json: did you mean burn_in?"),
        (("--dataset_dir", "/none"), "/none: does not exist"),
    ],
)
def test_mistakes_end_in_one_line(options, says, chest, front, tmp_path):
    defaults = {"--methods": ("supervised", "supmix_sufd"), "--dataset_dir": (chest,)}
    arguments = [word for key, words in defaults.items() if key not in options for word in (key, *words)]
    out = tmp_path / "out"
    status, _, errors = front("compare", "covid19_ct_supmix", *TINY, *arguments, *options, "--output_dir", out)
    assert status == 2 and errors.count("\n") == 1, errors
    assert says in errors
    assert not out.exists()


def test_the_cases_of_an_evaluation_are_not_replaced(chest, front, tmp_path):
    table = tmp_path / "cases.csv"
    table.write_text("case,class\n", encoding="utf-8")
    status, _, errors = front(*command(chest, tmp_path, "--seeds", 0))
    assert status == 2
    assert errors == f"error: {table}: is the table of an evaluation or a prediction: give another --output_dir\n"
    assert [path.name for path in tmp_path.iterdir()] == ["cases.csv"]


def test_data_without_a_test_need_folds(chest, front, tmp_path):
    images, names = sorted((chest / "imagesTr").glob("*.nii.gz")), [f"chest_{number:03d}" for number in range(1, 9)]
    items = [{"image": str(path), "case": name, "group": name} for path, name in zip(images, names, strict=True)]
    labelled = [{**item, "label": str(chest / "labelsTr" / f"{item['case']}.nii.gz")} for item in items[:6]]
    classes = ["background", "ground_glass", "consolidation", "pleural_effusion"]
    Datalist(labelled, items[6:], [], [], classes).to_json(tmp_path / "list.json")
    _, _, errors = front(*command(tmp_path / "list.json", tmp_path / "out"))
    assert "dataset_dir: holds no labelled test images: judge the labelled ones with --folds 5" in errors
