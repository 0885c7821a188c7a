"""A training run around its trainer: what follows it, resume, checkpoints, preemption, final weights."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn
from torch.optim.lr_scheduler import _LRScheduler as LRScheduler  # as MONAI names it

from monai_supmix.bundle.attached import (
    attach_schedules,
    check_crop_size,
    check_grid,
    check_last_steps,
    check_learnable,
    check_partly_labelled,
    followed,
    stateful_parts,
)
from monai_supmix.bundle.closing import closing_lines
from monai_supmix.bundle.lock import exclusive
from monai_supmix.bundle.place import PlaceInRun
from monai_supmix.bundle.resuming import Resume, check_resume, checkpoint_to_continue, restore
from monai_supmix.bundle.tracking import Tracking, run_parameters
from monai_supmix.config.comparison import comparable, configuration_of
from monai_supmix.data.planes_loading import trained_on
from monai_supmix.datalists.check import Problem
from monai_supmix.datalists.datalist import Datalist, require_unlabeled
from monai_supmix.datalists.fingerprint import fingerprint
from monai_supmix.datalists.seen import image_digests
from monai_supmix.engines import SemiSupervisedTrainer
from monai_supmix.engines.case_evaluator import CaseEvaluator
from monai_supmix.errors import InputError
from monai_supmix.handlers.checkpoints import TrainingCheckpoint, existing_checkpoints
from monai_supmix.handlers.preemption import Preemption
from monai_supmix.handlers.pseudo_labels import Loading
from monai_supmix.inferers import VolumeInferer
from monai_supmix.processes import agreed, from_first
from monai_supmix.report import HISTORY_NAME, training_record, write_history, write_training_report
from monai_supmix.weights import read_weights, record_run, save_weights
from monai_supmix.weights.record import are_cleaning_rules, current_versions

logger = logging.getLogger(__name__)

_REPORT = "report.html"

LastStep = Callable[[nn.Module], Mapping[str, Any] | None]
"""What is done to a trained network; it may return entries for the record of the weights."""


class TrainingRun:
    """Runs a trainer in an output folder so that it can be stopped anywhere and resumed exactly.

    Leaves ``checkpoints/*.pt`` (full state), ``model.pt`` and ``model.safetensors`` (final weights),
    ``history.json`` (what was run and how it went), ``report.html`` (the same to look at) and
    ``tensorboard/`` (curves for TensorBoard, while it trains) in the folder. A bundle without weights of its own notes
    where they are (``last_run.json``), so that it predicts with them.

    What every run needs is attached here: learning-rate schedules, history, watch, the look at pseudo-labels,
    progress, trackers, checkpoints. The trainer's own handlers come on top of it.

    A run is resumed if its configuration is that of the run which wrote the checkpoint, but for what cannot change
    the weights (:data:`monai_supmix.config.comparison.CANNOT_MATTER`), if its data are the same
    (:func:`monai_supmix.datalists.fingerprint.fingerprint`), and its number of iterations and of processes.

    Args:
        trainer: the trainer.
        output_dir: the run's folder; one run at a time.
        method: what the method is called, in reports and trackers.
        record: what is stored with the final weights, ``class_names`` among it, see :mod:`monai_supmix.weights`;
            the network's configuration, the window of a 3D one, facts about the training data and versions are added.
        total_iterations: when the run is finished.
        lr_scheduler: steps after every iteration; ``None`` keeps the learning rate.
        discriminator_lr_scheduler: steps after every iteration past the burn-in.
        recalibration: called with the network that is saved when the training is over, before its weights are written,
            for example a :class:`monai_supmix.engines.RecalibrateBatchNorm`; several are called in turn. What they do
            has to follow from the network alone; entries that one returns go into the record. One with a
            ``check(network)`` is asked before the training.
        datalist: what is trained on.
        loaded: the loaded training images, whose sizes are stored with the weights.
        problems: cases that were left out because they are broken; the run then ends with exit status 1.
        loading: loads a case as training does, for the look at pseudo-labels.
        evaluator: the validation, whose figures go into the history; its inferer looks at pseudo-labels. It is run
            once more at the end if a ``recalibration`` changed the network, or its last state was not validated.
        resume: ``False`` refuses a folder that holds checkpoints; ``"auto"`` continues from the newest intact
            one and starts anew where there is none; ``"force"`` continues although settings differ.
        save_interval: iterations between checkpoints.
        val_interval: epochs between two looks at pseudo-labels.
        log_interval: iterations for each row of the history.
        num_monitored: how many cases with a hidden truth are looked at.
        tensorboard: whether to write TensorBoard's files.
        handlers: handlers of the trainer and its validator, for a run in MLflow, see
            :class:`monai_supmix.bundle.tracking.Tracking`.
        configuration: what another run must agree in; ``None`` takes the configuration that MONAI made this from.

    Raises:
        InputError: for an unknown ``resume``, crops that the network or the discriminator cannot take, a grid of
            training that is not that of prediction, cleaning of other classes, a loss that does not suit partly
            labelled cases, or a handler that steps ``lr_scheduler`` a second time.

    Example:
        >>> import tempfile
        >>> import torch
        >>> from monai_supmix.data import PairedLoader, StreamLoader
        >>> from monai_supmix.losses import SupervisedLoss
        >>> items = [{"image": torch.rand(1, 8, 8), "label": torch.randint(2, (1, 8, 8))} for _ in range(4)]
        >>> streams = [StreamLoader(items, dict, 2, 0, name) for name in ("labeled", "unlabeled")]
        >>> network = nn.Conv2d(1, 2, 1)
        >>> optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
        >>> trainer = SemiSupervisedTrainer("cpu", 1, PairedLoader(*streams), network, optimizer, SupervisedLoss())
        >>> folder = Path(tempfile.mkdtemp())
        >>> record = {"class_names": ["background", "vessel"], "intensity": {}, "working": {}}
        >>> run = TrainingRun(trainer, folder, "supervised", record, 2, tensorboard=False, configuration={"seed": 0})
        >>> run.run()
        >>> trainer.state.iteration, (folder / "model.pt").is_file(), (folder / "report.html").is_file()
        (2, True, True)
    """

    def __init__(
        self,
        trainer: SemiSupervisedTrainer,
        output_dir: str | os.PathLike[str],
        method: str,
        record: Mapping[str, Any],
        total_iterations: int,
        lr_scheduler: LRScheduler | None = None,
        discriminator_lr_scheduler: LRScheduler | None = None,
        recalibration: LastStep | Sequence[LastStep] | None = None,
        datalist: Datalist | None = None,
        loaded: Iterable[Mapping[str, Any]] = (),
        problems: Sequence[Problem] = (),
        loading: Loading | None = None,
        evaluator: CaseEvaluator | None = None,
        resume: Resume = False,
        save_interval: int = 200,
        val_interval: int = 1,
        log_interval: int = 10,
        num_monitored: int = 0,
        tensorboard: bool = True,
        handlers: Sequence[Any] = (),
        configuration: Mapping[str, Any] | None = None,
    ) -> None:
        check_resume(resume)
        check_crop_size(trainer)
        check_grid(loading, record.get("working"))
        loaded = list(loaded)
        if datalist is not None:
            check_partly_labelled(datalist, trainer.supervised_loss, loaded)
            if trainer.uses_unlabeled:
                require_unlabeled(datalist)
        if not are_cleaning_rules(record.get("cleaning", ()), len(record["class_names"])):
            raise InputError("cleaning", "names what is no foreground class here", "set it to [], or to these classes")
        self.trainer, self.output_dir, self.resume = trainer, Path(output_dir), resume
        self.method, self.datalist, self.configuration = method, datalist, configuration
        self.problems = tuple(problems)
        self.recalibration = [recalibration] if callable(recalibration) else list(recalibration or ())
        check_last_steps(self.recalibration, trainer.saved_network)
        self.total_iterations = total_iterations
        self.record = {**record, "trained_on": trained_on(loaded), "versions": current_versions()}
        if datalist is not None and (values := datalist.label_values()) is not None:
            self.record["label_values"] = values
        if evaluator is not None:
            evaluator.network = trainer.saved_network
            if isinstance(inferer := evaluator.case_inferer, VolumeInferer):
                inferer.check_window(trainer.network)
                self.record["window"] = list(inferer.roi_size)
        self.validator = evaluator if datalist is not None and datalist.validation else None
        attach_schedules(trainer, lr_scheduler, discriminator_lr_scheduler, handlers)
        self.history = followed(
            trainer, self.record["class_names"], total_iterations, log_interval, datalist, loading, evaluator,
            val_interval, num_monitored,
        )  # fmt: skip
        self.progress = PlaceInRun(trainer)
        state = {
            "network": trainer.network,
            "teacher": None if trainer.average is None else trainer.average.network,
            "optimizer": trainer.optimizer,
            "lr_scheduler": lr_scheduler,
            "discriminator": trainer.discriminator,
            "discriminator_optimizer": trainer.discriminator_optimizer,
            "discriminator_lr_scheduler": discriminator_lr_scheduler,
            "history": self.history,
            "trainer": self.progress,
            "grad_scaler": trainer.grad_scaler,
            **stateful_parts(trainer),
        }
        self.state = {name: part for name, part in state.items() if part is not None}
        log_dir = self.output_dir / "tensorboard" if tensorboard else None
        self.tracking = Tracking(self.history, method, self.record["class_names"], log_dir, handlers)
        self.checkpoint = TrainingCheckpoint(self.state, self.output_dir / "checkpoints", save_interval)

    def run(self) -> None:
        """Train to the end, from wherever the folder's newest intact checkpoint stands.

        Raises:
            InputError: the folder belongs to another run, its checkpoints were made with other settings, or a class was
                labelled in no training case.
            Preempted: a signal stopped the run; a checkpoint is written.
            SystemExit: with status 1, when broken cases were left out.
        """
        for problem in self.problems:
            logger.error("left out: %s", problem.error)
        self._note_settings()
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
            self._train()
        reported = finished and all((self.output_dir / name).exists() for name in (HISTORY_NAME, _REPORT))
        for step in self.recalibration:  # also of the last checkpoint, in case a killed run has left only that
            self._recalibrate(step)
        if self.recalibration and self.validator is not None and not reported:
            self.validator.run()  # what is saved is no longer what the trainer has validated
        if idist.get_rank() == 0:
            self._write(reported)

    def _train(self) -> None:
        if self.validator is not None and not self.recalibration:  # before the trackers, which pass its row on
            self.trainer.add_event_handler(Events.ITERATION_COMPLETED, self._validate_last, self.validator)
        with self.tracking.following(self.trainer, run_parameters(self._what_was_run())):
            self.checkpoint.attach(self.trainer)
            Preemption(self._save_and_tell).attach(self.trainer)
            self.trainer.run()

    def _validate_last(self, validator: CaseEvaluator) -> None:
        """Validate the weights that are saved, where the trainer has not, whose interval ends elsewhere."""
        last = self.trainer.state.iteration == self.total_iterations
        if last and all(row["iteration"] != self.total_iterations for row in self.history.validation_rows):
            validator.run()

    def _recalibrate(self, recalibration: LastStep) -> None:
        logger.info("last step: %s", type(recalibration).__name__)
        try:
            self.record |= recalibration(self.trainer.saved_network) or {}
        except InputError:
            raise
        except ValueError as error:  # as by a network that pools a plane to one value, which has no variance
            remedy = "the training itself is kept: continue with recalibration=null and resume=force"
            raise InputError("recalibration", f"does not suit this network or size ({error})", remedy) from error

    def _write(self, reported: bool) -> None:
        """Write weights, and the report unless it is there: an evaluation may have added to it."""
        files = list(save_weights(self.output_dir / "model.pt", self.trainer.saved_network, self.record))
        history, report = self.output_dir / HISTORY_NAME, self.output_dir / _REPORT
        if not reported:
            record = self._what_was_run()
            write_history(history, record)
            write_training_report(report, record)
        files += [history, report, *existing_checkpoints(self.output_dir / "checkpoints"), *self.tracking.files()]
        record_run(self.bundle_root, self.output_dir)
        for line in (*closing_lines(self.output_dir, files), *self.tracking.finish([report, history])):
            logger.info(line)

    def _what_was_run(self) -> dict[str, Any]:
        return training_record(
            self.method,
            self.settings,
            self.record["class_names"],
            self.record["versions"],
            self.total_iterations,
            self.datalist,
            self.history.rows,
            self.history.validation_rows,
            self.history.pseudo_label_rows,
            burn_in=self.trainer.burn_in if self.trainer.uses_unlabeled else 0,
        ) | {"seconds": round(self.progress.seconds, 3)}

    def _note_settings(self) -> None:
        """Find out what this run is: known only now, because MONAI's parser knows an object only once it is made."""
        configuration = configuration_of(self) if self.configuration is None else self.configuration
        if configuration is None:
            raise ValueError("a run that no configuration made has to be given one: configuration={...}.")
        if self.datalist is not None:
            check_learnable(self.datalist, configuration.get("ckpt_path"), self.trainer.given_pseudo_labels)
        self.settings = comparable(configuration)
        self.bundle_root = str(configuration.get("bundle_root", ""))
        self.settings |= {"total_iterations": self.total_iterations, "processes": idist.get_world_size()}
        self.record.setdefault("network", self.settings.get("network_def", {}))
        self.checkpoint.config = dict(self.settings)
        before = None  # the weights to start from, wherever they are
        if configuration.get("ckpt_path"):
            before = read_weights(configuration["ckpt_path"])
            self.checkpoint.config["ckpt_path"] = f"weights with the SHA-256 {before.sha256}"
        if self.datalist is not None:
            self.checkpoint.config["data"] = fingerprint(self.datalist)
            learnt = (before.record or {}).get("labelled_images", ()) if before else ()  # by these weights
            self.record["labelled_images"] = sorted({*image_digests(self.datalist.labeled), *learnt})

    def _restore(self) -> None:
        path = from_first(lambda: checkpoint_to_continue(self.output_dir / "checkpoints", self.resume))
        if path is not None:
            with agreed():
                restore(path, self.state, self.checkpoint.config, self.resume)
            logger.info("resumed from %s at iteration %d.", path, self.trainer.state.iteration)

    def _save_and_tell(self, engine: Engine) -> None:
        self.checkpoint.save(engine)
        iteration, total = engine.state.iteration, self.total_iterations
        if idist.get_rank() == 0 and iteration < total:
            logger.warning(
                "stopped by a signal after iteration %d of %d; --resume auto goes on there.", iteration, total
            )
