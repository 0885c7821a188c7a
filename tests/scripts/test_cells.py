"""Cells as they are trained, evaluated and kept."""

import csv
import dataclasses
import gzip
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
from reproduction.commit import current_commit
from reproduction.configuration import Configuration
from reproduction.schedule import Schedule
from reproduction.store import Store
from reproduction.table import make_table

from monai_supmix.engines import SemiSupervisedTrainer
from monai_supmix.files import sha256
from monai_supmix.handlers.preemption import Preempted
from monai_supmix.metrics import iou
from tests import forked
from tests.scripts.cells import TINY, cell, configuration, experiment

LENGTH = 40
OPTIONS = [word for name, text in TINY.items() for word in (f"--{name}", text)]


def run_cell(store, data, one, **more):
    """Run a cell in this process."""
    of = experiment(**more)
    store.prepare(of)
    worker.run_cell(of, one, configuration(one, of), str(data), store)
    store.take(of, one, configuration(one, of), keep=False)
    return store.evidence.of(one)


@pytest.fixture(scope="module")
def finished(phantoms, tmp_path_factory):
    """A finished cell and its folder."""
    torch.set_num_threads(1)
    store = Store(tmp_path_factory.mktemp("out"))
    return run_cell(store, phantoms["chase_supmix"], cell()), store


def test_a_finished_cell_has_its_figures_case_by_case(finished):
    one, _ = finished
    assert one.configuration == configuration(cell())
    assert one.record["config_hash"] == configuration(cell()).hash
    assert set(one.record["versions"]) >= {"monai", "torch"}
    assert one.record["commit"] == current_commit()
    assert one.record["labeled"] == ["Image_05R", "Image_01R"]
    assert one.groups == tuple(case[6:8] for case in one.cases)
    assert one.counts.shape == (8, 2, 3)
    summed = iou(one.counts.sum(axis=0))
    assert summed.tolist() == [one.metrics["classes"][name]["iou"] for name in one.class_names]


def test_a_cell_of_several_networks_is_their_mean_and_its_first_network_that_of_a_single_one(
    finished, phantoms, tmp_path
):
    single, _ = finished
    store, of = Store(tmp_path), experiment(networks=2)
    store.prepare(of)
    one = configuration(cell(), of)
    assert one.hash != single.configuration.hash and {"networks": 2}.items() <= one.train.items()
    worker.run_cell(of, cell(), one, str(phantoms["chase_supmix"]), store)
    folders = [store.run_folder(cell(), one) / "output" / f"network_{number}" for number in (0, 1)]
    store.take(of, cell(), one, keep=True)
    both = store.evidence.of(cell())
    hashes = [sha256(folder / "model.pt") for folder in folders]
    assert both.record["weights_sha256"] == sorted(hashes)
    assert hashes[0] == single.record["weights_sha256"] != hashes[1]
    assert both.record["labeled"] == single.record["labeled"]
    assert store.evidence.experiment() == of
    assert "the mean of 2 networks in each cell" in make_table(of, [both])
    assert "--networks 2" in make_table(of, [both])


def test_a_finished_cell_is_small_and_names_no_path_of_this_machine(finished, phantoms):
    one, store = finished
    files = {path.name: path.read_bytes() for path in (store.evidence.settings, store.evidence.table)}
    files["cases.csv.gz"] = gzip.decompress(files["cases.csv.gz"])
    for content in files.values():
        assert str(store.out).encode() not in content
        assert str(phantoms["chase_supmix"]).encode() not in content
        assert len(content) < 10_000
    left = store.run_folder(one.cell, one.configuration)
    assert [path.name for path in left.iterdir()] == ["predictions.npz"]
    with np.load(left / "predictions.npz") as predictions:
        assert sorted(predictions) == sorted(one.cases)
        assert {predictions[case].shape for case in one.cases} == {(96, 100)}
    assert (store.runs / ".gitignore").read_text(encoding="utf-8") == "*\n"


def test_results_have_a_row_for_each_class_and_the_mean(finished):
    one, store = finished
    store.write_results(experiment(), [one])
    rows = list(csv.DictReader((store.out / "results.csv").open()))
    assert ",".join(rows[0]) == "bundle,method,num_labeled,seed,class,iou,dice,seconds,config_hash"
    assert [row["class"] for row in rows] == ["background", "vessel", "mean"]
    assert [float(row["iou"]) for row in rows] == pytest.approx(
        [*(one.metrics["classes"][name]["iou"] for name in one.class_names), one.metrics["mean_iou"]], abs=1e-6
    )
    assert {row["config_hash"] for row in rows} == {configuration(cell()).hash}


def test_a_cell_stopped_in_its_training_goes_on_to_the_same_figures(finished, phantoms, tmp_path, monkeypatch):
    store = Store(tmp_path)
    make = SemiSupervisedTrainer.run

    def stop(trainer):
        trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda: os.kill(os.getpid(), signal.SIGTERM))
        return make(trainer)

    with monkeypatch.context() as patch, pytest.raises(Preempted):
        patch.setattr(SemiSupervisedTrainer, "run", stop)
        run_cell(store, phantoms["chase_supmix"], cell())
    assert store.evidence.of(cell()) is None
    again = run_cell(store, phantoms["chase_supmix"], cell())
    assert np.array_equal(again.counts, finished[0].counts)
    assert again.record["seconds"] > 0


def command(data, out, *more):
    """The command of a fixture's one cell."""
    words = ["--bundle", "chase_supmix", "--num-labeled", "2", "--methods", "supmix_sufd", "--seeds", "0"]
    return [*words, "--max_iterations", "2", *OPTIONS, "--data", str(data), "--out", str(out), *more]


@pytest.fixture
def copied(finished, tmp_path):
    """A folder with the finished cell, with what is given of it in its place."""

    def copy(**changes):
        one = dataclasses.replace(finished[0], **changes)
        store = Store(tmp_path)
        store.prepare(experiment())
        store.evidence.add(experiment(), one)
        return store

    return copy


def test_a_check_names_cells_of_another_configuration_or_commit(finished, copied, capsys):
    one, _ = finished
    assert reproduce.main(["--check", "--out", str(copied().out)]) == 0
    assert capsys.readouterr().out.startswith("1 of 1 cells")
    settings = Configuration({**one.configuration.train, "optimizer#lr": 0.5}, one.configuration.evaluate)
    store = copied(configuration=settings, record={**one.record, "commit": "0123456789ab"})
    assert reproduce.main(["--check", "--out", str(store.out)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "another configuration: supmix_sufd-2labeled-seed0: optimizer#lr was 0.5, is 0.002"
    assert lines[1] == f"another commit: 0123456789ab, now {current_commit()}: supmix_sufd-2labeled-seed0"
    assert lines[2].startswith("0 of 1 cells")


def test_a_finished_cell_of_another_commit_is_not_run_again(finished, copied, phantoms, monkeypatch):
    store = copied(record={**finished[0].record, "commit": "0123456789ab"})
    monkeypatch.setattr(Schedule, "_start", lambda *_: pytest.fail("a finished cell is run again"))
    assert reproduce.main(command(phantoms["chase_supmix"], store.out)) == 0
    assert "0123456789ab" in store.evidence.settings.read_text(encoding="utf-8")
    assert (store.out / "results.csv").read_text(encoding="utf-8").count("supmix_sufd") == 3


def test_a_finished_cell_of_another_configuration_is_run_again_and_not_shown(finished, copied, phantoms, capsys):
    settings = dataclasses.replace(finished[0].configuration, train={**finished[0].configuration.train, "burn_in": 0.1})
    store = copied(configuration=settings)
    assert reproduce.main(command(phantoms["chase_supmix"], store.out, "--dry-run")) == 0
    assert "again: supmix_sufd-2labeled-seed0: burn_in was 0.1, is 0.7\n" in capsys.readouterr().out
    reproduce._Writer(experiment(), "data", store).write()
    assert (store.out / "results.csv").read_text(encoding="utf-8").count("\n") == 1


def test_a_cell_that_was_handed_over_and_not_taken_is_taken_by_the_next_command(finished, phantoms, tmp_path):
    one, _ = finished
    store = Store(tmp_path)
    store.prepare(experiment())
    store.hand_over(experiment(), one)
    assert store.evidence.of(one.cell) is None
    assert reproduce.main(command(phantoms["chase_supmix"], tmp_path)) == 0
    assert np.array_equal(store.evidence.of(one.cell).counts, one.counts)


def test_other_data_than_that_of_finished_cells_is_refused(finished, copied, phantoms, capsys):
    store = copied(cases=tuple(name.replace("14R", "99R") for name in finished[0].cases))
    assert reproduce.main(command(phantoms["chase_supmix"], store.out)) == 2
    assert "has other test images than those of the finished cell" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--bundle", "chase_supmx", "--num-labeled", "2"], "error: chase_supmx: is not a bundle: did you mean chase_"),
        (["--bundle", "chase_supmix"], "error: --num-labeled: is missing"),
        (
            ["--bundle", "chase_supmix", "--num-labeled", "0"],
            "error: command line: argument --num-labeled/--num_labeled: '0'",
        ),
        (["--bundle", "chase_supmix", "--num-labeled", "2", "--methods", "x"], "error: x: is not a method"),
        (["--bundle", "chase_supmix", "--num_labeled", "2", "--max_itertions", "2"], "error: --max_itertions: is no"),
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
    command = forked.start_python([reproduce.__file__, *arguments(data, out)], tmp_path / "log.txt")
    wait_for(lambda: newest_checkpoint(out), command.is_alive)
    command.kill()
    command.join()
    assert command.exitcode == -signal.SIGKILL
    wait_for(lambda: not workers_of(out))  # nobody goes on behind the user's back
    reached = newest_checkpoint(out)
    assert reached < LENGTH / 2  # or nothing would be left to kill

    over = threading.Event()

    def kill_worker():
        wait_for(lambda: workers_of(out) and newest_checkpoint(out) > reached + 2, lambda: not over.is_set())
        os.kill(workers_of(out)[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_worker)
    killer.start()
    try:
        assert reproduce.main(arguments(data, out)) == 0
    finally:
        over.set()
        killer.join()
    assert "its process was ended from outside (signal SIGKILL); going on" in capsys.readouterr().out
    again = Store(out).evidence.of(cell())
    uninterrupted = run_cell(alone, data, cell(), max_iterations=LENGTH)
    assert np.array_equal(again.counts, uninterrupted.counts)
    assert again.record["weights_sha256"] == uninterrupted.record["weights_sha256"]
    assert workers_of(out) == []
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        "experiment.json", "cases.csv.gz", "results.csv", "table.md", "figure.png", "figure.pdf"
    }  # fmt: skip
