"""Rows are means over the iterations that reported a value."""

import torch
from ignite.engine import Engine

from monai_supmix.handlers import TrainingHistory


def follow(length, interval):
    """The history of an engine whose second term comes with its fourth iteration."""

    def step(engine, _):
        i = engine.state.iteration
        return {"loss": torch.tensor(float(i)), **({"late": torch.tensor(float(10 * i))} if i > 3 else {})}

    engine, history = Engine(step), TrainingHistory(interval)
    history.attach(engine)
    engine.run(range(length), max_epochs=1)
    return history


def test_a_term_that_comes_later_is_averaged_over_its_own_iterations():
    rows = follow(length=6, interval=5).rows
    assert [row["loss"] for row in rows] == [3.0, 6.0]
    assert [row["late"] for row in rows] == [45.0, 60.0]
    assert "late" not in follow(length=3, interval=3).rows[0]


def test_an_older_state_counts_once_for_all_terms():
    history, sums = TrainingHistory(), {"loss": torch.tensor(6.0)}
    history.load_state_dict({"rows": [], "validation_rows": [], "sums": sums, "count": 3})
    engine = Engine(lambda *_: {"loss": torch.tensor(2.0)})
    history.attach(engine)
    engine.run([0], max_epochs=1)
    assert history.rows[0]["loss"] == 2.0
