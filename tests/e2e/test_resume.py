"""A run that was stopped anywhere ends with the same bits as one that never stopped."""

import os
import shutil
import signal

import nibabel as nib
import numpy as np
import pytest
from ignite.engine import Events

from monai_supmix.bundle.lock import exclusive
from monai_supmix.errors import InputError
from monai_supmix.handlers.checkpoints import read_checkpoint
from monai_supmix.handlers.preemption import PREEMPTED_STATUS, Preempted
from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom
from monai_supmix.transforms import SupMix
from tests import forked
from tests.bundles.workflows import TINY, run, workflow
from tests.saved_states import saved_state

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
    return (folder / "model.pt").read_bytes(), saved_state(newest)


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
    training, trainer = (flow.parser.get_parsed_content(name) for name in ("training", "train#trainer"))
    assert trainer.state.epoch_length == 2
    trainer.add_event_handler(Events.ITERATION_STARTED(once=2), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted):
        flow.run()
    run("chase_supmix", "train", **override(data, folders[1], **often))
    assert results(folders[0]) == results(folders[1])
    assert [row["iteration"] for row in training.history.validation_rows] == [2]
    assert [row["iteration"] for row in training.history.pseudo_label_rows] == [2]


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


SGD = {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.01, "momentum": 0.9}


def chest(data, output, **more):
    return {
        "dataset_dir": str(data), "output_dir": str(output), "crop_size": [32, 32], "resume": "auto", **TINY,
        "max_iterations": 1, "num_labeled": 2, "num_workers": 0, "working": {"size": [32, 32]}, "optimizer": dict(SGD),
        "recalibration": None, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def chest_data(tmp_path_factory):
    return write_chest_ct_phantom(tmp_path_factory.mktemp("chest"), num_unlabeled=2, num_test=1, size=(32, 32, 4))


@pytest.fixture(scope="module")
def one_iteration(chest_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    run("covid19_ct_supmix", "train", **chest(chest_data, folder))
    return folder


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"loading#axis": "coronal"}, "loading#axis was '(not set)', is 'coronal'"),
        ({"train#trainer#sufd_input": "logits"}, "train#trainer#sufd_input was '(not set)', is 'logits'"),
        ({"optimizer#momentum": 0.5}, "optimizer#momentum was 0.9, is 0.5"),
        ({"weak_augmentation#transforms#1#rotation": 0.1}, "weak_augmentation#transforms#1#rotation was 0.5, is 0.1"),
        ({"max_iterations": 2}, "total_iterations was 1, is 2"),
        ({"labeled_seed": 1}, "labeled_seed was 0, is 1"),
    ],
)
def test_whatever_can_change_the_weights_is_refused_by_its_id(change, says, chest_data, one_iteration):
    with pytest.raises(RuntimeError) as caught:
        run("covid19_ct_supmix", "train", **chest(chest_data, one_iteration) | change)
    assert isinstance(caught.value.__cause__, InputError)
    assert says in str(caught.value.__cause__)


def test_an_image_or_a_label_replaced_in_place_is_refused_by_its_name(chest_data, one_iteration, tmp_path):
    data = tmp_path / "moved"
    shutil.copytree(chest_data, data)
    run("covid19_ct_supmix", "train", **chest(data, one_iteration))  # only moved
    used = read_checkpoint(next((one_iteration / "checkpoints").iterdir()))["config"]["data"]
    one, other = used["labeled"][0], used["unlabeled"][0]
    files = data / "labelsTr" / f"{one}.nii.gz", data / "imagesTr" / f"{other}_0000.nii.gz"
    for old in map(nib.load, files):
        array = np.asarray(old.dataobj).copy()
        array[0, 0, 0] += 1
        nib.save(nib.Nifti1Image(array, old.affine, old.header), old.get_filename())
    with pytest.raises(RuntimeError) as caught:
        run("covid19_ct_supmix", "train", **chest(data, one_iteration))
    told = str(caught.value.__cause__)
    assert f"data#files#{one}#label was '{files[0].name} (" in told
    assert f"data#files#{other}#image was '{files[1].name} (" in told
    assert told.count(" was ") == 2


def test_what_cannot_change_the_weights_may_be_another(chest_data, one_iteration, tmp_path, monkeypatch):
    """Nor does a checkpoint mind what classes are called now: it holds what the configuration says."""
    renamed = type("Renamed", (SupMix,), {"__module__": "somewhere.else"})
    monkeypatch.setattr("monai_supmix.transforms.SupMix", renamed)
    shutil.copytree(one_iteration, tmp_path / "elsewhere")
    other = {"num_workers": 1, "log_interval": 3, "device": "cpu:0", "save_interval": 7, "val_interval": 2}
    run("covid19_ct_supmix", "train", **chest(chest_data, tmp_path / "elsewhere") | other)
    weights = [(folder / "model.pt").read_bytes() for folder in (one_iteration, tmp_path / "elsewhere")]
    assert weights[0] == weights[1]


def test_a_schedule_is_not_stepped_twice(data, tmp_path):
    again = {"_target_": "monai.handlers.LrScheduleHandler", "lr_scheduler": "@lr_scheduler"}
    with pytest.raises(RuntimeError) as caught:
        run("chase_supmix", "train", **override(data, tmp_path) | {"train#handlers": [again]})
    assert "leave the LrScheduleHandler out" in str(caught.value.__cause__)
    assert not list(tmp_path.iterdir())


def test_a_schedule_that_waits_for_a_figure_is_refused(data, tmp_path):
    waiting = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "optimizer": "@optimizer"}
    flow = workflow("chase_supmix", "train", **override(data, tmp_path))
    flow.parser.update({"lr_scheduler": waiting})
    with pytest.raises(RuntimeError) as caught:
        flow.initialize()
        flow.run()
    assert "lr_scheduler: is a ReduceLROnPlateau" in str(caught.value.__cause__)


def test_two_runs_cannot_share_a_folder(data, tmp_path):
    with exclusive(tmp_path), pytest.raises(RuntimeError) as caught:
        run("chase_supmix", "train", **override(data, tmp_path))
    assert "another run writes to this folder" in str(caught.value.__cause__)


@pytest.mark.slow
def test_killed_three_times(tmp_path):
    log = tmp_path / "log.txt"
    process = forked.start_python(["-m", "tests.e2e.kill_harness", "--kills", "3"], log)
    process.join()
    printed = log.read_text(encoding="utf-8")
    assert process.exitcode == 0, printed
    assert "killed 3 times" in printed
