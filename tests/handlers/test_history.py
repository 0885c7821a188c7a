"""Rows are means over the iterations that reported a value."""

import torch
from ignite.engine import Engine

from monai_supmix.handlers import TrainingHistory


def follow(length, interval, state=None):
    """The history of an engine whose second term comes with its fourth iteration."""

    def step(engine, _):
        i = engine.state.iteration
        return {"loss": torch.tensor(float(i)), **({"late": torch.tensor(float(10 * i))} if i > 3 else {})}

    engine, history = Engine(step), TrainingHistory(interval)
    if state:
        history.load_state_dict(state["history"])
        engine.load_state_dict(state["engine"] | {"max_epochs": 1, "epoch_length": length})
    history.attach(engine)
    engine.run(range(length), max_epochs=1)
    return history


def test_a_term_that_comes_later_is_averaged_over_its_own_iterations():
    rows = follow(length=6, interval=5).rows
    assert [row["loss"] for row in rows] == [3.0, 6.0]
    assert [row["late"] for row in rows] == [45.0, 60.0]
    assert "late" not in follow(length=3, interval=3).rows[0]
