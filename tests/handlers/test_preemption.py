"""Signals end a run in order; what a second one does depends on who sends it."""

import os
import signal
import threading

import pytest
from ignite.engine import Engine, Events

from monai_supmix.handlers import Preemption
from monai_supmix.handlers.preemption import Preempted


def run(signals, world_size, monkeypatch):
    """An engine that gets signals in its second iteration; the iterations at whose end it was saved."""
    saved = []
    monkeypatch.setattr("monai_supmix.handlers.preemption.idist.get_world_size", lambda: world_size)
    monkeypatch.setattr("monai_supmix.handlers.preemption.idist.all_reduce", lambda tensor, op: tensor)
    monkeypatch.setattr("monai_supmix.handlers.preemption.idist.barrier", lambda: saved.append("all have saved"))
    engine = Engine(lambda engine, batch: None)
    Preemption(lambda engine: saved.append(engine.state.iteration)).attach(engine)

    def send():
        for number in signals:
            os.kill(os.getpid(), number)

    engine.add_event_handler(Events.ITERATION_STARTED(once=2), send)
    with pytest.raises(Preempted):
        engine.run([1, 2, 3])
    return saved


def test_the_launcher_that_passes_a_signal_on_does_not_end_what_is_being_saved(monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    assert run([signal.SIGTERM, signal.SIGTERM, signal.SIGTERM], 2, monkeypatch) == [3, "all have saved"]
    assert run([signal.SIGINT, signal.SIGINT], 2, monkeypatch) == [3, "all have saved"], "Ctrl-C"
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_to_a_single_process_takes_its_usual_course(number, monkeypatch):
    def at_once(*_):
        raise TimeoutError("at once")

    before = signal.signal(number, at_once)
    try:
        with pytest.raises(TimeoutError, match="at once"):
            run([number, number], 1, monkeypatch)
        assert signal.getsignal(number) is at_once
    finally:
        signal.signal(number, before)


def test_a_run_in_another_thread_leaves_signals_alone():
    before, saved = signal.getsignal(signal.SIGTERM), []
    engine = Engine(lambda engine, batch: None)
    Preemption(saved.append).attach(engine)
    failures = []

    def target():
        try:
            engine.run([1, 2, 3])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    assert failures == [] == saved and engine.state.iteration == 3
    assert signal.getsignal(signal.SIGTERM) is before
