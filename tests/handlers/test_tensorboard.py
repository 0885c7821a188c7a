"""What TensorBoard shows is the history: every row once, in order, also of runs that were killed and resumed."""

import random
import re

import ignite.distributed as idist
import numpy as np
import pytest
import torch
from ignite.engine import Engine, Events
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from monai_supmix.errors import InputError
from monai_supmix.handlers import TensorBoardCurves, TrainingHistory
from monai_supmix.handlers.follow import figure_curves, training_curves

CLASSES = ["background", "blood vessel", "(odd) é"]


@pytest.fixture(autouse=True)
def files_are_numbered_from_zero(monkeypatch):
    """TensorBoard reads files by name: second, host, process, number of the file in the process as text (10 before 9).

    A resumed run is another process, seconds later; here both are one process, often within one second.
    """
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def step(engine, _batch):
    value = torch.tensor(float(engine.state.iteration))
    return {"loss": value, "loss_strong_1": value / 2, "confidence_coverage": value / 100,
            "pseudo_label_share": torch.tensor([0.5, 0.25, 0.25])}  # fmt: skip


def start(folder, history=None, iteration=0, validates=True):
    """A trainer of five iterations an epoch with a validation after each, its history, and its curves."""
    engine, validator = Engine(step), Engine(lambda *_: None)
    validator.add_event_handler(Events.COMPLETED, lambda e: e.state.metrics.update(mean_iou=engine.state.epoch / 10))
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.125)
    fresh = TrainingHistory(2, optimizer, validator)
    fresh.attach(engine)
    if history is not None:
        fresh.load_state_dict(history.state_dict())
    if validates:
        engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: validator.run([0]))
    curves = TensorBoardCurves(fresh, folder, CLASSES)
    curves.attach(engine)
    engine.state.iteration = iteration
    return engine, fresh, curves


def run(engine, epochs, iteration=0):
    engine.load_state_dict({"iteration": iteration, "epoch_length": 5, "max_epochs": epochs})
    engine.run(range(5), max_epochs=epochs, epoch_length=5)


def shown(folder):
    """What TensorBoard itself reads: points by curve."""
    accumulator = EventAccumulator(str(folder)).Reload()
    return {
        tag: [(e.step, round(e.value, 6)) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def points(history):
    """What it should read."""
    expected = {}
    tables = [(training_curves(row, CLASSES), row) for row in history.rows]
    tables += [(figure_curves("validation", row), row) for row in history.validation_rows]
    tables += [(figure_curves("hidden_truth", row), row) for row in history.pseudo_label_rows]
    for curves, row in tables:
        for name, value in curves.items():
            expected.setdefault(name, []).append((row["iteration"], round(value, 6)))
    return expected


def test_it_shows_the_history_under_readable_names(tmp_path):
    engine, history, curves = start(tmp_path)
    engine.add_event_handler(
        Events.ITERATION_COMPLETED(once=4),
        lambda: history.pseudo_label_rows.append({"iteration": 4, "precision_blood vessel": 0.75}),
    )
    run(engine, 3)
    curves.close()
    found = shown(tmp_path)
    assert found == points(history)
    assert set(found) == {
        "learning_rate",
        "loss/total",
        "loss/strong_1",
        "pseudo_label/confidence_coverage",
        "pseudo_label/share_background",
        "pseudo_label/share_blood_vessel",
        "pseudo_label/share__odd_é",
        "validation/mean_iou",
        "hidden_truth/precision_blood_vessel",
    }
    assert found["loss/total"][0] == (2, 1.5) and found["loss/total"][-1][0] == 15  # means; the last row is a part
    assert found["validation/mean_iou"] == [(5, 0.1), (10, 0.2), (15, 0.3)]
    assert found["learning_rate"][0] == (2, 0.125)
    assert len(curves.files()) == 1


def test_names_hold_what_tensorboard_and_mlflow_take():
    names = [
        *training_curves({f"pseudo_label_share_{i}": 0.1 for i in range(5)}, CLASSES),
        *figure_curves("test", {"iou_a/b:c(d)": 1}),
    ]
    assert all(re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name) for name in names)
    signs = ["", "grade<2", "grade>2", "Grade 2"]
    both = {**training_curves({f"pseudo_label_share_{i}": 0.1 for i in range(4)}, signs)}
    both |= figure_curves("test", {f"iou_{name}": 0.2 for name in signs})
    assert len({name.casefold() for name in both}) == 8
    assert names[3:] == ["pseudo_label/share_3", "pseudo_label/share_4", "test/iou_a_b_c_d_"]
    assert figure_curves("test", {"iteration": 3, "name": "x", "none": None, "iou": 1}) == {"test/iou": 1.0}


def test_points_beyond_the_checkpoint_of_a_killed_run_are_hidden(tmp_path):
    """Killed at iteration 10, its newest checkpoint at 6: a resumed run with other values from there on."""
    engine, history, curves = start(tmp_path)
    saved = TrainingHistory(2)
    engine.add_event_handler(Events.ITERATION_COMPLETED(once=6), lambda: saved.load_state_dict(history.state_dict()))
    run(engine, 2)
    curves.close()
    assert max(step for step, _ in shown(tmp_path)["loss/total"]) == 10
    again, resumed, curves = start(tmp_path, saved, 6)
    again._process_function = lambda *_: {"loss": torch.tensor(100.0)}
    run(again, 3, 6)
    curves.close()
    found = shown(tmp_path)
    assert found == points(resumed)
    steps = [step for step, _ in found["loss/total"]]
    assert steps == sorted(set(steps)) and len(curves.files()) == 2


def test_switched_on_later_it_shows_the_run_from_its_beginning(tmp_path):
    engine, history, _ = start(tmp_path / "elsewhere")
    run(engine, 1)
    again, resumed, curves = start(tmp_path / "here", history, 5)
    run(again, 2, 5)
    curves.close()
    assert shown(tmp_path / "here") == points(resumed)


def test_every_row_is_on_disk_when_a_checkpoint_could_be_written(tmp_path):
    engine, history, _ = start(tmp_path)
    looks = []
    engine.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda: looks.append(len(shown(tmp_path).get("loss/total", [])) == len(history.rows)),
    )
    run(engine, 1)
    assert looks == [True] * 5


def test_nothing_is_made_before_the_run_starts_or_on_other_processes(tmp_path, monkeypatch):
    start(tmp_path / "curves")
    assert not (tmp_path / "curves").exists()
    monkeypatch.setattr(idist, "get_rank", lambda: 1)
    engine, _, curves = start(tmp_path / "curves")
    run(engine, 1)
    curves.close()
    assert not (tmp_path / "curves").exists()


def test_no_random_number_is_drawn(tmp_path):
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    engine, _, curves = start(tmp_path)
    before = states()
    run(engine, 1)
    curves.close()
    assert states() == before


def test_values_that_are_no_numbers_and_folders_that_cannot_be_made(tmp_path):
    engine, _, curves = start(tmp_path)
    engine._process_function = lambda *_: {"loss": torch.tensor(float("nan"))}
    run(engine, 1)
    curves.close()
    assert all(np.isnan(value) for _, value in shown(tmp_path)["loss/total"])
    (tmp_path / "file").write_text("x", encoding="utf-8")
    engine, _, _ = start(tmp_path / "file")
    with pytest.raises(InputError, match="is a file, not a folder"):
        run(engine, 1)
