"""Random Gaussian blur of whole batches, in 2D and 3D."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from torch import Tensor

from monai_supmix.transforms.batch import RandBatchTransform, RandBatchTransformd, per_image, positive_range

__all__ = [
    "RandGaussianBlur",
    "RandGaussianBlurD",
    "RandGaussianBlurDict",
    "RandGaussianBlurd",
]

_BLOCK = 32  # rows of output per matrix product


def _blur_(images: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    offsets = torch.arange(-radius, radius + 1, dtype=images.dtype, device=images.device)
    taps = torch.softmax(-0.5 * (offsets / per_image(sigmas, images).view(-1, 1)) ** 2, dim=1)
    # a narrow Gaussian's far taps are denormal numbers, with which processors reckon ten times slower
    band = _band(F.threshold(taps, 1e-12, 0.0), _BLOCK)
    for axis in range(2, images.ndim):
        _blur_axis_(images, band, axis, radius)
    return images


def _band(taps: Tensor, size: int) -> Tensor:
    """Matrices ``(B, size, size + K - 1)`` with ``taps (B, K)`` in each row, one step further right."""
    width = size + taps.shape[1] - 1
    # rows one element longer than the width push the taps one further to the right from row to row
    return F.pad(taps, (0, size)).repeat(1, size)[:, : size * width].view(-1, size, width)


def _blur_axis_(images: Tensor, band: Tensor, axis: int, radius: int) -> None:
    """Convolve one axis as matrix products of short blocks with the band matrix.

    On processors, and on 3D volumes, this is two to four times faster than depthwise convolution, whose one
    input channel per group leaves the vector units idle.
    """
    length = images.shape[axis]
    if axis == images.ndim - 1:
        lines = images.view(len(images), -1, length)
        padded, band = _mirror(lines, radius, dim=2), band.transpose(1, 2)
        for start in range(0, length, _BLOCK):
            block = lines[:, :, start : start + _BLOCK]
            reach = block.shape[2] + 2 * radius
            torch.bmm(padded[:, :, start : start + reach], band[:, :reach, : block.shape[2]], out=block)
    else:
        lines = images.view(-1, length, math.prod(images.shape[axis + 1 :]))
        padded, band = _mirror(lines, radius, dim=1), band.repeat_interleave(len(lines) // len(images), dim=0)
        for start in range(0, length, _BLOCK):
            block = lines[:, start : start + _BLOCK]
            reach = block.shape[1] + 2 * radius
            torch.bmm(band[:, : block.shape[1], :reach], padded[:, start : start + reach], out=block)


def _mirror(lines: Tensor, radius: int, dim: int) -> Tensor:
    """Pad dimension ``dim`` (1 or 2) of ``(N, L, M)`` at both ends by mirroring, as often as it takes."""
    length = lines.shape[dim]
    if radius < length:
        return F.pad(lines, (0, 0, radius, radius) if dim == 1 else (radius, radius), mode="reflect")
    # an axis shorter than the kernel, such as the few slices of a thin volume
    index = torch.from_numpy(np.pad(np.arange(length), radius, mode="reflect"))
    return lines.index_select(dim, index.to(lines.device, non_blocking=True))


class RandGaussianBlur(RandBatchTransform):
    """Gaussian blur with a random width per image, of images and volumes.

    The kernel reaches three times the largest standard deviation (13 taps for the default range), the same
    for every image, so that shapes do not depend on the draw. Edges are mirrored, the outermost pixel not repeated.
    With the same kernel it equals ``torchvision``'s ``gaussian_blur`` in 2D and ``scipy.ndimage``'s
    ``gaussian_filter(mode="mirror")``.

    Args:
        sigma: range ``(low, high)`` of the standard deviation in pixels, drawn uniformly; both above 0.
        prob: probability per image.

    Raises:
        ValueError: when the range is reversed or not positive, or ``prob`` lies outside [0, 1].

    Example:
        >>> import torch
        >>> blur = RandGaussianBlur(prob=1.0).set_random_state(seed=0)
        >>> noise = torch.rand(2, 1, 16, 16, 16)
        >>> bool(blur.apply_batch(noise).std() < noise.std())
        True
    """

    cuts = False

    def __init__(self, sigma: Sequence[float] = (0.1, 2.0), prob: float = 0.5) -> None:
        super().__init__(prob)
        self.sigma = positive_range("sigma", sigma)
        self.kernel_size = 2 * math.ceil(3 * self.sigma[1]) + 1
        self.sigmas = np.empty(0)

    def randomize(self, batch_size: int = 1) -> None:
        """Draw the selection and a standard deviation per image."""
        super().randomize(batch_size)
        self.sigmas = self.R.uniform(*self.sigma, batch_size)

    def transform_(self, images: Tensor, drawn: slice) -> None:
        """Blur the selected images. See :meth:`RandBatchTransform.transform_`."""
        _blur_(images, torch.from_numpy(self.sigmas[drawn]), self.kernel_size // 2)


class RandGaussianBlurd(RandBatchTransformd):
    """Dictionary form of :class:`RandGaussianBlur`: the same width for all keys.

    Args:
        keys: keys of the images, each ``(C, *spatial)`` in [0, 1].
        sigma: see :class:`RandGaussianBlur`.
        prob: see :class:`RandGaussianBlur`.
        allow_missing_keys: whether a missing key is passed over instead of raising ``KeyError``.

    Example:
        >>> point = torch.zeros(1, 9, 9)
        >>> point[0, 4, 4] = 1
        >>> blurred = RandGaussianBlurd(("image", "copy"), sigma=(1.0, 1.0), prob=1.0)({"image": point, "copy": point})
        >>> torch.equal(blurred["image"], blurred["copy"]), round(float(blurred["image"].max()), 2)
        (True, 0.16)
    """

    def __init__(
        self,
        keys: KeysCollection,
        sigma: Sequence[float] = (0.1, 2.0),
        prob: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, RandGaussianBlur(sigma, prob), allow_missing_keys)


RandGaussianBlurD = RandGaussianBlurDict = RandGaussianBlurd
