"""Leave a resumable checkpoint when the machine is taken away."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import ignite.distributed as idist
import torch
from ignite.engine import Engine, Events

PREEMPTED_STATUS = 75
"""Exit status of a run that stopped at a signal with a checkpoint written (EX_TEMPFAIL: run it again)."""


class Preempted(SystemExit):
    """Raised after a run has stopped at a signal and its checkpoint is on disk; exits with status 75.

    Example:
        >>> Preempted().code == PREEMPTED_STATUS
        True
    """

    def __init__(self) -> None:
        super().__init__(PREEMPTED_STATUS)


class Preemption:
    """Finish the iteration under way at SIGTERM or SIGINT, save, and stop; a second signal stops at once.

    Under several processes all stop after the same iteration: each tells the others whether it got a signal. There a
    second one changes nothing, because launchers pass on to their processes what the system sent these already.
    Handlers of the signals are in place only while the engine runs, and only in the main thread, as Python has it.

    Args:
        save: writes a checkpoint of the engine.
        signals: the signals that stop a run.

    Raises:
        Preempted: out of ``engine.run``, once the checkpoint is written.

    Example:
        >>> engine = Engine(lambda engine, batch: batch == 2 and signal.raise_signal(signal.SIGINT))  # as Ctrl-C does
        >>> Preemption(save=lambda engine: print("saved after iteration", engine.state.iteration)).attach(engine)
        >>> try:
        ...     engine.run([1, 2, 3])
        ... except Preempted as stopped:
        ...     print("exit status", stopped.code)
        saved after iteration 2
        exit status 75
    """

    def __init__(
        self,
        save: Callable[[Engine], Any],
        signals: tuple[signal.Signals, ...] = (signal.SIGTERM, signal.SIGINT),
    ) -> None:
        self.save, self.signals = save, signals
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}
        self._known: Any = False

    def attach(self, engine: Engine) -> None:
        """Watch an engine; attach after handlers whose work belongs in the checkpoint."""
        engine.add_event_handler(Events.STARTED, self._install)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._stop_if_requested)
        engine.add_event_handler(Events.COMPLETED, self.restore)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._on_exception)

    def _install(self, _engine: Engine) -> None:
        self.requested = self._known = False
        if threading.current_thread() is not threading.main_thread():
            return
        for number in self.signals:
            self._previous[number] = signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.requested = True
        if idist.get_world_size() == 1:
            self.restore()  # the next one takes its usual course

    def restore(self, _engine: Engine | None = None) -> None:
        """Put the former handlers of the signals back."""
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, handler)

    def _stop_if_requested(self, engine: Engine) -> None:
        requested: Any = self.requested
        if idist.get_world_size() > 1:
            # What all knew an iteration ago: to read the answer of this one would be to wait for the device's step.
            flag = torch.full((), float(self.requested), device=idist.device())
            requested, self._known = self._known, idist.all_reduce(flag, op="MAX")
        if requested:
            self.save(engine)
            idist.barrier()  # a launcher ends all processes when the first has ended
            raise Preempted

    def _on_exception(self, _engine: Engine, error: BaseException) -> None:
        self.restore()
        raise error
