"""How long a training still takes, foreseeing that iterations after the burn-in are slower."""

from __future__ import annotations

from typing import Any

_TRUSTED = 5  # so many iterations of a kind tell how long one takes
_BACKWARD = 3  # a pass forward and back costs about as much as three forward


class TimeLeft:
    """Adds up what is left of a training's two parts, each at its own pace.

    A part that has not been seen yet is foreseen from the other one.

    Args:
        total: iterations of the whole training.
        burn_in: iterations of the first part.
        ratio: how many times longer an iteration of the second part is expected to take, see `expected_ratio`.

    Example:
        >>> left = TimeLeft(total=100, burn_in=70, ratio=3.0)
        >>> left.start(0, now=0.0)
        >>> left.seconds(10, now=10.0)  # 60 of a second each, and 30 of three
        150.0
        >>> left.seconds(70, now=70.0), left.seconds(80, now=90.0)  # 20 of two
        (90.0, 40.0)
    """

    def __init__(self, total: int, burn_in: int = 0, ratio: float = 1.0) -> None:
        self.total, self.burn_in, self.ratio = total, burn_in, ratio
        self._begun: dict[bool, tuple[int, float]] = {}  # of each part, by whether it is the second
        self._pace: dict[bool, float] = {}

    def start(self, iteration: int, now: float) -> None:
        """The training starts, or goes on, after an iteration; times are seconds of any clock."""
        self._begun, self._pace = {iteration >= self.burn_in: (iteration, now)}, {}

    def seconds(self, iteration: int, now: float) -> float:
        """Seconds left after an iteration.

        Call it as often as you like, and also after the last iteration of the burn-in.

        Args:
            iteration: the last one that is done.
            now: when it was.
        """
        later = iteration > self.burn_in
        first, since = self._begun.setdefault(later, (iteration, now))
        if iteration > first:
            self._pace[later] = (now - since) / (iteration - first)
        if iteration == self.burn_in:
            self._begun[True] = (iteration, now)
        burning = max(0, self.burn_in - iteration)
        others = max(0, self.total - iteration - burning)
        return burning * self._pace.get(False, 0.0) + others * self._later_pace(iteration)

    def _later_pace(self, iteration: int) -> float:
        """Seconds of an iteration after the burn-in: measured once there are some, else foreseen."""
        measured = iteration - self._begun[True][0] if True in self._begun else 0
        if measured < _TRUSTED and False in self._pace:
            return self.ratio * self._pace[False]
        return self._pace.get(True, 0.0)


def expected_ratio(trainer: Any) -> float:
    """How many times as much an iteration costs once it uses unlabelled images, by the images that pass the network.

    Args:
        trainer: a :class:`monai_supmix.engines.SemiSupervisedTrainer`.

    Returns:
        the ratio, 1 or more; 1 for a trainer that uses no unlabelled images.
    """
    if not getattr(trainer, "uses_unlabeled", False):
        return 1.0
    labeled, unlabeled = (stream.sampler.batch_size for stream in (trainer.streams.labeled, trainer.streams.unlabeled))
    views = trainer.strong_views.num_views if trainer.strong_views else 0
    views += bool(trainer.feature_dropout)
    semi = _BACKWARD * (labeled + unlabeled * views) + unlabeled
    return max(1.0, semi / (_BACKWARD * labeled))
