"""What `check` refuses, training refuses too, before it writes anything; broken cases can be left out."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from monai_supmix.config.find import find_bundle
from monai_supmix.handlers.preemption import PREEMPTED_STATUS
from tests import forked
from tests.cli.test_data_mistakes import RUN


def duplicate(chest):
    shutil.copy(chest / "imagesTs" / "chest_006_0000.nii.gz", chest / "imagesTr" / "chest_004_0000.nii.gz")


def shared_patient(chest):
    record = json.loads((chest / "dataset.json").read_text(encoding="utf-8"))
    record["patients"]["chest_006"] = record["patients"]["chest_004"]
    (chest / "dataset.json").write_text(json.dumps(record), encoding="utf-8")


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
        (shared_patient, (), "1 patient is on two sides of the split: patient_004"),
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


FUNDUS = ("run", "chase_supmix", "train", "--num_labeled", 2, "--max_iterations", 1, "--device", "cpu")


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        (
            "--burn_in 1.5",
            "error: SemiSupervisedTrainer: burn_in is a share of the training in [0, 1), not 1.5",
        ),
        ("--optimizer#lr -1", "error: AdamW: Invalid learning rate: -1: correct this setting"),
        ("--optimizer#betas [2,3]", "error: AdamW: Invalid beta parameter at index 0: 2: correct this setting"),
        ("--mixing#prob 2", "error: SupMix: prob must be in [0, 1], got 2: correct this setting"),
        ("--amp fp16", "error: SemiSupervisedTrainer: amp='fp16' needs a GPU"),
        ("--crop_size [100,100]", "error: crop_size: is [100, 100], and the networks take crops of 2 whole numbers"),
        ("--crop_size [32]", "error: crop_size: is [32], "),
        ("--crop_size [32,32,32]", "error: crop_size: is [32, 32, 32], "),
        ("--crop_size [32,32.5]", "error: crop_size: is [32, 32.5], "),
        ("--crop_size [32,32] --discriminator_widths [4,4,4,4,4]", "multiples of 32 and at least 64: give such a size"),
    ],
)
def test_settings_that_cannot_be_trained_are_refused(setting, says, fundus, refused, tmp_path):
    refused(*FUNDUS, *setting.split(), "--dataset_dir", fundus, "--output_dir", tmp_path / "out", says=says)


def test_a_setting_that_a_method_does_not_use_is_told(chest, front, tmp_path, caplog):
    arguments = (*RUN, "--dataset_dir", chest, "--class_weights", "[1,2,3,4]")
    told = "--class_weights has no effect: supervised.json leaves out what uses it"
    assert front(*arguments, "--output_dir", tmp_path / "supervised", "--method", "supervised").status == 0
    assert told in caplog.messages
    caplog.clear()
    assert front(*arguments, "--output_dir", tmp_path / "supmix", "--method", "supmix").status == 0
    assert told not in caplog.messages


def test_crops_of_volumes_are_refused_as_those_of_planes(chest, refused, tmp_path):
    arguments = [*RUN, "--preset", "volume3d", "--dataset_dir", chest, "--output_dir", tmp_path / "out"]
    arguments[arguments.index("--crop_size") + 1] = "[8,36,32]"
    refused(*arguments, says="error: crop_size: is [8, 36, 32], and the networks take crops of 3 whole numbers")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("file", "file: is a file, not a folder: choose another --output_dir"),
        ("file/out", "out: cannot be written, its folder does not exist"),
        ("folder", "folder/.lock: cannot be written, the system refused"),
    ],
)
def test_an_output_folder_that_cannot_be_written_to(name, says, fundus, refused, tmp_path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "folder" / ".lock").mkdir(parents=True)
    small = ("--crop_size", "[32, 32]", "--dataset_dir", fundus)
    refused(*FUNDUS, *small, "--output_dir", tmp_path / name, says=says)


def test_under_monai_a_refused_setting_is_the_last_line(fundus, tmp_path):
    bundle = find_bundle("chase_supmix")
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", str(bundle / "configs" / "train.json")]
    command += ["--bundle_root", str(bundle), "--dataset_dir", str(fundus), "--output_dir", str(tmp_path / "out")]
    command += ["--num_labeled", "2", "--device", "cpu", "--burn_in", "1.5"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode not in (0, None)
    assert ended.stderr.splitlines()[-1].startswith("error: SemiSupervisedTrainer: burn_in is a share")
    assert not (tmp_path / "out").exists()


def test_broken_cases_can_be_left_out_and_end_in_status_1(chest, front, tmp_path):
    (chest / "imagesTr" / "chest_004_0000.nii.gz").write_bytes(b"")
    out = tmp_path / "out"
    ended = front(*RUN, "--dataset_dir", chest, "--output_dir", out, "--on_error", "skip")
    assert ended.status == 1, ended
    assert "left out" in ended.out + ended.err and "chest_004" in ended.out + ended.err
    assert (out / "model.pt").is_file()
    notes = json.loads((out / "history.json").read_text(encoding="utf-8"))
    assert "1 broken case was left out: chest_004" in json.dumps(notes)


@pytest.mark.slow
def test_a_signal_to_all_its_processes_ends_in_status_75_without_orphans(chest, tmp_path):
    """As `timeout` or a scheduler sends it: to the loader's workers, too."""
    out = tmp_path / "out"
    arguments = [str(part) for part in RUN]
    arguments[arguments.index("--max_iterations") + 1] = "100000"
    command = ["-m", "monai_supmix", *arguments, "--dataset_dir", chest, "--output_dir", out]
    command += ["--num_workers", "2", "--save_interval", "1"]
    process = forked.start_python(command, tmp_path / "log", session=True)
    deadline = time.monotonic() + 120
    while not list(out.glob("checkpoints/*.pt")) and time.monotonic() < deadline:
        assert process.is_alive(), (tmp_path / "log").read_text(encoding="utf-8")
    os.killpg(process.pid, signal.SIGTERM)
    process.join(timeout=60)
    assert process.exitcode == PREEMPTED_STATUS
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of its session is left
    last = (tmp_path / "log").read_text(encoding="utf-8").splitlines()[-1]
    assert "stopped by a signal after iteration" in last and "of 100000; --resume auto goes on there" in last
