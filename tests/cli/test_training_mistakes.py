"""What `check` refuses, training refuses too, before it writes anything; broken cases can be left out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from monai_supmix.handlers.preemption import PREEMPTED_STATUS
from tests.cli.test_data_mistakes import RUN


def duplicate(chest):
    shutil.copy(chest / "imagesTs" / "chest_006_0000.nii.gz", chest / "imagesTr" / "chest_004_0000.nii.gz")


def shared_patient(chest):
    record = json.loads((chest / "dataset.json").read_text())
    record["patients"]["chest_006"] = record["patients"]["chest_004"]
    (chest / "dataset.json").write_text(json.dumps(record))


def empty_masks(chest):
    shutil.rmtree(chest / "labelsTr")
    (chest / "labelsTr").mkdir()


def empty_pool(chest):
    for number in (4, 5):
        (chest / "imagesTr" / f"chest_{number:03d}_0000.nii.gz").unlink()


@pytest.mark.parametrize(
    ("damage", "more", "says"),
    [
        (duplicate, (), "holds the same image as"),
        (shared_patient, (), "are on two sides of the split: patient_004"),
        (empty_masks, (), "images are asked for and 0 are available"),
        (empty_pool, ("--num_labeled", 3), "needs unlabelled images and there are none"),
    ],
)
def test_data_that_would_mislead_is_refused(damage, more, says, chest, refused, tmp_path):
    damage(chest)
    arguments = [*RUN]
    if more:
        arguments[arguments.index("--num_labeled") : arguments.index("--num_labeled") + 2] = more
    refused(*arguments, "--dataset_dir", chest, "--output_dir", tmp_path / "out", says=says)


def test_broken_cases_can_be_left_out_and_end_in_status_1(chest, front, tmp_path):
    (chest / "imagesTr" / "chest_004_0000.nii.gz").write_bytes(b"")
    out = tmp_path / "out"
    ended = front(*RUN, "--dataset_dir", chest, "--output_dir", out, "--on_error", "skip")
    assert ended.status == 1, ended
    assert "left out" in ended.out + ended.err and "chest_004" in ended.out + ended.err
    assert (out / "model.pt").is_file()
    notes = json.loads((out / "history.json").read_text())
    assert "1 broken cases were left out: chest_004" in json.dumps(notes)


@pytest.mark.slow
def test_a_signal_ends_in_status_75_without_orphans(chest, tmp_path):
    out = tmp_path / "out"
    arguments = [str(part) for part in RUN]
    arguments[arguments.index("--max_iterations") + 1] = "100000"
    command = [sys.executable, "-m", "monai_supmix", *arguments, "--dataset_dir", str(chest), "--output_dir", str(out)]
    process = subprocess.Popen([*command, "--num_workers", "2", "--save_interval", "1"], start_new_session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/*.pt")) and time.monotonic() < deadline:
        assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == PREEMPTED_STATUS
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of its session is left
