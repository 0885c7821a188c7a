"""The curves of a training as TensorBoard's event files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from monai_supmix.files import make_directory, writing_error
from monai_supmix.handlers.follow import HistoryFollower
from monai_supmix.handlers.history import TrainingHistory

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class TensorBoardCurves(HistoryFollower):
    """Writes loss terms, learning rate, pseudo-label statistics and validation figures over the iterations.

    MONAI's handler makes its file when it is constructed; this one when the run starts, so that a run that is refused
    leaves none, and tells TensorBoard where a resumed run starts, so that what a killed run had written beyond its
    checkpoint is hidden.

    Args:
        history: collects the figures; attach it to the engine before this.
        log_dir: folder for the event files; TensorBoard's ``logdir``.
        class_names: names of the classes, for the curves of pseudo-label shares.
        method: what the method is called, shown as a text.

    Example:
        >>> import tempfile, torch
        >>> from ignite.engine import Engine
        >>> engine, history = Engine(lambda engine, batch: {"loss": torch.tensor(0.5)}), TrainingHistory(interval=2)
        >>> history.attach(engine)
        >>> curves = TensorBoardCurves(history, tempfile.mkdtemp())
        >>> curves.attach(engine)
        >>> _ = engine.run(range(2), max_epochs=2)
        >>> curves.close()
        >>> len(curves.files())
        1
    """

    def __init__(
        self,
        history: TrainingHistory,
        log_dir: str | os.PathLike[str],
        class_names: Sequence[str] = (),
        method: str | None = None,
    ) -> None:
        super().__init__(history, class_names)
        self.log_dir, self.method = Path(log_dir), method
        self._writer: SummaryWriter | None = None

    def files(self) -> list[Path]:
        """The event files in the folder, of this and of earlier runs."""
        return sorted(self.log_dir.glob("events.out.tfevents.*"))

    def open(self, iteration: int) -> bool:
        """Begin a new event file; steps after `iteration` in older ones do not count any more."""
        from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # takes a second to load

        had_files = bool(self.files())
        make_directory(self.log_dir)
        try:
            self._writer = SummaryWriter(str(self.log_dir), purge_step=iteration + 1)
        except OSError as error:
            raise writing_error(self.log_dir, error) from error
        if self.method is not None and not had_files:
            self._writer.add_text("method", self.method)
        return had_files

    def write(self, figures: Mapping[str, float], iteration: int) -> None:
        """Write points and flush them, because the next checkpoint says that they are written."""
        if self._writer is None:
            return
        for name, value in figures.items():
            self._writer.add_scalar(name, value, iteration)
        try:
            self._writer.flush()
        except OSError as error:
            raise writing_error(self.log_dir, error) from error

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
