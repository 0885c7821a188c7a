"""Random intensity transforms of whole batches: common base, dictionary form and composition.

MONAI's transforms see one channel-first image at a time. The photometric transforms of this package work on a
batch ``(B, C, *spatial)`` with one independent draw per image, on the device the images are on. All draws are
made on the host from ``self.R``, so the host knows which images are touched and the device never has to be
waited for.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.config.type_definitions import NdarrayOrTensor
from monai.transforms import Compose, MapTransform, Randomizable, RandomizableTransform
from monai.utils import TransformBackends, ensure_tuple
from monai.utils.type_conversion import convert_to_dst_type, convert_to_tensor
from torch import Tensor

_SLACK = 0.5  # beyond [0, 1]: more than interpolation and noise, less than other scales of intensity

__all__ = ["BatchCompose", "RandBatchTransform", "RandBatchTransformd", "per_image", "positive_range"]


class RandBatchTransform(RandomizableTransform):
    """Base of random intensity transforms of one image or of a batch, with one draw per image.

    A subclass extends :meth:`randomize` by its own per-image parameters (host arrays of length ``B``, drawn
    for every image whether selected or not) and implements :meth:`transform_`. Images that are not selected
    are returned bit for bit. Only methods whose names end in an underscore change their inputs.

    Args:
        prob: probability, in [0, 1] and independent per image, that an image is transformed.

    Raises:
        ValueError: when ``prob`` lies outside [0, 1].
    """

    backend = [TransformBackends.TORCH]  # noqa: RUF012 (MONAI's name and form)
    cuts = True
    """Whether values beyond [0, 1] are lost, so that images on another scale would be destroyed."""

    def __init__(self, prob: float) -> None:
        if not 0.0 <= prob <= 1.0:
            raise ValueError(f"prob must lie in [0, 1], got {prob}.")
        super().__init__(prob)
        self.selected: np.ndarray | None = None

    def randomize(self, batch_size: int = 1) -> None:
        """Draw which images are transformed, and (in subclasses) with which parameters.

        Args:
            batch_size: number of images ``B``.
        """
        self.selected = self.R.random_sample(batch_size) < self.prob
        self._do_transform = bool(self.selected.any())

    @abstractmethod
    def transform_(self, images: Tensor, drawn: slice) -> None:
        """Transform selected images with the last draw, in place.

        Args:
            images: the selected images, ``(N, C, *spatial)`` in [0, 1], contiguous.
            drawn: which images of the drawn batch these are.
        """

    def apply_batch(self, images: NdarrayOrTensor, randomize: bool = True) -> Tensor:
        """Transform a batch, every image by its own draw.

        Args:
            images: ``(B, C, *spatial)``, floating point in [0, 1].
            randomize: draw anew; False repeats the last draw, which must have been for ``B`` images.

        Returns:
            a new plain tensor of the same shape, dtype and device, in [0, 1].

        Raises:
            ValueError: when the images are not floating point ``(B, C, *spatial)``, or not as many as drawn, or on
                another scale than [0, 1] (looked at on the CPU, where a transform `cuts`).
            RuntimeError: when ``randomize`` is False and nothing was drawn yet.
        """
        batch: Tensor = convert_to_tensor(images, track_meta=False)
        if self.cuts:
            _check_scale(batch, type(self).__name__)
        return self.apply_batch_(batch.clone(memory_format=torch.contiguous_format), randomize)

    def apply_batch_(self, images: Tensor, randomize: bool = True) -> Tensor:
        """The same in place: changes and returns ``images``, which must be a contiguous plain tensor."""
        if images.ndim < 3 or not images.is_floating_point():
            raise ValueError(
                f"{type(self).__name__} needs floating-point images (B, C, *spatial) in [0, 1], "
                f"got {tuple(images.shape)} of {images.dtype}."
            )
        if randomize:
            self.randomize(len(images))
        if self.selected is None:
            raise RuntimeError(f"{type(self).__name__}: nothing drawn yet, call randomize() first.")
        if len(self.selected) != len(images):
            raise ValueError(f"{type(self).__name__}: last drawn for {len(self.selected)} images, got {len(images)}.")
        for drawn in _runs(self.selected):
            self.transform_(images[drawn], drawn)
        return images

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> NdarrayOrTensor:
        """Transform one channel-first image.

        Args:
            img: ``(C, *spatial)``, floating point in [0, 1]; an array, a tensor or a MetaTensor.
            randomize: draw anew; False repeats the last draw, which must have been for one image.

        Returns:
            the transformed image, of the same kind, shape and dtype.

        Raises:
            ValueError: as :meth:`apply_batch`.
            RuntimeError: as :meth:`apply_batch`.
        """
        image: Tensor = convert_to_tensor(img, track_meta=False)
        result = self.apply_batch(image[None], randomize=randomize)[0]
        return convert_to_dst_type(result, dst=img)[0] if self._do_transform else img


class RandBatchTransformd(Randomizable, MapTransform):
    """Base of the dictionary forms: one draw per item, the same for all its keys.

    Args:
        keys: keys of the images to transform, each ``(C, *spatial)`` in [0, 1].
        transform: the array form that is applied.
        allow_missing_keys: whether a missing key is passed over instead of raising ``KeyError``.
    """

    backend = RandBatchTransform.backend

    def __init__(self, keys: KeysCollection, transform: RandBatchTransform, allow_missing_keys: bool = False) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.transform = transform

    def set_random_state(
        self, seed: int | None = None, state: np.random.RandomState | None = None
    ) -> RandBatchTransformd:
        """Set the random state of the array form, from which all draws come, as MONAI does."""
        super().set_random_state(seed, state)
        self.transform.set_random_state(seed, state)
        return self

    def randomize(self, data: Any = None) -> None:
        """Draw the parameters of one item."""
        self.transform.randomize(1)

    def __call__(self, data: Mapping[Any, Any], randomize: bool = True) -> dict[Any, Any]:
        """Transform the images under ``keys``; ``randomize=False`` repeats the last draw."""
        item = dict(data)
        if randomize:
            self.randomize()
        for key in self.key_iterator(item):
            item[key] = self.transform(item[key], randomize=False)
        return item


def per_image(values: Tensor, images: Tensor) -> Tensor:
    """Bring one value per image to the images' dtype and device, shaped to broadcast over them.

    Args:
        values: ``(B,)``.
        images: ``(B, C, *spatial)``.

    Returns:
        ``(B, 1, ..., 1)``.

    Raises:
        ValueError: when there are not as many values as images.
    """
    if values.shape != images.shape[:1]:
        raise ValueError(f"need one value per image, got {tuple(values.shape)} for images {tuple(images.shape)}.")
    return values.to(images, non_blocking=True).view(-1, *[1] * (images.ndim - 1))


def positive_range(name: str, limits: Sequence[float]) -> tuple[float, float]:
    """Check a range ``(low, high)`` of values above 0 and return it as a tuple of floats.

    Raises:
        ValueError: when it is reversed or not above 0; the message calls it ``name``.
    """
    low, high = limits
    if not 0 < low <= high:
        raise ValueError(f"{name} must be a range 0 < low <= high, got {tuple(limits)}.")
    return float(low), float(high)


class BatchCompose(Compose):
    """Compose array transforms over a batch of images, each image with its own random draw.

    Transforms of this package, and any other with ``apply_batch``, see the whole batch at once. MONAI's own
    array transforms, for example ``RandCoarseDropout`` for Cutout or Random Erasing, are called image by
    image. ``set_random_state(seed=...)`` reaches all of them.

    Args:
        transforms: array transforms that keep the shape of an image; a sequence, a single one, or a MONAI
            ``Compose``, whose transforms are taken over (also where nested).

    Raises:
        ValueError: when a dictionary transform is among them.

    Example:
        >>> import torch
        >>> from monai.transforms import RandCoarseDropout
        >>> from monai_supmix.transforms.gaussian_blur import RandGaussianBlur
        >>> strong = BatchCompose([RandGaussianBlur(), RandCoarseDropout(holes=1, spatial_size=8, prob=0.5)])
        >>> strong = strong.set_random_state(seed=0)
        >>> strong(torch.rand(4, 3, 32, 32)).shape
        torch.Size([4, 3, 32, 32])
    """

    def __init__(self, transforms: Sequence[Callable] | Callable | None = None) -> None:
        flat = tuple(_flatten(transforms))
        for transform in flat:
            if isinstance(transform, MapTransform):
                raise ValueError(f"BatchCompose takes array transforms, got {type(transform).__name__}.")
        super().__init__(flat)

    def __call__(self, images: NdarrayOrTensor, lazy: bool | None = False) -> Tensor:  # type: ignore[override]
        """Transform a batch.

        Args:
            images: ``(B, C, *spatial)``, floating point in [0, 1]. Not changed in place.
            lazy: what MONAI's ``Compose`` tells another one inside it; nothing here is lazy.

        Returns:
            a new plain tensor of the same shape, dtype and device.

        Raises:
            ValueError: when a transform changes the shape of an image, or as `RandBatchTransform.apply_batch`.
        """
        batch: Tensor = convert_to_tensor(images, track_meta=False)
        # the one copy: some of MONAI's transforms too, RandCoarseDropout for one, write into their input
        batch = batch.clone(memory_format=torch.contiguous_format)
        is_checked = False
        for transform in self.transforms:
            if not is_checked and getattr(transform, "cuts", False):  # transforms before it may have scaled the images
                _check_scale(batch, type(transform).__name__)
                is_checked = True
            if hasattr(transform, "apply_batch_"):
                transform.apply_batch_(batch)
            elif hasattr(transform, "apply_batch"):
                batch = transform.apply_batch(batch).contiguous()
            else:
                batch = torch.stack([_apply_to_one(transform, image) for image in batch])
        return batch


def _check_scale(images: Tensor, name: str) -> None:
    """Refuse images that are not scaled to [0, 1]; on other devices than the CPU they would have to be waited for."""
    if images.device.type == "cpu" and images.numel() and images.is_floating_point():
        low, high = (bound.item() for bound in images.aminmax())
        if not (low >= -_SLACK and high <= 1 + _SLACK):
            raise ValueError(f"{name} needs images in [0, 1], got values from {low:g} to {high:g}.")


def _runs(selected: np.ndarray) -> Iterator[slice]:
    """Slices of consecutive selected images: views, where an index would copy the images out and back."""
    edges = np.flatnonzero(np.diff(selected, prepend=False, append=False))
    for start, stop in edges.reshape(-1, 2).tolist():
        yield slice(start, stop)


def _flatten(transforms: Any) -> Iterator[Callable]:
    """The transforms in order, with those of plain ``Compose`` objects in their place.

    Subclasses that choose or reorder, such as ``OneOf``, stay whole and are called image by image.
    """
    for transform in () if transforms is None else ensure_tuple(transforms):
        if type(transform) in (Compose, BatchCompose):
            yield from _flatten(transform.transforms)
        else:
            yield transform


def _apply_to_one(transform: Callable, image: Tensor) -> Tensor:
    result = convert_to_tensor(transform(image), track_meta=False)
    if not isinstance(result, Tensor) or result.shape != image.shape:
        got = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
        raise ValueError(f"{type(transform).__name__} made {got} of an image of shape {tuple(image.shape)}.")
    return result.to(image)
