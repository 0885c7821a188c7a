"""Random Gaussian noise of whole batches.

MONAI's ``RandGaussianNoise`` draws the noise itself on the host, image by image. Here only a seed per image
is drawn on the host and the noise is made where the images are, so it can be repeated without being kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_supmix.transforms.batch import RandBatchTransform, RandBatchTransformd, per_image

__all__ = ["RandNoise", "RandNoiseD", "RandNoiseDict", "RandNoised", "add_gaussian_noise"]


def add_gaussian_noise(images: Tensor, stds: Tensor, seeds: Iterable[int]) -> Tensor:
    """Add white Gaussian noise to images and clamp to [0, 1].

    The noise of an image depends only on its seed, its shape and the kind of device, not on the rest of the
    batch.

    Args:
        images: ``(B, C, *spatial)`` in [0, 1].
        stds: ``(B,)``, standard deviations of the noise, at least 0.
        seeds: ``B`` integers on the host.

    Returns:
        a new tensor of the same shape, in [0, 1].

    Raises:
        ValueError: when there are not as many seeds as images.

    Example:
        >>> import torch
        >>> grey = torch.full((2, 1, 64, 64), 0.5)
        >>> noisy = add_gaussian_noise(grey, torch.tensor([0.0, 0.1]), seeds=[1, 2])
        >>> noisy.std(dim=(1, 2, 3)).round(decimals=2)
        tensor([0.0000, 0.1000])
    """
    noise = torch.empty_like(images, memory_format=torch.contiguous_format)
    for sample, seed in zip(noise, seeds, strict=True):
        sample.normal_(generator=torch.Generator(images.device).manual_seed(int(seed)))
    return noise.mul_(per_image(stds, images)).add_(images).clamp_(0, 1)


class RandNoise(RandBatchTransform):
    """Add white Gaussian noise of a random strength per image.

    Args:
        std: range ``(low, high)`` of the noise's standard deviation, drawn uniformly, in units of the image's
            range [0, 1]: on a CT window 1500 HU wide the default reaches 45 HU, the noise of a low-dose scan.
        prob: probability per image.

    Raises:
        ValueError: when the range is reversed or negative, or ``prob`` lies outside [0, 1].

    Example:
        >>> import torch
        >>> noise = RandNoise(prob=1.0).set_random_state(seed=0)
        >>> images = torch.rand(2, 1, 16, 16)
        >>> torch.equal(noise.apply_batch(images), noise.apply_batch(images, randomize=False))
        True
    """

    def __init__(self, std: Sequence[float] = (0.0, 0.03), prob: float = 0.5) -> None:
        super().__init__(prob)
        low, high = std
        if not 0 <= low <= high:
            raise ValueError(f"std must be a range 0 <= low <= high, got {tuple(std)}.")
        self.std = (float(low), float(high))
        self.stds = np.empty(0)
        self.seeds = np.empty(0, dtype=np.int64)

    def randomize(self, batch_size: int = 1) -> None:
        """Draw the selection, a strength and a seed of the noise per image."""
        super().randomize(batch_size)
        self.stds = self.R.uniform(*self.std, batch_size)
        self.seeds = self.R.randint(2**32, size=batch_size, dtype=np.int64)

    def transform_(self, images: Tensor, drawn: slice) -> None:
        """Add noise to the selected images. See :meth:`RandBatchTransform.transform_`."""
        images.copy_(add_gaussian_noise(images, torch.from_numpy(self.stds[drawn]), self.seeds[drawn].tolist()))


class RandNoised(RandBatchTransformd):
    """Dictionary form of :class:`RandNoise`: keys of one shape get the same noise.

    Args:
        keys: keys of the images, each ``(C, *spatial)`` in [0, 1].
        std: see :class:`RandNoise`.
        prob: see :class:`RandNoise`.
        allow_missing_keys: whether a missing key is passed over instead of raising ``KeyError``.

    Example:
        >>> grey = torch.full((1, 8, 8), 0.5)
        >>> noisy = RandNoised(("image", "copy"), std=(0.1, 0.1), prob=1.0)({"image": grey, "copy": grey})
        >>> torch.equal(noisy["image"], noisy["copy"]), torch.equal(noisy["image"], grey)
        (True, False)
    """

    def __init__(
        self,
        keys: KeysCollection,
        std: Sequence[float] = (0.0, 0.03),
        prob: float = 0.5,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, RandNoise(std, prob), allow_missing_keys)


RandNoiseD = RandNoiseDict = RandNoised
