"""How long a training with a bundle would take on this machine, from a few steps of it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch

from monai_supmix.cli.workflow import Configured, configure
from monai_supmix.config.error_lines import causes, mistakes_as_themselves
from monai_supmix.errors import InputError, first_line

_HEAVY = ("paper",)  # presets of which a step takes minutes without a GPU
_SAME = ("rare_classes", "logit_adjustment")  # presets that train the bundle's own network
_STEPS = 4  # of each kind
_CASES = 2  # of each side, that steps are measured with
_NO_MEMORY = "not enough memory"  # as torch says it of a processor's


@dataclass(frozen=True)
class TrainingTime:
    """Seconds that the parts of a training take.

    Args:
        loading: reading all cases.
        burn_in: iterations on labelled images only.
        others: iterations after these.
        slow: seconds of one of the first.
        slower: seconds of one of the others.
    """

    loading: float
    burn_in: int
    others: int
    slow: float
    slower: float

    @property
    def seconds(self) -> float:
        """The whole training."""
        return self.loading + self.burn_in * self.slow + self.others * self.slower


def training_times(bundle: str | Path) -> list[str]:
    """Measure a few steps of supervised training, of the bundle's own settings, and of each preset: how long all takes.

    Args:
        bundle: folder of the bundle.

    Returns:
        a line for each; what cannot be measured here says why.

    Raises:
        InputError: not even the supervised training of the bundle's own settings begins, for a mistake in the data.
    """
    folder = Path(bundle) / "configs" / "presets"
    presets = [path.stem for path in sorted(folder.glob("*.json")) if path.stem not in _SAME]
    lines = []
    for method, preset in (("supervised", None), (None, None), *((None, preset) for preset in presets)):
        name = f"--method {method}" if method else f"--preset {preset}" if preset else "semi-supervised, the default"
        if preset in _HEAVY and not torch.cuda.is_available():
            lines.append(f"{name}: not measured, it is for a GPU")
            continue
        try:
            measured = measure(configure(str(bundle), ["train"], {}, method, preset))
        except Exception as error:
            why = _why_not(error)
            if why is None or (method and isinstance(why, InputError)):
                raise
            lines.append(f"{name}: not measured ({first_line(why)})")
            continue
        steps = [f"{seconds:.2g} s" for seconds in (measured.slow, measured.slower) if seconds]
        lines.append(f"{name}: {in_words(measured.seconds)} (a step took {', after the burn-in '.join(steps)})")
    return lines


def measure(configured: Configured) -> TrainingTime:
    """Train a few iterations on a few cases, without leaving anything, and take their times.

    Args:
        configured: a training with nothing overridden.

    Raises:
        InputError: the configuration cannot be trained here, for example without an optional package.
    """
    parser = configured.parser()
    with mistakes_as_themselves():
        datalist = parser.get_parsed_content("found")
        few = replace(
            datalist, labeled=datalist.labeled[:_CASES], unlabeled=datalist.unlabeled[:_CASES], validation=[], test=[]
        )
        total = int(parser.get("max_epochs")) * -(-len(datalist.unlabeled) // int(parser.get("unlabeled_batch_size")))
        semi_supervised = configured.uses_unlabeled()
        burn_in = int(float(parser.get("burn_in")) * total) if semi_supervised else 0  # else all steps are alike
        # As in a training, cases are checked, which marks grey pictures in colour.
        parser.update({"found": few, "pretrained": None, "num_workers": 0})
        parser.update({"max_iterations": _STEPS * (1 + bool(burn_in)), "burn_in": 0.5 if burn_in else 0.0})
        began = time.monotonic()
        for key in ("train#dataset", "unlabeled_dataset"):
            parser.get_parsed_content(key)
        read = len(few.labeled) + len(few.unlabeled)
        loading = (time.monotonic() - began) / read * (len(datalist.labeled) + len(datalist.unlabeled))
        trainer = parser.get_parsed_content("train#trainer")
        ends = _ends(trainer)
    usual = [usual_step(ends[first : first + _STEPS]) for first in range(0, len(ends), _STEPS)]
    return TrainingTime(loading, burn_in, total - burn_in, usual[0] if burn_in else 0.0, usual[-1])


def usual_step(ends: Sequence[float]) -> float:
    """Seconds of a usual step, among them what other programs take: these go on while the training runs.

    Args:
        ends: when each of several steps of one kind ended; the first, which is slower than the others, is left out.

    Example:
        >>> usual_step([5.0, 6.0, 8.0, 18.0])
        2.0
    """
    return median(end - begin for begin, end in pairwise(ends))


def _why_not(error: Exception) -> Exception | None:
    """What keeps a training from being measured here: a user's mistake, or too little memory, whatever ran out of it.

    Where a component of the configuration does, MONAI raises its own error about it.
    """
    for cause in causes(error):
        if isinstance(cause, (InputError, torch.OutOfMemoryError)):
            return cause
        if isinstance(cause, MemoryError) or (isinstance(cause, RuntimeError) and _NO_MEMORY in str(cause)):
            return MemoryError("out of memory")
    return None


def _ends(trainer: Any) -> list[float]:
    """Train, and take the time at the end of each iteration."""
    from ignite.engine import Events  # noqa: PLC0415

    ends: list[float] = []

    def note(engine: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        ends.append(time.monotonic())

    trainer.add_event_handler(Events.ITERATION_COMPLETED, note)
    trainer.run()
    return ends


def in_words(seconds: float) -> str:
    """A length of time, roughly.

    Example:
        >>> in_words(20), in_words(500), in_words(9000), in_words(400_000)
        ('about 20 seconds', 'about 8 minutes', 'about 2.5 hours', 'about 4.6 days')
    """
    units: Sequence[tuple[str, float, str]] = (("seconds", 1, ".0f"), ("minutes", 60, ".0f"), ("hours", 3600, ".1f"))
    for (name, size, form), most in zip(units, (90, 5400, 129_600), strict=True):
        if seconds < most:
            return f"about {seconds / size:{form}} {name}"
    return f"about {seconds / 86_400:.1f} days"
