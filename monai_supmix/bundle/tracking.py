"""Following a training by the ecosystem's own means: TensorBoard, and MLflow where ``--tracking mlflow`` is given."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ignite.distributed as idist
from ignite.engine import Engine

from monai_supmix.files import make_directory
from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.handlers.mlflow_run import MLflowCurves, MLflowRun
from monai_supmix.handlers.tensorboard import TensorBoardCurves

_ESCAPES = str.maketrans({character: quote(character) for character in "%?#"})


def tracking_store(output_dir: str | os.PathLike[str]) -> str:
    """The local store that MLflow keeps in a run's folder, with its artifacts in ``mlruns`` beside it.

    Args:
        output_dir: the folder, made if missing.

    Returns:
        its address.

    Raises:
        InputError: the folder cannot be made.

    Example:
        >>> import tempfile
        >>> tracking_store(tempfile.mkdtemp()).startswith("sqlite:///")
        True
    """
    path = (make_directory(output_dir) / "mlruns.db").absolute().as_posix()
    # Only what would end the path is escaped: MLflow makes the folder of this address as it is written.
    return f"sqlite:///{path.translate(_ESCAPES)}"


class Tracking:
    """Hands the history of a training to TensorBoard and MLflow; the first process does, others do nothing.

    Args:
        history: collects the figures, and is attached to the trainer already.
        method: what the method is called.
        class_names: names of the classes.
        log_dir: folder for TensorBoard's files, ``None`` for none.
        handlers: handlers of the trainer and its validator; where MONAI's ``MLFlowHandler`` is among them its run
            gets the settings as parameters, the history as metrics, and the report.
    """

    def __init__(
        self,
        history: TrainingHistory,
        method: str,
        class_names: Sequence[str] = (),
        log_dir: str | os.PathLike[str] | None = None,
        handlers: Sequence[Any] = (),
    ) -> None:
        self.tensorboard = None if log_dir is None else TensorBoardCurves(history, log_dir, class_names, method)
        self.mlflow = MLflowRun(handlers)
        self._curves = MLflowCurves(history, self.mlflow, class_names)

    @contextlib.contextmanager
    def following(self, trainer: Engine, parameters: Mapping[str, Any]) -> Iterator[None]:
        """Follow a trainer that runs inside the block.

        Args:
            trainer: the trainer.
            parameters: what was run, as plain values.
        """
        self.mlflow.attach(trainer, parameters)
        self._curves.attach(trainer)
        if self.tensorboard is not None:
            self.tensorboard.attach(trainer)
        try:
            yield
        except BaseException as error:
            self.mlflow.end("FAILED" if isinstance(error, Exception) else "KILLED")
            raise
        finally:
            if self.tensorboard is not None:
                self.tensorboard.close()

    def files(self) -> list[Path]:
        """TensorBoard's files."""
        return [] if self.tensorboard is None or idist.get_rank() > 0 else self.tensorboard.files()

    def finish(self, files: Iterable[Path]) -> list[str]:
        """End the run in MLflow, with files to keep there.

        Args:
            files: they become artifacts.

        Returns:
            lines that say where to look.
        """
        return finish_mlflow(self.mlflow, files)


def finish_mlflow(run: MLflowRun, files: Iterable[Path]) -> list[str]:
    """End a run in MLflow, with files to keep there.

    Args:
        run: the run.
        files: they become artifacts.

    Returns:
        lines that say where to look; none without a run.
    """
    run.add_files(files)
    where = run.end("FINISHED")
    return [] if where is None else [f"tracked by MLflow: {where}"]


def run_parameters(record: Mapping[str, Any]) -> dict[str, Any]:
    """What was run, as parameters of a tracked run.

    Args:
        record: of :func:`monai_supmix.report.training_record`.

    Example:
        >>> record = {"method": "supmix", "preset": None, "command": "train", "total_iterations": 8, "versions": {},
        ...     "data": {"sides": {"labelled": {"images": 2}}}, "settings": {"seed": 0, "total_iterations": 8}}
        >>> run_parameters(record)
        {'method': 'supmix', 'preset': None, 'images': {'labelled': 2}, 'seed': 0, 'total_iterations': 8,
         'versions': {}, 'command': 'train'}
    """
    return {
        "method": record["method"],
        "preset": record["preset"],
        "images": {side: part["images"] for side, part in record["data"]["sides"].items()},
        **record["settings"],
        "versions": record["versions"],
        "command": record["command"],
    }
