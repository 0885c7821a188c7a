"""A broken training stops with what broke it; one that goes astray is told of once."""

import logging
from types import SimpleNamespace

import pytest
import torch

from monai_supmix.errors import InputError
from monai_supmix.handlers import TrainingCheckpoint, TrainingHistory, TrainingWatch
from tests.engines.toys import items, loader, trainer


def watched(data=None, interval=2, patience=10, **kwargs):
    engine = trainer(data=data, **kwargs)
    history = TrainingHistory(interval=interval)
    history.attach(engine)
    TrainingWatch(history, patience).attach(engine)
    return engine, history


def broken_loader(which):
    """Toy data in which one named image is full of NaN."""
    data = loader(labeled=3, unlabeled=6)
    for name in ("labeled", "unlabeled"):
        pictures = items(3 if name == "labeled" else 6, seed=len(name))
        for number, picture in enumerate(pictures):
            picture["case"] = f"{name}-{number}"
        if which == name:
            pictures[2]["image"] += float("nan")
        stream = getattr(data, name)
        stream.dataset.items = pictures
        stream.dataset.transform = lambda item: {key: item[key] for key in ("image", "label")}
    return data


@pytest.mark.parametrize(("which", "term"), [("labeled", "loss_supervised"), ("unlabeled", "loss_")])
def test_nan_stops_with_iteration_term_and_cases_and_reaches_no_checkpoint(which, term, tmp_path):
    engine, _ = watched(broken_loader(which), max_epochs=3)
    TrainingCheckpoint({"network": engine.network}, tmp_path, interval=1).attach(engine)
    with pytest.raises(InputError, match=f"{term}.*is NaN or infinite; its batch held .*{which}-2") as caught:
        engine.run()
    assert caught.value.subject == f"iteration {engine.state.iteration}"
    for path in tmp_path.glob("*.pt"):
        state = torch.load(path, weights_only=True)["state"]["network"]
        assert all(torch.isfinite(value).all() for value in state.values())


def test_on_another_device_the_loss_is_read_at_the_interval_alone():
    watch = TrainingWatch(TrainingHistory(interval=3))
    reads = []
    watch.check = lambda engine: reads.append(engine.state.iteration)
    for iteration in range(1, 7):
        output = {"loss": torch.ones((), device="meta")}  # as a GPU's: looking at its value is not free
        watch._look(SimpleNamespace(state=SimpleNamespace(iteration=iteration, output=output)))
    assert reads == [3, 6]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"loss_discriminator": 0.01}, "the discriminator tells all maps apart"),
        ({"pseudo_label_share_0": 1.0}, "nearly all pseudo-labels are background"),
    ],
)
def test_warnings_come_once_and_only_after_a_while(row, message, caplog):
    history = TrainingHistory()
    watch = TrainingWatch(history, patience=3)
    with caplog.at_level(logging.WARNING):
        for count in range(1, 7):
            history.rows = [row] * count
            watch._warn(history.rows[-3:])
            assert caplog.text.count(message) == (count >= 3)


def test_a_healthy_training_goes_on_in_silence(caplog):
    engine, history = watched(max_epochs=4, patience=2)
    with caplog.at_level(logging.WARNING, logger="monai_supmix"):
        engine.run()
    assert engine.state.iteration == 12
    assert len(history.rows) == 6
    assert not caplog.records
