"""A run that was stopped anywhere ends with the same bits as one that never stopped."""

import os
import signal
import subprocess
import sys

import pytest
from ignite.engine import Events

from monai_supmix.bundle.lock import exclusive
from monai_supmix.errors import InputError
from monai_supmix.handlers.preemption import PREEMPTED_STATUS, Preempted
from monai_supmix.phantoms import write_fundus_phantom
from tests.bundles.workflows import TINY, run, workflow

ITERATIONS = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fundus")
    write_fundus_phantom(folder, size=(96, 100))
    return folder


def override(data, output, **more):
    return {
        "dataset_dir": str(data), "output_dir": str(output), "crop_size": [64, 64], "resume": "auto",
        "max_iterations": ITERATIONS, "log_interval": 3, **TINY, **more,
    }  # fmt: skip


def results(folder):
    """Final weights, and the last checkpoint with optimizers, discriminator and history."""
    newest = sorted((folder / "checkpoints").iterdir())[-1]
    return (folder / "model.pt").read_bytes(), newest.read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("uninterrupted")
    run("chase_supmix", "train", **override(data, folder))
    return results(folder)


@pytest.mark.parametrize("stop", range(1, ITERATIONS))
def test_a_signal_at_any_iteration_and_resume_give_the_same_bits(stop, data, uninterrupted, tmp_path):
    flow = workflow("chase_supmix", "train", **override(data, tmp_path))
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_STARTED(once=stop), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted) as caught:
        flow.run()
    assert caught.value.code == PREEMPTED_STATUS == 75
    assert trainer.state.iteration == stop
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    run("chase_supmix", "train", **override(data, tmp_path, num_workers=stop % 3))
    assert results(tmp_path) == uninterrupted


def test_the_figures_of_an_epochs_end_are_in_the_checkpoint_of_its_last_iteration(data, tmp_path):
    """Validation and the look at pseudo-labels happen at that iteration, so a resumed run does not lack them."""
    often = {"unlabeled_batch_size": 8, "num_val_patients": 1, "val_interval": 1, "max_iterations": 4}
    folders = tmp_path / "whole", tmp_path / "resumed"
    run("chase_supmix", "train", **override(data, folders[0], **often))
    flow = workflow("chase_supmix", "train", **override(data, folders[1], **often))
    flow.initialize()
    history, trainer = (flow.parser.get_parsed_content(name) for name in ("history", "train#trainer"))
    assert trainer.state.epoch_length == 2
    trainer.add_event_handler(Events.ITERATION_STARTED(once=2), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted):
        flow.run()
    run("chase_supmix", "train", **override(data, folders[1], **often))
    assert results(folders[0]) == results(folders[1])
    assert [row["iteration"] for row in history.validation_rows] == [2]
    assert [row["iteration"] for row in history.pseudo_label_rows] == [2]


def test_a_truncated_newest_checkpoint_costs_one_interval(data, uninterrupted, tmp_path):
    run("chase_supmix", "train", **override(data, tmp_path, save_interval=2))
    newest = sorted((tmp_path / "checkpoints").iterdir())[-1]
    newest.write_bytes(newest.read_bytes()[:1000])
    run("chase_supmix", "train", **override(data, tmp_path, save_interval=2))
    assert results(tmp_path) == uninterrupted


def test_other_settings_are_refused_and_named(data, tmp_path):
    run("chase_supmix", "train", **override(data, tmp_path))
    with pytest.raises(RuntimeError) as caught:
        run("chase_supmix", "train", **override(data, tmp_path, sufd_weight=0.5))
    assert isinstance(caught.value.__cause__, InputError)
    assert "sufd_weight was 0.01, is 0.5" in str(caught.value.__cause__)
    deep = {"strong_augmentation#transforms#0#brightness": 0.25, "crop_size": [32, 32]}
    with pytest.raises(RuntimeError) as caught:
        run("chase_supmix", "train", **override(data, tmp_path) | deep)
    assert "brightness" in str(caught.value.__cause__)
    assert "crop_size" in str(caught.value.__cause__)
    run("chase_supmix", "train", **override(data, tmp_path, sufd_weight=0.5) | {"resume": "force"})


def test_two_runs_cannot_share_a_folder(data, tmp_path):
    with exclusive(tmp_path), pytest.raises(RuntimeError) as caught:
        run("chase_supmix", "train", **override(data, tmp_path))
    assert "another run writes to this folder" in str(caught.value.__cause__)


@pytest.mark.slow
def test_killed_three_times(tmp_path):
    command = [sys.executable, "-m", "tests.e2e.kill_harness", "--kills", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "killed 3 times" in done.stdout
