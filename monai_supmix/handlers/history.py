"""The course of a training: means of all loss terms and statistics at regular intervals."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine, Events
from torch import Tensor

Row = dict[str, float]


class TrainingHistory:
    """Collects what the trainer reports, averaged over ``interval`` iterations.

    Values are summed on the device and read once per interval, so that following a training does not make a
    GPU wait. The newest row is in ``engine.state.metrics`` for other handlers. Vectors become one column per
    entry (``pseudo_label_share_0`` ...). The state is part of a checkpoint: a resumed run continues the table.
    Of several processes each follows its own samples, and the first one's rows are those that are kept.

    Args:
        interval: iterations per row.
        optimizer: where given, rows hold its learning rate.
        validator: where given, each validation adds a row with its metrics.

    Attributes:
        rows: means over each interval.
        validation_rows: one for each validation.
        pseudo_label_rows: filled by a :class:`monai_supmix.handlers.PseudoLabelMonitor`.

    Example:
        >>> history = TrainingHistory(interval=2)
        >>> engine = Engine(lambda engine, batch: {"loss": torch.tensor(float(batch))})
        >>> history.attach(engine)
        >>> _ = engine.run([1, 3, 5, 7], max_epochs=1)
        >>> [(row["iteration"], row["loss"]) for row in history.rows]
        [(2, 2.0), (4, 6.0)]
    """

    def __init__(
        self,
        interval: int = 10,
        optimizer: torch.optim.Optimizer | None = None,
        validator: Engine | None = None,
    ) -> None:
        self.interval, self.optimizer, self.validator = interval, optimizer, validator
        self.rows: list[Row] = []
        self.validation_rows: list[Row] = []
        self.pseudo_label_rows: list[Row] = []
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def attach(self, engine: Engine) -> None:
        """Follow a trainer."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._add)
        engine.add_event_handler(Events.COMPLETED, self._close_row)
        if self.validator is not None:
            self.validator.add_event_handler(Events.COMPLETED, self._add_validation, engine)

    @torch.no_grad()
    def _add(self, engine: Engine) -> None:
        output: dict[str, Tensor] = engine.state.output  # type: ignore[assignment]
        for name, value in output.items():
            latest = value.detach().float()
            self._sums[name] = latest + self._sums[name].to(latest.device) if name in self._sums else latest
            self._counts[name] = self._counts.get(name, 0) + 1
        if engine.state.iteration % self.interval == 0:
            self._close_row(engine)

    def _close_row(self, engine: Engine) -> None:
        if not self._counts:
            return
        row: Row = {"iteration": engine.state.iteration, "epoch": engine.state.epoch}
        if self.optimizer is not None:
            row["learning_rate"] = self.optimizer.param_groups[0]["lr"]
        for name, total in self._sums.items():
            mean = (total / self._counts[name]).tolist()
            row |= {name: mean} if isinstance(mean, float) else {f"{name}_{i}": m for i, m in enumerate(mean)}
        self.rows.append(row)
        engine.state.metrics.update(row)
        self._sums, self._counts = {}, {}

    def _add_validation(self, validator: Engine, trainer: Engine) -> None:
        scalars = {name: value for name, value in validator.state.metrics.items() if isinstance(value, float)}
        row = {"iteration": trainer.state.iteration, **scalars}
        earlier = [old for old in self.validation_rows if old["iteration"] != row["iteration"]]
        self.validation_rows = [*earlier, row]  # once more where the network was changed after the last iteration

    def state_dict(self) -> dict[str, Any]:
        """Rows and the sums of the row under way."""
        return {
            "rows": self.rows,
            "validation_rows": self.validation_rows,
            "pseudo_label_rows": self.pseudo_label_rows,
            "sums": self._sums,
            "counts": self._counts,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue where :meth:`state_dict` was taken."""
        self.rows, self.validation_rows = list(state["rows"]), list(state["validation_rows"])
        self.pseudo_label_rows = list(state.get("pseudo_label_rows", []))  # checkpoints of 0.1.0 have none
        self._sums = dict(state["sums"])
        self._counts = dict(state["counts"] if "counts" in state else dict.fromkeys(self._sums, state["count"]))
