"""Where a training stands: a live bar on a terminal, plain lines in a log."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

import ignite.distributed as idist
from ignite.engine import Engine, Events
from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.handlers.time_left import TimeLeft, expected_ratio

logger = logging.getLogger(__name__)

_BAR = "{desc} {percentage:3.0f}%|{bar:8}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]"


class TrainingProgress:
    """Shows epoch, iteration, loss and its terms, confidence coverage, validation IoU and the time left.

    On a terminal this is a bar and, below it, the terms of the loss; log lines appear above. Elsewhere it is a line in
    the log for each row of the history. The time left foresees that iterations after the burn-in are slower. Figures
    are those of the history's newest row, so following a training does not make a GPU wait. Under several processes the
    first one shows it.

    Args:
        history: collects the figures; attach it to the engine before this.
        total_iterations: when the run is finished.
        stream: where the bar goes; ``None`` is the standard error output.

    Example:
        >>> import io, torch
        >>> class Terminal(io.StringIO):
        ...     def isatty(self): return True
        >>> engine, screen = Engine(lambda engine, batch: {"loss": torch.tensor(0.5)}), Terminal()
        >>> history = TrainingHistory(interval=2)
        >>> history.attach(engine)
        >>> TrainingProgress(history, total_iterations=4, stream=screen).attach(engine)
        >>> _ = engine.run(range(2), max_epochs=2)
        >>> screen.getvalue().splitlines()[-1].split("[")[0]
        'epoch 2/2 100%|########| 4/4 '
    """

    def __init__(self, history: TrainingHistory, total_iterations: int, stream: TextIO | None = None) -> None:
        self.history, self.total_iterations, self.stream = history, total_iterations, stream
        self._bar: tqdm | None = None
        self._terms: tqdm | None = None
        self._open = contextlib.ExitStack()
        self._shown = 0
        self._time_left = TimeLeft(total_iterations)

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.COMPLETED, self._finish)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._fail)

    def _start(self, engine: Engine) -> None:
        self._shown = len(self.history.rows)
        burn_in = getattr(engine, "burn_in", 0) if getattr(engine, "uses_unlabeled", False) else 0
        self._time_left = TimeLeft(self.total_iterations, burn_in, expected_ratio(engine))
        self._time_left.start(engine.state.iteration, time.monotonic())
        stream = self.stream or sys.stderr
        if not _can_draw(stream):
            return
        self._open.enter_context(logging_redirect_tqdm())
        self._bar = tqdm(
            total=self.total_iterations,
            initial=engine.state.iteration,
            desc=self._epoch(engine),
            file=stream,
            dynamic_ncols=True,
            position=0,
            bar_format=_BAR,
            ascii=None if (getattr(stream, "encoding", None) or "").lower().startswith("utf") else " #",
        )

    def _step(self, engine: Engine) -> None:
        if self._bar is not None:
            self._bar.set_description_str(self._epoch(engine), refresh=False)
            self._bar.update()
        if len(self.history.rows) > self._shown:
            self._show(engine)
        elif engine.state.iteration == self._time_left.burn_in:
            self._left(engine)

    def _left(self, engine: Engine) -> str:
        """The time left. Also asked at the end of the burn-in, after which iterations are slower."""
        seconds = self._time_left.seconds(engine.state.iteration, time.monotonic())
        return f"{tqdm.format_interval(math.ceil(seconds))} left"

    def _show(self, engine: Engine) -> None:
        self._shown = len(self.history.rows)
        validations = self.history.validation_rows
        row, validation = self.history.rows[-1], validations[-1] if validations else None
        left = self._left(engine)
        if self._bar is not None:
            figures = progress_figures(row, validation)
            self._bar.set_postfix_str(", ".join(part for part in (left, figures) if part))
            if terms := progress_terms(row):
                if self._terms is None:
                    self._terms = tqdm(
                        total=0, file=self._bar.fp, dynamic_ncols=True, position=1, bar_format="{desc}", leave=True
                    )
                self._terms.set_description_str(f"  {terms}")
            return
        text = "; ".join(part for part in (progress_figures(row, validation), progress_terms(row)) if part)
        place = f"{self._epoch(engine)}, iteration {engine.state.iteration}/{self.total_iterations}"
        logger.info("%s: %s, %s", place, text, left)

    def _epoch(self, engine: Engine) -> str:
        length = engine.state.epoch_length or self.total_iterations
        epoch, epochs = (max(1, math.ceil(n / length)) for n in (engine.state.iteration, self.total_iterations))
        return f"epoch {epoch}/{epochs}"

    def _finish(self, engine: Engine) -> None:
        if len(self.history.rows) > self._shown:
            self._show(engine)
        self._close()

    def _close(self) -> None:
        for bar in (self._bar, self._terms):  # in this order they stay on the screen in this order
            if bar is not None:
                bar.close()
        self._bar = self._terms = None
        self._open.close()

    def _fail(self, engine: Engine, error: BaseException) -> None:
        self._close()
        # Ignite takes an error for handled once its handlers return: the last of them raises it again.
        if engine._event_handlers[Events.EXCEPTION_RAISED][-1][0] == self._fail:
            raise error


def _can_draw(stream: TextIO) -> bool:
    """Whether a bar would be seen; on a terminal that says it has no lines or columns tqdm draws nothing."""
    if not stream.isatty():
        return False
    try:
        return min(os.get_terminal_size(stream.fileno())) > 0
    except OSError:  # no file behind it: whoever made it says that it is a terminal
        return True


def progress_figures(row: Mapping[str, Any], validation: Mapping[str, Any] | None = None) -> str:
    """The figures of a row of the history in a few words.

    Args:
        row: a row of :class:`monai_supmix.handlers.TrainingHistory`.
        validation: the newest of its validation rows.

    Returns:
        loss, share of confident pixels and validation IoU, as far as they are known.

    Example:
        >>> progress_figures({"iteration": 10, "loss": 0.5, "confidence_coverage": 0.834}, {"mean_iou": 0.6123})
        'loss 0.500, confident 83 %, validation IoU 0.612'
    """
    figures = [f"loss {row['loss']:.3f}"] if "loss" in row else []
    if "confidence_coverage" in row:
        figures.append(f"confident {100 * row['confidence_coverage']:.0f} %")
    if validation and "mean_iou" in validation:
        figures.append(f"validation IoU {validation['mean_iou']:.3f}")
    return ", ".join(figures)


def progress_terms(row: Mapping[str, Any]) -> str:
    """The terms of the loss in a row of the history.

    Example:
        >>> progress_terms({"iteration": 10, "loss": 0.5, "loss_supervised": 0.75, "loss_strong_1": 0.1})
        'supervised 0.750, strong 1 0.100'
    """
    terms = {name.removeprefix("loss_"): value for name, value in row.items() if name.startswith("loss_")}
    return ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in terms.items())
