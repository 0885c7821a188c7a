"""The history of a training as named curves, handed on as they grow: to TensorBoard, MLflow, or another tracker."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events

from monai_supmix.handlers.history import Row, TrainingHistory
from monai_supmix.naming import plain_names

_NAMES = {"loss": "loss/total", "confidence_coverage": "pseudo_label/confidence_coverage"}
_SHARE = re.compile(r"pseudo_label_share_(\d+)")
_PLACE = ("iteration", "epoch")


class HistoryFollower:
    """Hands each new row of a history on; a tracker says how in `open` and `write`.

    It reads what the history has collected and nothing else, so it changes neither weights nor randomness, and makes no
    GPU wait. Among several processes only the first one follows. A resumed run continues where its checkpoint stood.

    Args:
        history: collects the figures; attach it to the engine before this.
        class_names: names of the classes, for the curves of pseudo-label shares.

    Example:
        >>> import torch
        >>> class Printer(HistoryFollower):
        ...     def open(self, iteration):
        ...         return False
        ...     def write(self, figures, iteration):
        ...         print(iteration, figures)
        >>> history = TrainingHistory(interval=2)
        >>> engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(batch))})
        >>> history.attach(engine)
        >>> Printer(history).attach(engine)
        >>> _ = engine.run([1, 3, 5, 7])
        2 {'loss/total': 2.0}
        4 {'loss/total': 6.0}
    """

    def __init__(self, history: TrainingHistory, class_names: Sequence[str] = ()) -> None:
        self.history, self.class_names = history, list(class_names)
        self._handed_on = [0, 0, 0]

    def attach(self, engine: Engine) -> None:
        """Follow a trainer; attach it before the checkpoints, so that they hold no row that was not passed on."""
        if idist.get_rank() > 0:
            return
        engine.add_event_handler(Events.STARTED, self._start)
        for event in (Events.ITERATION_COMPLETED, Events.EPOCH_COMPLETED, Events.COMPLETED):
            engine.add_event_handler(event, self._follow)

    def open(self, iteration: int) -> bool:
        """Get ready to write.

        Args:
            iteration: where the run starts or resumes.

        Returns:
            whether what the history holds so far has been written already.
        """
        raise NotImplementedError

    def write(self, figures: Mapping[str, float], iteration: int) -> None:
        """Write the points of some curves.

        Args:
            figures: values by name of the curve.
            iteration: their place.
        """
        raise NotImplementedError

    def _start(self, engine: Engine) -> None:
        already_written = self.open(engine.state.iteration)
        self._handed_on = [len(rows) if already_written else 0 for rows in self._tables()]
        self._follow()

    def _tables(self) -> tuple[list[Row], list[Row], list[Row]]:
        return self.history.rows, self.history.validation_rows, self.history.pseudo_label_rows

    def _follow(self) -> None:
        training, validation, hidden_truth = (
            rows[start:] for rows, start in zip(self._tables(), self._handed_on, strict=True)
        )
        for row in training:
            self.write(training_curves(row, self.class_names), int(row["iteration"]))
        for row in validation:
            self.write(figure_curves("validation", row), int(row["iteration"]))
        for row in hidden_truth:
            self.write(figure_curves("hidden_truth", row), int(row["iteration"]))
        self._handed_on = [len(rows) for rows in self._tables()]


def training_curves(row: Row, class_names: Sequence[str] = ()) -> dict[str, float]:
    """Name the figures of a row of the history so that trackers group them.

    Args:
        row: of :class:`monai_supmix.handlers.TrainingHistory`.
        class_names: names of the classes, background first.

    Returns:
        values by name; names hold letters, digits, ``_``, ``-``, ``.`` and, between group and curve, ``/``.

    Example:
        >>> row = {"iteration": 10, "epoch": 1, "learning_rate": 0.1, "loss": 2.0, "loss_strong_1": 0.5}
        >>> training_curves(row)
        {'learning_rate': 0.1, 'loss/total': 2.0, 'loss/strong_1': 0.5}
        >>> training_curves({"pseudo_label_share_1": 0.25}, ["background", "blood vessel"])
        {'pseudo_label/share_blood_vessel': 0.25}
    """
    return {_name(key, class_names): value for key, value in row.items() if key not in _PLACE}


def _name(key: str, class_names: Sequence[str]) -> str:
    if key in _NAMES:
        return _NAMES[key]
    if key.startswith("loss_"):
        return f"loss/{plain_names([key.removeprefix('loss_')])[0]}"
    share = _SHARE.fullmatch(key)
    if share:
        index = int(share[1])
        return f"pseudo_label/share_{plain_names(class_names)[index] if index < len(class_names) else index}"
    return plain_names([key])[0]


def figure_curves(group: str, figures: Mapping[str, Any]) -> dict[str, float]:
    """Name the figures of a validation or a test.

    Args:
        group: what they are of.
        figures: such as one of the history's validation rows; anything that is not a number is left out.

    Example:
        >>> figure_curves("validation", {"iteration": 20, "mean_iou": 0.5, "iou_fluid (left)": 0.25})
        {'validation/mean_iou': 0.5, 'validation/iou_fluid_left_': 0.25}
    """
    return {
        f"{group}/{plain}": float(value)
        for (key, value), plain in zip(figures.items(), plain_names(figures), strict=True)
        if key not in _PLACE and isinstance(value, (int, float))
    }
