"""A training run around its trainer: resume, checkpoints, preemption, final weights."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import ignite.distributed as idist
from ignite.engine import Engine
from torch import nn

from monai_supmix.bundle.closing import closing_lines
from monai_supmix.bundle.describe import describe
from monai_supmix.bundle.lock import exclusive
from monai_supmix.bundle.tracking import Tracking, run_parameters
from monai_supmix.datalists.check import Problem
from monai_supmix.engines import SemiSupervisedTrainer
from monai_supmix.errors import InputError
from monai_supmix.handlers.checkpoints import (
    TrainingCheckpoint,
    compare_config,
    existing_checkpoints,
    load_checkpoint,
    newest_intact,
    read_checkpoint,
)
from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.handlers.preemption import Preemption
from monai_supmix.report import HISTORY_NAME, training_record, write_history, write_training_report
from monai_supmix.weights import save_weights, unwrap
from monai_supmix.weights.record import current_versions

logger = logging.getLogger(__name__)


class TrainingRun:
    """Runs a trainer in an output folder so that it can be stopped anywhere and resumed exactly.

    Leaves ``checkpoints/*.pt`` (full state), ``model.pt`` and ``model.safetensors`` (final weights),
    ``history.json`` (what was run and how it went), ``report.html`` (the same to look at) and
    ``tensorboard/`` (curves for TensorBoard, while it trains) in the folder.

    Args:
        trainer: the trainer.
        output_dir: the run's folder; one run at a time.
        state: what a checkpoint holds beside the trainer's progress, by name: network, optimizers,
            schedulers, discriminator, history. Entries that are ``None`` are left out.
        record: what is stored with the final weights, see :mod:`monai_supmix.weights`.
        settings: what must be the same for a resumed run to be the same run; objects are described by their
            class and arguments, see :func:`monai_supmix.bundle.describe`.
        problems: cases that were left out because they are broken; the run then ends with exit status 1.
        resume: ``False`` refuses a folder that holds checkpoints; ``"auto"`` continues from the newest intact
            one and starts anew where there is none; ``"force"`` continues although settings differ.
        save_interval: iterations between checkpoints.
        total_iterations: when the run is finished.
        tensorboard: whether to write TensorBoard's files.
        recalibration: called when the training is over, before the weights are written, for example a
            :class:`monai_supmix.engines.RecalibrateBatchNorm`; what it does has to follow from the network alone.
        handlers: handlers of the trainer and its validator, for a run in MLflow, see
            :class:`monai_supmix.bundle.tracking.Tracking`.

    Raises:
        InputError: for an unknown ``resume``, or crops that the network or the discriminator cannot take.
    """

    def __init__(
        self,
        trainer: SemiSupervisedTrainer,
        output_dir: str | os.PathLike[str],
        state: Mapping[str, Any],
        record: Mapping[str, Any],
        settings: Mapping[str, Any],
        total_iterations: int,
        problems: Sequence[Problem] = (),
        resume: Literal[False, "auto", "force"] = False,
        save_interval: int = 200,
        tensorboard: bool = True,
        recalibration: Callable[[], None] | None = None,
        handlers: Sequence[Any] = (),
    ) -> None:
        if resume not in (False, "auto", "force"):
            raise InputError("resume", f"is {resume!r}", "give false, 'auto' or 'force'")
        _check_crop_size(trainer)
        self.trainer, self.output_dir, self.resume = trainer, Path(output_dir), resume
        self.problems, self.recalibration = tuple(problems), recalibration
        self.record, self.total_iterations = describe(record), total_iterations
        self.record["versions"] = current_versions()
        self.settings = describe(settings)
        self.state = {name: part for name, part in state.items() if part is not None}
        self.state |= {"trainer": _Progress(trainer), "grad_scaler": trainer.grad_scaler}
        self.history: TrainingHistory = self.state.get("history", TrainingHistory())
        log_dir = self.output_dir / "tensorboard" if tensorboard else None
        self.tracking = Tracking(self.history, self.record["class_names"], log_dir, handlers)
        self.checkpoint = TrainingCheckpoint(
            self.state, self.output_dir / "checkpoints", save_interval, config=self.settings
        )

    def run(self) -> None:
        """Train to the end, from wherever the folder's newest intact checkpoint stands.

        Raises:
            InputError: the folder belongs to another run, or its checkpoints were made with other settings.
            Preempted: a signal stopped the run; a checkpoint is written.
            SystemExit: with status 1, when broken cases were left out.
        """
        for problem in self.problems:
            logger.error("left out: %s", problem.error)
        if idist.get_rank() > 0:
            self._run()
        else:
            with exclusive(self.output_dir):
                self._run()
        if self.problems:
            raise SystemExit(1)

    def _run(self) -> None:
        self._restore()
        finished = self.trainer.state.iteration >= self.total_iterations
        if finished:
            logger.info("this run is finished: nothing to do.")
        else:
            with self.tracking.following(self.trainer, run_parameters(self._what_was_run())):
                self.checkpoint.attach(self.trainer)
                Preemption(self._save).attach(self.trainer)
                self.trainer.run()
        if self.recalibration is not None:  # of the last checkpoint, too, should that be all that a killed run has left
            logger.info("last step: %s", type(self.recalibration).__name__)
            try:
                self.recalibration()
            except (
                ValueError
            ) as error:  # such as a network that pools a plane to one value, of which there is no variance
                remedy = "the training itself is kept: go on with recalibration=null and resume=force"
                raise InputError("recalibration", f"does not suit this network or size ({error})", remedy) from error
        if idist.get_rank() == 0:
            files = list(save_weights(self.output_dir / "model.pt", self.state["network"], self.record))
            history, report = self.output_dir / HISTORY_NAME, self.output_dir / "report.html"
            if not (finished and history.exists() and report.exists()):  # an evaluation may have added to it
                record = self._what_was_run()
                write_history(history, record)
                write_training_report(report, record)
            files += [history, report, *existing_checkpoints(self.output_dir / "checkpoints"), *self.tracking.files()]
            for line in (*closing_lines(self.output_dir, files), *self.tracking.finish([report, history])):
                logger.info(line)

    def _what_was_run(self) -> dict[str, Any]:
        return training_record(
            self.settings,
            self.record["class_names"],
            self.record["versions"],
            self.total_iterations,
            self.history.rows,
            self.history.validation_rows,
            self.history.pseudo_label_rows,
        )

    def _restore(self) -> None:
        folder = self.output_dir / "checkpoints"
        if not self.resume:
            if existing_checkpoints(folder):
                remedy = "give resume=auto to go on with it, or another output_dir"
                raise InputError(folder, "holds checkpoints of an earlier run", remedy)
            return
        path, warnings = newest_intact(folder)
        for warning in warnings:
            logger.warning(warning)
        if path is None and warnings:
            remedy = "remove the damaged files to start anew, or choose another output_dir"
            raise InputError(folder, "holds checkpoints, but none that is intact", remedy)
        if path is None:
            logger.info("no checkpoint in %s: starting anew.", folder)
            return
        content = read_checkpoint(path)
        differing = compare_config(content["config"], self.settings)
        if differing and self.resume != "force":
            told = "; ".join(f"{key} was {was!r}, is {now!r}" for key, (was, now) in differing.items())
            remedy = "run with the same settings, give resume=force to go on all the same, or another output_dir"
            raise InputError(path, f"belongs to a run with other settings ({told})", remedy)
        load_checkpoint(content, self.state)
        logger.info("resumed from %s at iteration %d.", path, self.trainer.state.iteration)

    def _save(self, engine: Engine) -> None:
        self.checkpoint.save(engine)


def _check_crop_size(trainer: SemiSupervisedTrainer) -> None:
    """Raise `InputError` for crops that would be refused in the first iteration; other transforms are not judged."""
    transform = trainer.streams.labeled.dataset.transform
    sizes = [step.crop_size for step in getattr(transform, "transforms", [transform]) if hasattr(step, "crop_size")]
    if not sizes:
        return
    size = list(sizes[-1])
    convolutions = [module for module in trainer.network.modules() if isinstance(module, (nn.Conv2d, nn.Conv3d))]
    ndim = max((len(module.kernel_size) for module in convolutions), default=len(size))
    divisor = getattr(unwrap(trainer.network), "divisor", 1)
    critic = trainer.discriminator
    least = max(divisor, 1 if critic is None else getattr(unwrap(critic), "min_size", 1))
    if len(size) == ndim and all(type(side) is int and side >= least and side % divisor == 0 for side in size):
        return
    fitting = -(-least // divisor) * divisor
    needed = f"{ndim} whole numbers, multiples of {divisor} and at least {fitting}"
    raise InputError("crop_size", f"is {size}, and the networks take crops of {needed}", "give such a size")


class _Progress:
    """A trainer's place in its run; its length belongs to the configuration, not to the checkpoint."""

    def __init__(self, trainer: SemiSupervisedTrainer) -> None:
        self.trainer = trainer

    def state_dict(self) -> dict[str, int]:
        return {"iteration": self.trainer.state.iteration}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.trainer.load_state_dict(
            {
                "iteration": state["iteration"],
                "epoch_length": self.trainer.state.epoch_length,
                "max_epochs": self.trainer.state.max_epochs,
            }
        )
