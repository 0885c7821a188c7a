"""What every training run has around its trainer: schedules of the learning rate, and handlers that follow it."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ignite.engine import Events
from monai.handlers import LrScheduleHandler
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.lr_scheduler import _LRScheduler as LRScheduler  # as MONAI names it

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.monitored import hidden_truth
from monai_supmix.datalists.partly import KEY, classes_without_labels, refuse_unlearnable
from monai_supmix.engines import SemiSupervisedTrainer
from monai_supmix.engines.case_evaluator import CaseEvaluator
from monai_supmix.errors import InputError
from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.handlers.progress import TrainingProgress
from monai_supmix.handlers.pseudo_labels import Loading, PseudoLabelMonitor
from monai_supmix.handlers.watch import TrainingWatch
from monai_supmix.imageio.partly import IGNORED
from monai_supmix.listing import shorten
from monai_supmix.weights import unwrap
from monai_supmix.weights.tensor_files import plain, refuse_nonfinite

logger = logging.getLogger(__name__)


def attach_schedules(
    trainer: SemiSupervisedTrainer,
    lr_scheduler: LRScheduler | None,
    discriminator_lr_scheduler: LRScheduler | None = None,
    handlers: Sequence[Any] = (),
) -> None:
    """Step schedules after each iteration, that of the discriminator once it trains.

    Args:
        trainer: the trainer.
        lr_scheduler: schedule of its optimizer, or ``None``.
        discriminator_lr_scheduler: schedule of the discriminator's, or ``None``.
        handlers: the trainer's own handlers.

    Raises:
        InputError: one of the handlers steps a schedule as well, or a schedule waits for a figure.
    """
    schedules = [schedule for schedule in (lr_scheduler, discriminator_lr_scheduler) if schedule is not None]
    if any(isinstance(schedule, ReduceLROnPlateau) for schedule in schedules):
        problem = "is a ReduceLROnPlateau, which follows a figure, and schedules follow iterations here"
        raise InputError("lr_scheduler", problem, "use another, such as PolynomialLR, or a handler of your own")
    for handler in handlers:
        if isinstance(handler, LrScheduleHandler) and any(handler.lr_scheduler is schedule for schedule in schedules):
            problem = "steps a schedule that the run already steps, so the learning rate would fall twice as fast"
            raise InputError("train#handlers", problem, "leave the LrScheduleHandler out")
    if lr_scheduler is not None:
        LrScheduleHandler(lr_scheduler, print_lr=False, epoch_level=False).attach(trainer)
    if discriminator_lr_scheduler is not None:
        after_burn_in = Events.ITERATION_COMPLETED(after=trainer.burn_in)
        trainer.add_event_handler(after_burn_in, LrScheduleHandler(discriminator_lr_scheduler, print_lr=False))


class FollowSchedules:
    """A handler that steps a trainer's schedules, for trainers that no `TrainingRun` attaches them to.

    So it is in federated learning, where MONAI's client runs the trainer itself, round by round.

    Args:
        lr_scheduler: see `attach_schedules`.
        discriminator_lr_scheduler: see `attach_schedules`.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
        >>> handler = FollowSchedules(torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=100))
        >>> handler.schedules[1] is None  # in a configuration one of ``train#handlers``
        True
    """

    def __init__(self, lr_scheduler: LRScheduler | None, discriminator_lr_scheduler: LRScheduler | None = None) -> None:
        self.schedules, self._follows = (lr_scheduler, discriminator_lr_scheduler), False

    def attach(self, engine: SemiSupervisedTrainer) -> None:
        """Attach to a trainer; the schedules follow when it starts, for only then its burn-in is known."""
        engine.add_event_handler(Events.STARTED, self._start)

    def _start(self, engine: SemiSupervisedTrainer) -> None:
        if not self._follows:  # each round starts the trainer
            self._follows = True
            attach_schedules(engine, *self.schedules)


def followed(
    trainer: SemiSupervisedTrainer,
    class_names: Sequence[str],
    total_iterations: int,
    log_interval: int = 10,
    datalist: Datalist | None = None,
    loading: Loading | None = None,
    evaluator: CaseEvaluator | None = None,
    val_interval: int = 1,
    num_monitored: int = 0,
) -> TrainingHistory:
    """Attach what follows a training: history, watch, a look at pseudo-labels, progress.

    Args:
        trainer: the trainer; its schedules are already attached, because the history shows the learning rate.
        class_names: names of the classes, background first.
        total_iterations: length of the training.
        log_interval: iterations for each row of the history.
        datalist: has the cases with a hidden truth.
        loading: loads these cases.
        evaluator: validates; its ``case_inferer`` predicts these cases, if it can predict a batch.
        val_interval: epochs between two looks.
        num_monitored: cases to look at; none where pseudo-labels are given, which are not the network's.

    Returns:
        the history.
    """
    history = TrainingHistory(log_interval, trainer.optimizer, evaluator)
    history.attach(trainer)
    TrainingWatch(history).attach(trainer)
    inferer: Any = evaluator and evaluator.case_inferer
    makes_pseudo_labels = not trainer.given_pseudo_labels and hasattr(inferer, "probabilities")
    if datalist is not None and loading is not None and makes_pseudo_labels:
        monitor = PseudoLabelMonitor(
            history,
            hidden_truth(datalist, num_monitored),
            loading,
            inferer,
            class_names,
            interval=val_interval * len(trainer.streams),
            total_iterations=total_iterations,
            threshold=trainer.consistency_loss.threshold,
            num_samples=num_monitored,
        )
        monitor.attach(trainer)
    TrainingProgress(history, total_iterations).attach(trainer)
    return history


def stateful_parts(trainer: SemiSupervisedTrainer) -> dict[str, Any]:
    """What else of a trainer learns or remembers: losses and mixings that have a state, by the name of their argument.

    Args:
        trainer: the trainer.

    Returns:
        those with a ``state_dict`` that holds something, and terms whose state may begin empty.

    Raises:
        InputError: a state holds something else than tensors and plain values, which a checkpoint cannot keep.
    """
    views = trainer.strong_views
    parts: dict[str, Any] = {
        "supervised_loss": trainer.supervised_loss,
        "consistency_loss": trainer.consistency_loss,
        "strong_augmentation": getattr(views, "augmentation", None),
        "mixing": getattr(views, "mixing", None),
        "inward": trainer.inward,
        "labeled_mixing": trainer.labeled_mixing,
        **{f"extra_terms_{number}": term for number, term in enumerate(trainer.extra_terms)},
    }
    stateful = {}
    for name, part in parts.items():
        if hasattr(part, "load_state_dict") and (part.state_dict() or name.startswith("extra_terms")):
            stateful[name] = _Remembered(part)
            try:
                refuse_nonfinite(plain(part.state_dict()), name)
            except InputError:
                raise
            except ValueError as error:
                raise InputError(
                    name, f"has a state that no checkpoint can keep ({error})", "make it tensors"
                ) from error
    return stateful


class _Remembered:
    """A part that a checkpoint is not to take for a network: its own ``load_state_dict`` says what fits."""

    def __init__(self, part: Any) -> None:
        self.state_dict, self.load_state_dict = part.state_dict, part.load_state_dict


def check_crop_size(trainer: SemiSupervisedTrainer) -> None:
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


def check_grid(loading: object, working: Mapping[str, Any] | None) -> None:
    """Raise `InputError` where images are trained on another grid than the network is to predict on.

    Args:
        loading: loads the training images; one without a ``working`` grid is not judged.
        working: what is kept with the weights. Two middles of planes may differ in size.
    """
    trained, kept = (dict(grid or {}) for grid in (getattr(loading, "working", working), working))
    if json.dumps(trained) != json.dumps(kept) and not ("center" in trained and "center" in kept):
        problem = f"is {kept}, on which the network is to predict, and it is trained on {trained} (loading)"
        raise InputError("working", problem, "give both the same")


def check_last_steps(steps: Sequence[Any], network: nn.Module) -> None:
    """Raise `InputError` where a last step's own ``check(network)`` says that it cannot be done at the end.

    Args:
        steps: the last steps of a training; those without a ``check`` are not judged.
        network: the network that is saved.
    """
    for step in (step for step in steps if hasattr(step, "check")):
        try:
            step.check(network)
        except InputError:
            raise
        except ValueError as error:
            problem = f"has {type(step).__name__}, which does not suit this network ({error})"
            raise InputError("recalibration", problem, "correct it, or leave it out") from error


def check_partly_labelled(
    datalist: Datalist, supervised_loss: Callable[..., Tensor], loaded: Sequence[Mapping[str, Any]]
) -> None:
    """Raise `InputError` where labels say less than the loss would take from them.

    Args:
        datalist: what is trained on.
        supervised_loss: the loss of its labelled images.
        loaded: the loaded training images.
    """
    if any(KEY in item for item in datalist.labeled):
        call = getattr(supervised_loss, "forward", supervised_loss)
        if KEY not in inspect.signature(call).parameters:
            problem = f"takes no {KEY}, and not all classes are labelled in all cases"
            raise InputError("supervised_loss", problem, "use monai_supmix.losses.SupervisedLoss")
        if not any(KEY in item for item in loaded):
            problem = f"gives no {KEY}, and not all classes are labelled in all cases"
            raise InputError("loading", problem, "use monai_supmix.data.LoadPlanes or LoadVolume")
    ignoring = any("ignored" in item for item in datalist.labeled)
    if ignoring and getattr(supervised_loss, "ignore_index", None) != IGNORED:
        raise InputError("ignore_index", "is not set, and labels have pixels to ignore", f"set it to {IGNORED}")


def check_learnable(datalist: Datalist, begins_with: object, given_pseudo_labels: bool) -> None:
    """Raise `InputError` for a class without labels that nothing else can teach; warn where it rests on other networks.

    Args:
        datalist: what is trained on.
        begins_with: the weights that the training begins with, if any.
        given_pseudo_labels: whether its unlabelled images have masks of trained networks, which are trained on.
    """
    told_by = (("weights", begins_with), ("pseudo-labels", given_pseudo_labels))
    teachers = [name for name, there in told_by if there]
    if not teachers:
        refuse_unlearnable(datalist.labeled, datalist.class_names, KEY)
    elif missing := classes_without_labels(datalist.labeled, datalist.class_names):
        warning = "no training case has labels of %s: what is known of it comes from the %s alone."
        logger.warning(warning, shorten(missing), " and ".join(teachers))
