"""What to label next, from the command line, on a phantom: chest_001 to 003 are labelled, 004 and 005 are not."""

import csv
import shutil

import nibabel
import numpy as np
import pytest

from monai_supmix.labelling import disagreement
from monai_supmix.labelling.scoring import Scorer
from tests.cli.conftest import make_weights
from tests.own_data.folders import write_pair

BUNDLE = "covid19_ct_supmix"
QUICK = ("--num_labeled", 3, "--device", "cpu")


@pytest.fixture
def calls(monkeypatch):
    """The cases that are scored, not read from what is kept; ``calls.stop_at`` ends the process before one."""
    real = Scorer.__call__

    class Calls(list):
        stop_at = None

    seen = Calls()

    def score(scorer, item):
        if item["case"] == seen.stop_at:
            raise KeyboardInterrupt
        seen.append(item["case"])
        return real(scorer, item)

    monkeypatch.setattr(Scorer, "__call__", score)
    return seen


def rows(folder):
    return list(csv.DictReader((folder / "suggestions.csv").open(encoding="utf-8")))


def test_the_list_is_what_a_training_takes_once_the_case_is_labelled(front, chest, weights, tmp_path, monkeypatch):
    for name in ("FIRST", "INTERVAL"):
        monkeypatch.setattr(f"monai_supmix.labelling.suggestion.{name}", 0.0)
    out = tmp_path / "out"
    data = ("--dataset_dir", chest)
    ended = front("suggest", BUNDLE, *data, "--count", 1, *QUICK, "--ckpt_path", weights, "--output_dir", out)
    assert ended.status == 0, ended.err
    names = (out / "labeled_list.txt").read_text(encoding="utf-8").split()
    assert sorted(names[:3]) == ["chest_001", "chest_002", "chest_003"] and names[3] in ("chest_004", "chest_005")
    assert f"1: patient_{names[3][-3:]}: {names[3]}, confidence" in ended.out
    assert f"run {BUNDLE} train --dataset_dir {chest} --labeled_list {out / 'labeled_list.txt'}" in ended.out
    table = rows(out)
    assert [(row["rank"], row["suggested"]) for row in table] == [("1", "yes"), ("2", "no")]
    assert {row["case"] for row in table} == {"chest_004", "chest_005"} and table[0]["case"] == names[3]
    assert ended.out.startswith("scoring 2 unlabelled and 3 labelled images with the weights ")
    assert "0 of 5 scored" in ended.out and "4 of 5 scored" in ended.out
    page = (out / "suggestions.html").read_text(encoding="utf-8")
    assert "1 patient (1 image) to label next, of 2 unlabelled images" in page
    assert "least sure class" in page and "least_sure" not in page
    single = front(
        *("suggest", BUNDLE, *data, "--count", 1, "--unit", "case", *QUICK, "--ckpt_path", weights),
        *("--output_dir", out, "--preset", "logit_adjustment"),
    )
    assert f"1: {names[3]}: confidence" in single.out and "\n  cases/ (score and picture of each" in single.out
    assert f"run {BUNDLE} train --preset logit_adjustment --dataset_dir" in single.out
    assert "1 image to label next, of 2" in (out / "suggestions.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") == 1 and names[3] in page
    told = ("check", BUNDLE, *data, "--labeled_list", out / "labeled_list.txt")
    assert f"names cases without a label file: {names[3]}" in front(*told).err
    shutil.copy(chest / "labelsTr" / "chest_001.nii.gz", chest / "labelsTr" / f"{names[3]}.nii.gz")
    checked = front(*told)
    assert checked.status == 0 and "labelled 4 (4 patients)" in checked.out


def test_what_is_scored_is_not_scored_again(front, chest, weights, tmp_path, calls):
    def start(out, *more):
        command = ("suggest", BUNDLE, "--dataset_dir", chest, "--count", 1, *QUICK, "--ckpt_path", weights)
        return front(*command, "--output_dir", out, *more).status

    stopped, whole = tmp_path / "stopped", tmp_path / "whole"
    calls.stop_at = "chest_003"  # the first of the labelled ones
    assert start(stopped) == 130
    assert calls == ["chest_004", "chest_005"] and not (stopped / "labeled_list.txt").exists()
    (stopped / "cases" / "chest_005.json").unlink()  # killed between the picture and the score
    calls.stop_at = None
    calls.clear()
    assert start(stopped) == 0 and calls == ["chest_005", "chest_003", "chest_001", "chest_002"]
    assert start(whole) == 0
    for name in ("labeled_list.txt", "suggestions.csv"):
        assert (stopped / name).read_bytes() == (whole / name).read_bytes()
    calls.clear()
    assert start(whole) == 0 and not calls
    image = chest / "imagesTr" / "chest_004_0000.nii.gz"
    other = nibabel.load(chest / "imagesTr" / "chest_001_0000.nii.gz")
    nibabel.save(nibabel.Nifti1Image(np.asarray(other.dataobj) // 2, other.affine), image)
    assert start(whole) == 0 and calls == ["chest_004"], "another image"
    calls.clear()
    assert start(whole, "--tta") == 0 and len(calls) == 5, "other settings"


def test_networks_of_an_ensemble_are_compared_with_one_another(front, chest, weights, tmp_path):
    import torch  # noqa: PLC0415

    from monai_supmix.networks import CompactUNet  # noqa: PLC0415

    torch.manual_seed(1)
    network = CompactUNet(2, 1, 4, features=(16, 32, 32, 64, 64, 16), patch_size=2)
    other = make_weights(tmp_path / "other.pt", network=network)
    out, both = tmp_path / "out", f"[{weights},{other}]"
    command = ("suggest", BUNDLE, "--dataset_dir", chest, "--count", 1, *QUICK)
    assert front(*command, "--ckpt_path", both, "--output_dir", out).status == 0
    masks = []
    for number, path in enumerate((weights, other)):
        folder = tmp_path / f"masks_{number}"
        image = chest / "imagesTr" / "chest_004_0000.nii.gz"
        ended = front("predict", BUNDLE, image, "--device", "cpu", "--ckpt_path", path, "--output_dir", folder)
        assert ended.status == 0, ended.err
        masks.append(np.asarray(nibabel.load(folder / "chest_004_0000_seg.nii.gz").dataobj))
    found = next(float(row["disagreement"]) for row in rows(out) if row["case"] == "chest_004")
    assert found == pytest.approx(disagreement(masks, 4), abs=2e-3) and found > 0


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--count", 0), "--count: is 0: give 1 or more"),
        (("--count", 3), "--count: is 3, and the unlabelled cases are of 2 patients: give 1 to 2"),
        (("--count", 3, "--unit", "case"), "--count: is 3, and the unlabelled cases are of 2 cases: give 1 to 2"),
        (("--count", 1, "--ckpt_path", "no.pt"), "no.pt: no weights file has this path"),
        (("--count", 1, "--shard", "1/2"), "--shard: is about masks, and none are written: leave it out"),
        (("--count", 1, "--num_labelled", 3), "--num_labelled: is not a key of train.json: did you mean num_labeled?"),
        ((), "command line: the following arguments are required: --count"),
    ],
)
def test_mistakes(more, says, refused, chest, weights):
    given = () if "--ckpt_path" in more else ("--ckpt_path", weights)
    refused("suggest", BUNDLE, "--dataset_dir", chest, *QUICK, *given, *more, says=says)


def test_a_data_set_without_unlabelled_cases(refused, chest, weights):
    for name in ("chest_004", "chest_005"):
        (chest / "imagesTr" / f"{name}_0000.nii.gz").unlink()
    command = ("suggest", BUNDLE, "--dataset_dir", chest, *QUICK, "--ckpt_path", weights, "--count", 1)
    refused(*command, says="dataset_dir: holds no unlabelled case to choose from: add images without labels")


@pytest.mark.slow
def test_a_bundle_of_ones_own_is_suggested_from_by_its_last_training_and_keeps_its_test(front, tmp_path):
    random, data = np.random.default_rng(0), tmp_path / "data"

    def label(name, image):
        truth = np.zeros((40, 40), np.uint8)
        truth[10:20, 10:30] = 1
        write_pair(data, name, image, truth)

    for patient in "abcd":
        label(f"{patient}_L", random.integers(0, 255, (40, 40)))
    pool = {f"{patient}_{side}": random.integers(0, 255, (40, 40)) for patient in "efg" for side in "LR"}
    for name, image in pool.items():
        write_pair(data, name, image)
    pattern = ("--group_pattern", "^([a-g])_")
    assert front("new", data, "--output_dir", tmp_path / "mine", *pattern).status == 0
    quick = ("--network_def#features", "[4,4,4,4,4,4]", "--device", "cpu")
    short = ("--method", "supervised", "--max_iterations", 2, "--output_dir", tmp_path / "run")
    assert front("run", tmp_path / "mine", "train", *quick, *short).status == 0
    out = tmp_path / "out"
    ended = front("suggest", tmp_path / "mine", "--count", 2, *quick, "--output_dir", out)
    assert ended.status == 0, ended.err
    named = (out / "labeled_list.txt").read_text(encoding="utf-8").split()
    assert "test_list.txt (" in ended.out
    suggested = named[3:]
    assert len(suggested) == 4 and {name[0] for name in suggested} < set("efg"), "both sides of two patients"
    for name in suggested:
        label(name, pool[name])
    test = ("--test_list", out / "test_list.txt")
    assert front("new", data, "--output_dir", tmp_path / "second", *pattern, *test).status == 0
    again = ("suggest", tmp_path / "second", "--count", 1, *quick, "--ckpt_path", tmp_path / "run" / "model.pt")
    warned = front(*again, "--labeled_list", "f_L", "--output_dir", tmp_path / "out2").out
    assert "note: the weights were trained on labels of 3 cases of the pool" in warned
    checked = front("check", tmp_path / "second", "--labeled_list", out / "labeled_list.txt", *quick)
    assert checked.status == 0, checked.err
    assert "labelled 7 (5 patients)" in checked.out
    assert "test 1 (1 patient)" in checked.out
