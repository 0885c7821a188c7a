"""Stops a training whose losses are no longer finite, and warns once of one that has gone astray."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

from monai_supmix.data.paired import PairedLoader
from monai_supmix.errors import InputError
from monai_supmix.handlers.history import Row, TrainingHistory

logger = logging.getLogger(__name__)

_NEVER = 2**31 - 1


class TrainingWatch:
    """Looks at every loss term, without making a GPU wait.

    The first iteration at which a term is NaN or infinite is kept on the device and read at the history's interval and
    at the end; on a CPU, where looking costs nothing, at every iteration. (A checkpoint in between refuses weights that
    are not finite by itself.)

    Args:
        history: its rows are watched for a collapsed discriminator and for pseudo-labels of only one class.
        patience: rows in a row that must look bad before a warning.

    Raises:
        InputError: out of the engine's run, naming the iteration, the term and the cases of that batch.

    Example:
        >>> from monai_supmix.data import StreamLoader
        >>> cases = [{"case": "left"}, {"case": "right"}]
        >>> streams = [StreamLoader(cases, lambda item: item, 2, 0, name) for name in ("labeled", "unlabeled")]
        >>> engine = Engine(lambda engine, batch: {"loss_supervised": torch.tensor(float(batch))})
        >>> engine.streams, engine.uses_unlabeled = PairedLoader(*streams), False
        >>> TrainingWatch(TrainingHistory()).attach(engine)
        >>> engine.run([0.5, float("nan")])
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: iteration 2: loss_supervised is NaN or infinite; its batch held ...
    """

    def __init__(self, history: TrainingHistory, patience: int = 10) -> None:
        self.history, self.patience = history, patience
        self._first_bad: dict[str, Tensor] = {}
        self._warned: set[str] = set()

    def attach(self, engine: Engine) -> None:
        """Watch a trainer; attach before its checkpoints and after its history."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)
        engine.add_event_handler(Events.COMPLETED, self.check)

    @torch.no_grad()
    def _look(self, engine: Engine) -> None:
        output: dict[str, Tensor] = engine.state.output  # type: ignore[assignment]
        for name, value in output.items():
            if not name.startswith("loss"):
                continue
            number = torch.where(torch.isfinite(value), _NEVER, engine.state.iteration)
            earlier = self._first_bad.get(name)
            self._first_bad[name] = number if earlier is None else torch.minimum(earlier, number)
        at_interval = engine.state.iteration % self.history.interval == 0
        if at_interval or all(number.device.type == "cpu" for number in self._first_bad.values()):
            self.check(engine)
        if at_interval:
            self._warn(self.history.rows[-self.patience :])

    def check(self, engine: Engine) -> None:
        """Raise if any term has been NaN or infinite; call before weights are saved."""
        first = {name: int(number) for name, number in self._first_bad.items()}
        # The sum is broken wherever a term is: name the term.
        bad = [
            name
            for name, number in sorted(first.items(), key=lambda pair: (pair[1], pair[0] == "loss"))
            if number < _NEVER
        ]
        if bad:
            iteration = first[bad[0]]
            raise InputError(
                f"iteration {iteration}",
                f"{bad[0]} is NaN or infinite; its batch held {', '.join(cases_of(engine, iteration))}",
                "check these files, lower the learning rate or set amp to false, and train again in another output_dir",
            )

    def _warn(self, rows: Sequence[Row]) -> None:
        if len(rows) < self.patience:
            return
        if all(row.get("loss_discriminator", 1.0) < 0.05 for row in rows):
            self._once(
                "the discriminator tells all maps apart (loss below 0.05), so SUFD teaches nothing: "
                "lower the learning rate of discriminator_optimizer, or sufd_weight"
            )
        if all(row.get("pseudo_label_share_0", 0.0) > 0.9995 for row in rows):
            self._once(
                "nearly all pseudo-labels are background: give more labelled images, train longer, "
                "or raise dice_weight of supervised_loss"
            )

    def _once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            logger.warning(message)


def cases_of(engine: Any, iteration: int) -> list[str]:
    """Names of the cases in the batch of an iteration (counted from 1), which follow from its number alone.

    Args:
        engine: a :class:`monai_supmix.engines.SemiSupervisedTrainer`.
        iteration: the iteration.
    """
    streams: PairedLoader = engine.streams
    semi = engine.uses_unlabeled and iteration > engine.burn_in
    used = [streams.labeled, streams.unlabeled] if semi else [streams.labeled]
    names = []
    for stream in used:
        for _, index in stream.sampler.batch(iteration - 1):
            item = stream.dataset.items[index]
            names.append(str(item.get("case", index)))
    return list(dict.fromkeys(names))
