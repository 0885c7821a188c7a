"""How far a training has come, as its checkpoints keep it."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events


class PlaceInRun:
    """A trainer's place in its run, and the time that its iterations took; its length belongs to the configuration.

    The time is that of all starts of the run; what a killed one did after its last checkpoint does not count.

    Args:
        trainer: the trainer.

    Example:
        >>> trainer = Engine(lambda engine, batch: None)
        >>> place = PlaceInRun(trainer)
        >>> _ = trainer.run(range(3))
        >>> place.state_dict()["iteration"], place.seconds > 0
        (3, True)
    """

    def __init__(self, trainer: Engine) -> None:
        self.trainer = trainer
        self._before, self._started = 0.0, math.nan
        trainer.add_event_handler(Events.STARTED, self._start)
        trainer.add_event_handler(Events.COMPLETED, self._stop)

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + (0.0 if math.isnan(self._started) else time.perf_counter() - self._started)

    def _start(self) -> None:
        self._started = time.perf_counter()

    def _stop(self) -> None:
        self._before, self._started = self.seconds, math.nan

    def state_dict(self) -> dict[str, float]:
        """Iteration and seconds."""
        return {"iteration": self.trainer.state.iteration, "seconds": self.seconds}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the trainer where :meth:`state_dict` was taken."""
        self._before = float(state.get("seconds", 0.0))  # earlier checkpoints have none
        self.trainer.load_state_dict(
            {
                "iteration": state["iteration"],
                "epoch_length": self.trainer.state.epoch_length,
                "max_epochs": self.trainer.state.max_epochs,
            }
        )
