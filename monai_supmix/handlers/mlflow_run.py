"""What a run in MLflow holds beside what MONAI's ``MLFlowHandler`` puts there: parameters, curves, files, its end."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from ignite.engine import Engine, Events

from monai_supmix.config.settings import is_wiring
from monai_supmix.handlers.follow import HistoryFollower
from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.naming import plain_names

_LOCAL = "sqlite:///"
_MOST = 100  # parameters or metrics that MLflow takes at once
_LONGEST = 6000  # characters of a parameter


class MLflowRun:
    """The run that MONAI's handler opens, which the tracking of ``monai.bundle run`` adds to a bundle.

    Without such a handler, or on another process than the first, nothing here has an effect. What is logged here takes
    the place of the figures that MONAI's handlers log by default: these ask the device for the loss at every iteration,
    expect another form of the trainer's output, and use names of classes that MLflow may refuse. Loggers that somebody
    gave to a handler stay.

    Args:
        handlers: handlers of the engine, and of its validator; MONAI's are among them or not.

    Example:
        >>> run = MLflowRun(handlers=[])  # no MLFlowHandler among them: nothing is logged anywhere
        >>> run.log({"loss": 0.5}, step=1)
        >>> run.has_figures(), run.end("FINISHED")
        (False, None)
    """

    def __init__(self, handlers: Iterable[Any]) -> None:
        from monai.handlers import MLFlowHandler  # noqa: PLC0415  # loads MLflow, where it is installed

        mlflow_handlers: list[Any] = [handler for handler in handlers if isinstance(handler, MLFlowHandler)]
        for handler in mlflow_handlers:
            handler.iteration_logger = handler.iteration_logger or _nothing
            handler.epoch_logger = handler.epoch_logger or _nothing
            _keep_files_beside_the_store(handler)
        self._handler: Any = mlflow_handlers[0] if mlflow_handlers else None
        self._run_id: str | None = None

    def attach(self, engine: Engine, parameters: Mapping[str, Any]) -> None:
        """Add parameters when an engine starts.

        Args:
            engine: the engine that MONAI's handler is attached to already.
            parameters: plain values, perhaps nested, see `flat`.
        """
        if self._handler is not None:
            engine.add_event_handler(Events.STARTED, self._start, parameters)

    def _start(self, parameters: Mapping[str, Any]) -> None:
        from mlflow.entities import Param  # noqa: PLC0415  # an extra

        run = self._handler.client.get_run(self._handler.cur_run.info.run_id)
        self._run_id = run.info.run_id
        self._handler.client.update_run(self._run_id, status="RUNNING")  # one that is resumed has ended before
        # MLflow never changes a parameter; those of a resumed run are there.
        new = [Param(key, value) for key, value in flat(parameters) if key not in run.data.params]
        for batch in _batches(new):
            self._handler.client.log_batch(self._run_id, params=batch)

    def has_figures(self) -> bool:
        """Whether the run holds figures already, because it is resumed."""
        return self._run_id is not None and bool(self._handler.client.get_run(self._run_id).data.metrics)

    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Add a point to each of some curves.

        Args:
            figures: values by name of the curve.
            step: their place.
        """
        if self._run_id is not None:
            from mlflow.entities import Metric  # noqa: PLC0415

            now = int(time.time() * 1000)
            for batch in _batches([Metric(name, float(value), now, step) for name, value in figures.items()]):
                self._handler.client.log_batch(self._run_id, metrics=batch)

    def add_files(self, files: Iterable[Path]) -> None:
        """Copy files into the run, as its artifacts.

        Args:
            files: the files.
        """
        if self._run_id is not None:
            for file in files:
                self._handler.client.log_artifact(self._run_id, str(file))

    def end(self, status: str) -> str | None:
        """Say how the run ended; MONAI's handler only reports runs that reached their end.

        Args:
            status: ``"FINISHED"``; ``"KILLED"`` or ``"FAILED"`` for one that a resumed training continues.

        Returns:
            its name and how to look at it, ``None`` when there is no run.
        """
        if self._run_id is None:
            return None
        client, uri = self._handler.client, str(self._handler.client.tracking_uri)
        client.set_terminated(self._run_id, status)
        title = f"run {client.get_run(self._run_id).info.run_name!r} of experiment {self._handler.experiment.name!r}"
        self._run_id = self._handler.cur_run = None
        self._handler.close()
        # The address of a server may hold a password.
        look = f"mlflow ui --backend-store-uri {shlex.quote(uri)}"
        return f"{title}, look at it with {look}" if uri.startswith(_LOCAL) else title


class MLflowCurves(HistoryFollower):
    """Adds the curves of a training to its run in MLflow, over the iterations and with the names TensorBoard has.

    Args:
        history: collects the figures; attach it to the engine before this.
        run: the run, attached to the engine before this.
        class_names: names of the classes, for the curves of pseudo-label shares.

    Example:
        >>> class Printed(MLflowRun):
        ...     def log(self, figures, step):
        ...         print(step, figures)
        >>> history, engine = TrainingHistory(interval=1), Engine(lambda engine, batch: {})
        >>> MLflowCurves(history, Printed([]), ["background", "vessel"]).attach(engine)
        >>> history.rows.append({"iteration": 1, "epoch": 1, "loss": 0.5, "pseudo_label_share_1": 0.25})
        >>> _ = engine.run([None])
        1 {'loss/total': 0.5, 'pseudo_label/share_vessel': 0.25}
    """

    def __init__(self, history: TrainingHistory, run: MLflowRun, class_names: Sequence[str] = ()) -> None:
        super().__init__(history, class_names)
        self.run = run

    def open(self, iteration: int) -> bool:
        """Find out whether this continues a run."""
        return self.run.has_figures()

    def write(self, figures: Mapping[str, float], iteration: int) -> None:
        """Add points to the run."""
        self.run.log(figures, iteration)


def _keep_files_beside_the_store(handler: Any) -> None:
    """Put the files of a local store into ``mlruns`` beside it, whatever characters its folder has.

    MONAI takes the store's address for its path, so that a space would begin another folder: ``a%20b`` beside ``a b``.
    """
    uri = str(handler.client.tracking_uri)
    if uri.startswith(_LOCAL):
        path = uri.removeprefix(_LOCAL)
        if handler.artifact_location == Path(path).absolute().parent.joinpath("mlruns").as_uri():
            handler.artifact_location = Path(unquote(path)).absolute().parent.joinpath("mlruns").as_uri()


def _nothing(_engine: Engine) -> None:
    """Log nothing."""


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    return (items[first : first + _MOST] for first in range(0, len(items), _MOST))


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested plain values as pairs of texts that MLflow takes as parameters.

    Names of inner ones are joined by dots; a component of a configuration stands for itself by the last part of its
    ``_target_``. References and expressions, and what is ``None``, are left out, long texts are cut.

    Example:
        >>> optimizer = {"_target_": "torch.optim.AdamW", "lr": 0.1, "params": "$@network.parameters()"}
        >>> list(flat({"seed": 0, "optimizer": optimizer, "list": None, "n": [4, 4]}))
        [('seed', '0'), ('optimizer', 'AdamW'), ('optimizer.lr', '0.1'), ('n', '[4, 4]')]
        >>> list(flat({"codes": {"grade<2": 5, "grade>2": 6}}))
        [('codes.grade_2.0', '5'), ('codes.grade_2.1', '6')]
    """
    for value, plain in zip(values.values(), plain_names(map(str, values)), strict=True):
        name = prefix + plain
        if isinstance(value, Mapping):
            if "_target_" in value:
                yield name, str(value["_target_"]).rpartition(".")[2]
            yield from flat({inner: entry for inner, entry in value.items() if inner != "_target_"}, f"{name}.")
        elif value is not None and not is_wiring(value):
            yield name, str(value)[:_LONGEST]
