"""Both commands with real trainings of a few iterations."""

import csv
import json
import signal
import time

import numpy as np
import pytest
import torch

from monai_supmix.files import sha256
from monai_supmix.listing import read_json
from tests import forked
from tests.experiments.conftest import TINY
from tests.own_data.folders import write_pair

pytestmark = pytest.mark.slow
QUICK = ("--network_def#features", "[4,4,4,4,4,4]", "--device", "cpu", "--amp", "false")


@pytest.fixture
def mine(front, tmp_path):
    """A bundle of one's own: two pictures of each of four patients, and an unlabelled one."""
    random = np.random.default_rng(0)
    for patient in "abcd":
        for side in "LR":
            truth = np.zeros((40, 40), np.uint8)
            truth[10:20, 10:30] = 1
            write_pair(tmp_path / "data", f"{patient}_{side}", random.integers(0, 100, (40, 40)) + 100 * truth, truth)
    write_pair(tmp_path / "data", "e_L", random.integers(0, 255, (40, 40)))
    status, _, errors = front(
        "new", tmp_path / "data", "--output_dir", tmp_path / "mine", "--group_pattern", "^([a-e])_"
    )
    assert status == 0, errors
    return tmp_path / "mine"


def test_folds_of_a_bundle_of_ones_own(mine, front, tmp_path):
    out = tmp_path / "out"
    short = ("--max_iterations", 2, *QUICK, "--output_dir")
    command = ("run", mine, "train", "--method", "supervised", *short, out)
    assert "the labels are of 3 patients: give 2 to 3" in front(*command, "--folds", 4)[2]
    assert front(*command, "--folds", 3, "--fold", 1)[0] == 0
    assert not (mine / "last_run.json").exists()  # a fold is not what the bundle predicts with
    status, _, errors = front(*command, "--folds", 3)
    assert status == 0, errors
    assert read_json(mine / "last_run.json") == {"run_dir": str(out.resolve())}
    rows = list(csv.DictReader((out / "3_folds" / "cases.csv").open(encoding="utf-8")))
    assert len(rows) == 6 and len({(row["fold"], row["group"]) for row in rows}) == 3
    for number in (1, 2, 3):  # each fold's own evaluation says the same of its cases
        own = list(csv.DictReader((out / "3_folds" / f"fold_{number}" / "cases.csv").open(encoding="utf-8")))
        of_fold = [{k: v for k, v in row.items() if k in own[0]} for row in rows if row["fold"] == str(number)]
        assert of_fold == own
    digests = {sha256(path) for path in (*out.glob("3_folds/*/model.safetensors"), out / "model.safetensors")}
    assert len(digests) == 4  # of other cases each
    # the final model is that of the same training without folds
    assert front(*command[:-1], tmp_path / "plain")[0] == 0
    plain, final = (torch.load(path / "model.pt", weights_only=False) for path in (tmp_path / "plain", out))
    assert all(torch.equal(plain[name], final[name]) for name in plain)
    status, again, errors = front(*command, "--folds", 3)
    assert status == 0, errors
    assert again.count(": finished") == 3
    # the networks of the folds predict together, also as the bundle's own
    picture = tmp_path / "data" / "images" / "e_L.png"
    predict = ("predict", mine, picture, *QUICK, "--output_dir", tmp_path / "masks")
    assert front(*predict, "--ckpt_path", out / "3_folds")[0] == 0
    record = read_json(tmp_path / "masks" / "e_L_seg.json")
    assert sorted(record["weights_sha256"]) == sorted(sha256(path) for path in out.glob("3_folds/*/model.pt"))
    assert front("install", out / "3_folds", mine)[0] == 0
    status, kept, errors = front(*predict)
    assert status == 0 and "0 masks written, 1 was there already" in kept + errors
    _, _, errors = front(*command, "--folds", 2, "--burn_in", 0.5)
    assert "belongs to a training with other settings (burn_in was 0.7, is 0.5): give another --output_dir" in errors
    longer = [3 if word == 2 else word for word in command]
    assert "total_iterations was 2, is 3" in front(*longer, "--folds", 2)[2]
    assert not (out / "2_folds").exists()


def test_a_killed_comparison_goes_on_to_the_same_figures(chest, front, tmp_path):
    words = ["compare", "covid19_ct_supmix", *TINY, "--methods", "supervised", "supmix", "--seeds", "0"]
    words += ["--folds", "2", "--max_iterations", "6", "--save_interval", "2", "--num_workers", "0"]
    words += ["--dataset_dir", str(chest)]
    out = tmp_path / "killed"
    arguments = [*words, "--output_dir", str(out)]
    for wanted in ("supervised-seed0-fold1-*", "supmix-seed0-fold2-*"):
        process = forked.start_python(["-m", "monai_supmix", *arguments], tmp_path / "log.txt")
        while not list(out.glob(f"runs/{wanted}/checkpoints/*.pt")):
            assert process.is_alive(), (tmp_path / "log.txt").read_text(encoding="utf-8")
            time.sleep(0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    assert front(*arguments)[0] == 0
    assert front(*words, "--output_dir", tmp_path / "alone")[0] == 0
    tables = [list(csv.DictReader((path / "cases.csv").open(encoding="utf-8"))) for path in (out, tmp_path / "alone")]
    killed, alone = ([row for row in table if row["steps"] == "6"] for table in tables)
    assert killed == alone and len(killed) == 2 * 6
    found = json.loads((out / "comparison.json").read_text(encoding="utf-8"))
    assert found["verdict"].startswith("Too little to tell the methods apart: 1 seed")
    assert [row["seconds"] > 0 for row in found["rows"]] == [True] * len(found["rows"])
