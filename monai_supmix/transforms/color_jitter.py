"""Random brightness, contrast, saturation and hue of whole batches.

The four operations equal ``torchvision.transforms.v2.functional``'s on floating-point images in [0, 1], with
one factor per image.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_supmix.transforms.batch import RandBatchTransform, RandBatchTransformd, per_image
from monai_supmix.transforms.grayscale import LUMA, is_color

__all__ = [
    "RandColorJitter",
    "RandColorJitterD",
    "RandColorJitterDict",
    "RandColorJitterd",
]

_CACHED_PIXELS = 2**15  # the nine working planes of the hue, 4 bytes each, then fit a processor's cache


# In place, on contiguous images: memory, not arithmetic, is what these operations wait for.


def _brightness_(images: Tensor, factors: Tensor) -> Tensor:
    return images.mul_(per_image(factors, images)).clamp_(0, 1)


def _contrast_(images: Tensor, factors: Tensor) -> Tensor:
    factor = per_image(factors, images)
    channel_means = images.flatten(2).mean(dim=2)
    if images.shape[1] == 3:
        means = (channel_means * torch.tensor(LUMA).to(images, non_blocking=True)).sum(dim=1)
    else:
        means = channel_means.mean(dim=1)
    return images.mul_(factor).add_((1 - factor) * per_image(means, images)).clamp_(0, 1)


def _saturation_(images: Tensor, factors: Tensor) -> Tensor:
    if not is_color(images, "saturation"):
        return images
    factor = per_image(factors, images).view(-1, 1, 1)
    # f x + (1 - f) luma(x) is linear in the three channels: one 3x3 matrix per image
    grey = torch.tensor(LUMA).to(images, non_blocking=True)
    colors = factor * torch.eye(3, dtype=images.dtype, device=images.device) + (1 - factor) * grey
    with torch.autocast(images.device.type, enabled=False):
        for pixels in _cached_parts(images):
            torch.clamp(torch.bmm(colors, pixels), 0, 1, out=pixels)
    return images


def _hue_(images: Tensor, factors: Tensor) -> Tensor:
    if is_color(images, "hue"):
        turns = 6 * per_image(factors, images).view(-1, 1)  # in sixths of the circle
        for pixels in _cached_parts(images):
            _turn_hue_(pixels, turns)
    return images


def _cached_parts(images: Tensor) -> tuple[Tensor, ...]:
    """Views ``(B, C, N)`` of the images, on processors small enough that all work stays in the cache."""
    pixels = images.view(*images.shape[:2], -1)
    size = max(1, _CACHED_PIXELS // len(images)) if images.device.type == "cpu" else max(1, pixels.shape[2])
    return pixels.split(size, dim=2)


def _turn_hue_(pixels: Tensor, turns: Tensor) -> None:
    """Turn the hue of ``pixels (B, 3, N)`` by ``turns (B, 1)`` sixths of the circle.

    The way through HSV needs a division, comparisons and a gather per pixel. This is the same map free of all
    three. With the chroma ``c = max - min`` and the hue ``h`` in sixths from red, the distance around the
    circle is linear in the channels, ``c |h| = c - min + g + b - r``; and each channel is a clamped linear
    function of the distance of the turned hue from that channel's own colour.
    """
    red, green, blue = pixels.unbind(1)
    highest = torch.maximum(torch.maximum(red, green), blue)
    lowest = torch.minimum(torch.minimum(red, green), blue)
    chroma = highest - lowest
    distance = torch.add(green, blue).sub_(red).sub_(lowest).add_(chroma)
    hue = torch.copysign(distance, green - blue)  # chroma times the hue, from -3 to 3 sixths
    hue.addcmul_(chroma, turns)  # -6 to 6; the inner abs below folds the surplus back onto the circle
    half = torch.mul(chroma, 3, out=distance)
    below, above = lowest - chroma, highest + chroma

    # red lies at 0 and is seen from its opposite at 3; green and blue, at 2 and 4, from their own side
    torch.abs(hue, out=red).sub_(half).abs_().add_(below)
    torch.add(hue, chroma, out=green).abs_().sub_(half).abs_()
    torch.sub(above, green, out=green)
    torch.sub(hue, chroma, out=blue).abs_().sub_(half).abs_()
    torch.sub(above, blue, out=blue)
    for channel in (red, green, blue):
        torch.clamp(channel, lowest, highest, out=channel)


_IN_PLACE = {
    "brightness": _brightness_,
    "contrast": _contrast_,
    "saturation": _saturation_,
    "hue": _hue_,
}


class RandColorJitter(RandBatchTransform):
    """Random brightness, contrast, saturation and hue, one factor of each per image.

    Factors are uniform: of brightness, contrast and saturation in ``[max(0, 1 - x), 1 + x]``, of hue in
    ``[-x, x]``, or in the range given. The order of the four operations is drawn once per call, for a batch
    as a whole. On one-channel images saturation and hue do nothing. An operation whose range is only its
    identity (``saturation=0``) is left out, so images of, say, four channels can be jittered in brightness
    and contrast alone.

    Args:
        brightness: half width ``x``, or a range ``(low, high)`` of factors.
        contrast: half width ``x``, or a range ``(low, high)`` of factors.
        saturation: half width ``x``, or a range ``(low, high)`` of factors.
        hue: half width ``x`` in [0, 0.5], or a range within [-0.5, 0.5], in parts of a full turn.
        prob: probability per image.

    Raises:
        ValueError: when a width or a factor is negative, a range is reversed, a hue lies outside [-0.5, 0.5]
            or ``prob`` outside [0, 1]; when called, on images of neither 1 nor 3 channels with a saturation
            or hue to change.

    Example:
        >>> import torch
        >>> jitter = RandColorJitter(prob=1.0).set_random_state(seed=0)
        >>> images = torch.rand(4, 3, 16, 16)
        >>> jittered = jitter.apply_batch(images)
        >>> torch.equal(jittered, jitter.apply_batch(images, randomize=False))
        True
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0.5,
        contrast: float | Sequence[float] = 0.5,
        saturation: float | Sequence[float] = 0.5,
        hue: float | Sequence[float] = 0.25,
        prob: float = 0.8,
    ) -> None:
        super().__init__(prob)
        self.ranges = {
            "brightness": _factor_range("brightness", brightness),
            "contrast": _factor_range("contrast", contrast),
            "saturation": _factor_range("saturation", saturation),
            "hue": _hue_range(hue),
        }
        self.factors: dict[str, np.ndarray] = {}
        self.order: list[str] = []

    def randomize(self, batch_size: int = 1) -> None:
        """Draw the selection, a factor of each operation per image, and the order of the operations."""
        super().randomize(batch_size)
        self.factors = {name: self.R.uniform(*limits, batch_size) for name, limits in self.ranges.items()}
        self.order = [list(self.ranges)[i] for i in self.R.permutation(len(self.ranges))]

    def transform_(self, images: Tensor, drawn: slice) -> None:
        """Jitter the selected images. See :meth:`RandBatchTransform.transform_`."""
        for name in self.order:
            identity = 0.0 if name == "hue" else 1.0
            if self.ranges[name] != (identity, identity):
                _IN_PLACE[name](images, torch.from_numpy(self.factors[name][drawn]))


def _factor_range(name: str, value: float | Sequence[float]) -> tuple[float, float]:
    if not isinstance(value, Sequence):
        if value < 0:
            raise ValueError(f"{name} must not be negative, got {value}.")
        return max(0.0, 1.0 - value), 1.0 + value
    low, high = value
    if not 0 <= low <= high:
        raise ValueError(f"{name} must be a range of factors 0 <= low <= high, got {tuple(value)}.")
    return float(low), float(high)


def _hue_range(value: float | Sequence[float]) -> tuple[float, float]:
    low, high = value if isinstance(value, Sequence) else (-value, value)
    if not -0.5 <= low <= high <= 0.5:
        raise ValueError(f"hue must be a width in [0, 0.5] or a range within [-0.5, 0.5], got {value}.")
    return float(low), float(high)


class RandColorJitterd(RandBatchTransformd):
    """Dictionary form of :class:`RandColorJitter`: the same factors and order for all keys.

    Args:
        keys: keys of the images, each ``(C, *spatial)`` in [0, 1].
        brightness: see :class:`RandColorJitter`.
        contrast: see :class:`RandColorJitter`.
        saturation: see :class:`RandColorJitter`.
        hue: see :class:`RandColorJitter`.
        prob: see :class:`RandColorJitter`.
        allow_missing_keys: whether a missing key is passed over instead of raising ``KeyError``.

    Example:
        >>> picture = torch.rand(3, 8, 8)
        >>> jittered = RandColorJitterd(("image", "copy"), prob=1.0)({"image": picture, "copy": picture})
        >>> torch.equal(jittered["image"], jittered["copy"]), torch.equal(jittered["image"], picture)
        (True, False)
    """

    def __init__(
        self,
        keys: KeysCollection,
        brightness: float | Sequence[float] = 0.5,
        contrast: float | Sequence[float] = 0.5,
        saturation: float | Sequence[float] = 0.5,
        hue: float | Sequence[float] = 0.25,
        prob: float = 0.8,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, RandColorJitter(brightness, contrast, saturation, hue, prob), allow_missing_keys)


RandColorJitterD = RandColorJitterDict = RandColorJitterd
