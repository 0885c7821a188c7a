"""MixUp: blend one unlabelled image, and its pseudo-label, with another (Zhang et al., ICLR 2018)."""

from __future__ import annotations

from torch import Tensor

from monai_supmix.transforms.mixing import Batch, Blended, blend
from monai_supmix.transforms.region_mix import Mixing


class MixUp(Mixing):
    r"""Blend images pixel by pixel, :math:`\lambda x_A + (1 - \lambda) x_B`, with a soft target of both.

    The soft target is two targets with their shares, so that any loss serves:
    :math:`\lambda L(p, y_A) + (1 - \lambda) L(p, y_B)`, each with its own confidence and ignored pixels. The cross
    entropy of it is that of the blended one-hot labels. One share is drawn for all samples of a batch, as its
    authors do.

    The target is a batch of the same size, and the source usually is that batch put into another order by
    `monai_supmix.transforms.mixing.derangement`. Calling with ``randomize=False`` replays the stored draw.

    Args:
        prob: probability per sample.
        alpha: the share is drawn from Beta(alpha, alpha): 1 is uniform, less is closer to 0 and 1; positive.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import torch
        >>> mix = MixUp(prob=1.0).set_random_state(seed=0)
        >>> bright, dark = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
        >>> mixed = mix(bright, bright.long(), dark, dark.long())
        >>> mixed.image.unique().item() == torch.tensor(mixed.share).item()
        True
        >>> mixed.label.unique().item(), mixed.other_label.unique().item()
        (0, 1)
    """

    def __init__(self, prob: float = 0.5, alpha: float = 1.0) -> None:
        super().__init__(prob)
        if not alpha > 0:
            raise ValueError(f"alpha must be positive, got {alpha}")
        self.alpha = alpha

    def randomize(self, data: Tensor) -> None:
        """Draw which samples are blended, and the share of the source.

        Args:
            data: the target images ``(B, C_in, *spatial)``, of which only the shape is used.
        """
        super().randomize(data)
        self._share = float(self.R.beta(self.alpha, self.alpha))

    def combine(self, source: Batch, target: Batch) -> Blended:
        """Blend the source into the target by the stored share."""
        return blend(self._share, self.applied(target.image.device), source, target)
