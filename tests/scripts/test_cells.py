"""Cells as they are trained, evaluated and kept."""

import csv
import json
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import reproduce
import torch
from ignite.engine import Events
from reproduction import worker
from reproduction.store import Store

from monai_supmix.engines import SemiSupervisedTrainer
from monai_supmix.errors import InputError
from monai_supmix.handlers.preemption import Preempted
from monai_supmix.metrics import iou
from tests.scripts.cells import TINY, cell, experiment, key

LENGTH = 40
OPTIONS = [word for name, text in TINY.items() for word in (f"--{name}", text)]


def run_cell(store, data, one, **more):
    """Run a cell in this process."""
    store.prepare()
    worker.run_cell(experiment(**more), one, key(one, **more), str(data), store)
    return store.finished(one)


@pytest.fixture(scope="module")
def finished(phantoms, tmp_path_factory):
    """A finished cell and its folder."""
    torch.set_num_threads(1)
    store = Store(tmp_path_factory.mktemp("out"))
    return run_cell(store, phantoms["chase_supmix"], cell()), store


def test_a_finished_cell_has_its_figures_case_by_case(finished):
    one, _ = finished
    assert one.key == key(cell())
    assert one.record["labeled"] == ["Image_05R", "Image_01R"]
    assert one.groups == tuple(case[6:8] for case in one.cases)
    assert one.counts.shape == (8, 2, 3)
    summed = iou(one.counts.sum(axis=0))
    assert summed.tolist() == [one.metrics["classes"][name]["iou"] for name in one.class_names]


def test_a_finished_cell_is_small_and_names_no_path_of_this_machine(finished, phantoms):
    one, store = finished
    files = {path.name: path.read_text() for path in (store.cells / one.cell.name).iterdir()}
    assert set(files) == {"metrics.json", "cases.csv", "cell.json"}
    for text in files.values():
        assert str(store.out) not in text
        assert str(phantoms["chase_supmix"]) not in text
        assert len(text) < 20_000
    left = store.run_folder(one.cell, one.key)
    assert [path.name for path in left.iterdir()] == ["predictions.npz"]
    with np.load(left / "predictions.npz") as predictions:
        assert sorted(predictions) == sorted(one.cases)
        assert {predictions[case].shape for case in one.cases} == {(96, 100)}
    assert (store.runs / ".gitignore").read_text() == "*\n"


def test_results_have_a_row_for_each_class_and_the_mean(finished):
    one, store = finished
    store.write_results(experiment(), [one])
    rows = list(csv.DictReader((store.out / "results.csv").open()))
    assert ",".join(rows[0]) == "bundle,method,num_labeled,seed,class,iou,dice,seconds,config_hash"
    assert [row["class"] for row in rows] == ["background", "vessel", "mean"]
    assert [float(row["iou"]) for row in rows] == pytest.approx(
        [*(one.metrics["classes"][name]["iou"] for name in one.class_names), one.metrics["mean_iou"]], abs=1e-6
    )
    assert {row["config_hash"] for row in rows} == {key(cell()).hash}


def test_a_cell_stopped_in_its_training_goes_on_to_the_same_figures(finished, phantoms, tmp_path, monkeypatch):
    store = Store(tmp_path)
    make = SemiSupervisedTrainer.run

    def stop(trainer):
        trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda: os.kill(os.getpid(), signal.SIGTERM))
        return make(trainer)

    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(SemiSupervisedTrainer, "run", stop)
        run_cell(store, phantoms["chase_supmix"], cell())
    assert store.finished(cell()) is None
    again = run_cell(store, phantoms["chase_supmix"], cell())
    assert np.array_equal(again.counts, finished[0].counts)
    assert again.record["seconds"] > 0


def test_damaged_files_are_named(finished, tmp_path):
    one, store = finished
    copy = Store(tmp_path)
    copy.prepare()
    copy.add(one.cell, one.key, store.cells / one.cell.name, {"groups": {}})
    path = copy.cells / one.cell.name / "cases.csv"
    path.write_text(path.read_text().replace("vessel_tp", "other"))
    with pytest.raises(InputError, match="is damaged"):
        copy.all_finished()


def test_cells_of_other_code_or_settings_are_found(finished, tmp_path, capsys):
    one, store = finished
    copy = Store(tmp_path)
    copy.prepare()
    experiment().claim(tmp_path)
    copy.add(one.cell, one.key, store.cells / one.cell.name, {**one.record, **one.cell.as_dict()})
    assert reproduce.main(["--check", "--out", str(tmp_path)]) == 0
    path = copy.cells / one.cell.name / "cell.json"
    record = json.loads(path.read_text())
    record["sources"]["losses.sufd"] = "00000000"
    path.write_text(json.dumps(record))
    assert reproduce.main(["--check", "--out", str(tmp_path)]) == 1
    assert "stale: supmix_sufd-2labeled-seed0: losses.sufd.py has changed" in capsys.readouterr().out


def test_other_data_than_that_of_finished_cells_is_refused(finished, phantoms, tmp_path, capsys):
    one, store = finished
    copy = Store(tmp_path)
    copy.prepare()
    others = {**one.record, **one.cell.as_dict()}
    copy.add(one.cell, one.key, store.cells / one.cell.name, others)
    path = copy.cells / one.cell.name / "cases.csv"
    path.write_text(path.read_text().replace("Image_14R", "Image_99R"))
    words = ["--bundle", "chase_supmix", "--num-labeled", "2", "--max-iterations", "2", *OPTIONS]
    assert reproduce.main([*words, "--data", str(phantoms["chase_supmix"]), "--out", str(tmp_path)]) == 2
    assert "has other test images than those of the finished cell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bundle", "chase_supmx", "--num-labeled", "2"], "error: chase_supmx: is no bundle: did you mean chase_"),
        (["--bundle", "chase_supmix"], "error: --num-labeled: is missing"),
        (["--bundle", "chase_supmix", "--num-labeled", "0"], "error: command line: argument --num-labeled: '0' is no"),
        (["--bundle", "chase_supmix", "--num-labeled", "2", "--methods", "x"], "error: x: is no method"),
        (["--bundle", "chase_supmix", "--num-labeled", "2", "--max_itertions", "2"], "error: --max_itertions: is no"),
        (["--bundle", "chase_supmix", "--num-labeled", "2", "--seed", "2"], "error: --seed: is set for each cell"),
        (["--bundle", "chase_supmix", "--num-labeled", "2", "--data", "/no"], "error: --data: /no does not exist"),
        (["--bundle", "chase_supmix", "--num-labeled", "2", "--data", "."], "error: /"),
        (
            ["--bundle", "covid19_ct_supmix", "--num-labeled", "2", "--labeled_seed", "x"],
            "error: --labeled_seed: is 'x'",
        ),
        (["--check"], "error: "),
    ],
)
def test_mistakes_end_in_one_line(arguments, told, tmp_path, capsys, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert reproduce.main([*arguments, "--out", str(tmp_path / "out")]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(told)
    assert not (tmp_path / "out").exists()


def arguments(data, out):
    """A command of one cell that takes a few seconds."""
    words = ["--bundle", "chase_supmix", "--data", data, "--num-labeled", 2, "--seeds", 0, "--methods", "supmix_sufd"]
    return [*map(str, [*words, "--out", out, "--max-iterations", LENGTH, "--save_interval", 2]), *OPTIONS]


def newest_checkpoint(out):
    """The iteration of a folder's newest checkpoint, 0 without one."""
    found = out.glob("runs/*/output/checkpoints/checkpoint_iteration=*.pt")
    return max((int(path.stem.split("=")[1]) for path in found), default=0)


def wait_for(found, going_on=lambda: True):
    """Wait until something is there, as long as there is hope."""
    while not (result := found()):
        assert going_on()
        time.sleep(0.02)
    return result


def workers_of(out):
    """Ids of the processes that run cells for a folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"reproduction.worker" in words and str(out).encode() in b"".join(words):
            found.append(int(path.parent.name))
    return found


@pytest.mark.slow
def test_killed_anywhere_the_command_ends_with_the_same_results(phantoms, tmp_path, capsys):
    """The command killed in the middle of a cell, then the cell's own process: figures as if left alone."""
    data, out, alone = phantoms["chase_supmix"], tmp_path / "killed", Store(tmp_path / "alone")
    command = multiprocessing.get_context("fork").Process(target=reproduce.main, args=(arguments(data, out),))
    command.start()
    reached = wait_for(lambda: newest_checkpoint(out), command.is_alive)
    command.kill()
    command.join()
    assert command.exitcode == -signal.SIGKILL
    wait_for(lambda: not workers_of(out))  # nobody goes on behind the user's back

    over = threading.Event()

    def kill_worker():
        wait_for(lambda: newest_checkpoint(out) > reached + 2, lambda: not over.is_set())
        os.kill(workers_of(out)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_worker)
    killer.start()
    try:
        assert reproduce.main(arguments(data, out)) == 0
    finally:
        over.set()
        killer.join()
    assert "its process was ended from outside (signal SIGKILL); going on" in capsys.readouterr().out
    again = Store(out).finished(cell())
    uninterrupted = run_cell(alone, data, cell(), max_iterations=LENGTH)
    assert np.array_equal(again.counts, uninterrupted.counts)
    assert again.metrics == uninterrupted.metrics  # with the hash of the weights
    assert workers_of(out) == []
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        "experiment.json", "results.csv", "table.md", "figure.png", "figure.pdf"
    }  # fmt: skip
