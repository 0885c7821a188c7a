"""CutMix: paste a box of one unlabelled image into another (Yun et al., 2019; boxes as in UniMatch)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from monai_supmix.transforms.region_mix import RegionMix, to_device

ASPECTS_PER_AREA = 50
MAX_ATTEMPTS = 2000


def draw_boxes(
    number: int,
    spatial_shape: Sequence[int],
    area: tuple[float, float],
    aspect: tuple[float, float],
    R: np.random.RandomState,  # noqa: N803 (MONAI's name)
) -> tuple[np.ndarray, np.ndarray]:
    """Draw boxes of random area, aspect and place inside an image.

    The area is uniform in its range, and so is the aspect as far as the box then fits: if it does not, the
    aspect is drawn again for the same area. Only an area that none of many aspects suits, as in a flat
    volume, is itself drawn again. The place is uniform among those where the box lies inside. (UniMatch draws
    the corner anew together with the aspect, which favours compact boxes.)

    Args:
        number: how many boxes ``N``.
        spatial_shape: the image, ``d`` sides in pixels.
        area: least and greatest area (in 3D: volume) as a fraction of the image.
        aspect: least and greatest ratio, in pixels, of each side to the last one: of height to width in 2D;
            in 3D there are two such ratios, drawn independently.
        R: the random state to draw from.

    Returns:
        ``(start, stop)``, int64 ``(N, d)`` each: first pixel inside and first pixel behind. Sides are rounded
        to whole pixels, at least one.

    Raises:
        ValueError: no fitting box was found.

    Example:
        >>> start, stop = draw_boxes(1, (64, 64), (0.25, 0.25), (1.0, 1.0), np.random.RandomState(0))
        >>> stop - start
        array([[32, 32]])
    """
    shape = np.array(spatial_shape)
    fraction, sides = np.empty(number), np.empty((number, len(shape)), dtype=np.int64)
    todo = np.arange(number)
    for attempt in range(MAX_ATTEMPTS):
        if attempt % ASPECTS_PER_AREA == 0:
            fraction[todo] = R.uniform(*area, size=len(todo))
        ratios = np.ones((len(todo), len(shape)))
        ratios[:, :-1] = R.uniform(*aspect, size=(len(todo), len(shape) - 1))
        # side_i = s ratio_i, where s makes the product of the sides the area wanted
        scale = (fraction[todo] * shape.prod() / ratios.prod(axis=1)) ** (1 / len(shape))
        sides[todo] = np.rint(scale[:, None] * ratios).clip(min=1)
        todo = todo[(sides[todo] > shape).any(axis=1)]
        if not len(todo):
            start = R.randint(0, shape - sides + 1)
            return start, start + sides
    raise ValueError(f"found no box with area in {area} and aspect in {aspect} that fits into {tuple(spatial_shape)}")


def box_mask(start: Tensor, stop: Tensor, spatial_shape: Sequence[int]) -> Tensor:
    """The mask of one box per sample.

    Args:
        start: int64 ``(B, d)``, first pixel inside.
        stop: int64 ``(B, d)``, first pixel behind.
        spatial_shape: the image, ``d`` sides in pixels.

    Returns:
        bool ``(B, 1, *spatial)``.

    Example:
        >>> box_mask(torch.tensor([[0, 1]]), torch.tensor([[1, 3]]), (2, 3))
        tensor([[[[False,  True,  True],
                  [False, False, False]]]])
    """
    mask = torch.ones(len(start), 1, *spatial_shape, dtype=torch.bool, device=start.device)
    for axis, size in enumerate(spatial_shape):
        at = torch.arange(size, device=start.device)
        inside = (at >= start[:, axis, None]) & (at < stop[:, axis, None])
        mask &= inside.view(-1, 1, *[size if other == axis else 1 for other in range(len(spatial_shape))])
    return mask


class CutMix(RegionMix):
    """Paste a random box of one unlabelled image, with its pseudo-label and confidence, into another one.

    Labels have no say in the choice of the box: an ignored pixel of the source inside it is pasted as such.

    The target is a batch of the same size, and the source usually is that batch put into another order by
    `monai_supmix.transforms.mixing.derangement`. Calling with ``randomize=False`` replays the stored draw.

    Args:
        prob: probability per sample.
        area: least and greatest area (in 3D: volume) of the box as a fraction of the image, in (0, 1].
        aspect: least and greatest ratio of the box's height to its width, positive; see `draw_boxes` for 3D.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> mix = CutMix(prob=1.0, area=(0.25, 0.25), aspect=(1.0, 1.0))
        >>> label = torch.zeros(2, 1, 32, 32, dtype=torch.long)
        >>> mixed = mix(torch.ones(2, 3, 32, 32), label + 1, torch.zeros(2, 3, 32, 32), label)
        >>> mixed.label.sum(dim=(1, 2, 3))
        tensor([256, 256])
    """

    def __init__(
        self,
        prob: float = 0.5,
        area: tuple[float, float] = (0.02, 0.4),
        aspect: tuple[float, float] = (0.3, 1 / 0.3),
    ) -> None:
        super().__init__(prob)
        if not 0 < area[0] <= area[1] <= 1:
            raise ValueError(f"area must be an increasing pair of fractions in (0, 1], got {area}")
        if not 0 < aspect[0] <= aspect[1]:
            raise ValueError(f"aspect must be an increasing pair of positive ratios, got {aspect}")
        self.area, self.aspect = area, aspect

    def randomize(self, data: Tensor) -> None:
        """Draw which samples get a paste, and a box for each.

        Args:
            data: the target images ``(B, C_in, *spatial)``, of which only the shape is used.
        """
        super().randomize(data)
        self._box = draw_boxes(len(data), data.shape[2:], self.area, self.aspect, self.R)

    def region(self, label: Tensor, **_others: Any) -> Tensor:
        """The drawn boxes."""
        start, stop = (to_device(edge, label.device) for edge in self._box)
        return box_mask(start, stop, label.shape[2:])
