"""What SupMix, ClassMix, CutMix and MixUp share as transforms: the call, its checks, the per-sample probability."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from typing import Any, Literal

import numpy as np
import torch
from monai.transforms import Randomizable
from torch import Tensor

from monai_supmix.plain import as_plain
from monai_supmix.transforms.mixing import Batch, Blended, Mixed, mix_regions

INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


class Mixing(Randomizable):
    """Base of everything that mixes two batches: ``randomize`` draws, the call applies the draw.

    A subclass says what it draws (`randomize`), and how it makes one batch of two (`combine`).

    Args:
        prob: probability, per sample, that it is mixed.
        num_classes: number of classes ``C`` if label values are to be checked, else None.
        ignore_index: the one label value allowed outside ``[0, num_classes)``, or None.

    Raises:
        ValueError: ``prob`` is not in [0, 1], or ``num_classes`` is below 1.

    Example:
        >>> from monai_supmix.transforms.mixing import blend
        >>> class Average(Mixing):
        ...     def combine(self, source, target):
        ...         return blend(0.5, self.applied(target.image.device), source, target)
        >>> source, target = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
        >>> Average(prob=1.0)(source, source.long(), target, target.long()).image[0, 0]
        tensor([[0.5000, 0.5000],
                [0.5000, 0.5000]])
    """

    source: Literal["labeled", "unlabeled"] = "unlabeled"
    """Where the source comes from: the labelled batch, or another image of the unlabelled one."""

    def __init__(self, prob: float, num_classes: int | None = None, ignore_index: int | None = None) -> None:
        if not 0 <= prob <= 1:
            raise ValueError(f"prob must be in [0, 1], got {prob}")
        if num_classes is not None and num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        self.prob = prob
        self.num_classes = num_classes
        self.ignore_index = ignore_index
        self._drawn_for: tuple[int, ...] | None = None

    def randomize(self, data: Tensor) -> None:
        """Draw for a batch of target images, on the host, and keep the draw.

        Args:
            data: the target images ``(B, C_in, *spatial)``, of which only the shape is used.
        """
        self._drawn_for = _grid(data)
        self._applied = self.R.random_sample(len(data)) < self.prob

    def pair(self, source: Batch, target: Batch) -> Batch:
        """The source sample of each target sample: here the one at the same index.

        Raises:
            ValueError: the two batches differ in size.
        """
        if len(source.image) != len(target.image):
            raise ValueError(
                f"source and target must be batches of the same size, "
                f"got source_image {_shape(source.image)} and target_image {_shape(target.image)}"
            )
        return source

    @abstractmethod
    def combine(self, source: Batch, target: Batch) -> Mixed | Blended:
        """Make one batch of two by the stored draw; sample i of the source is the partner of sample i of the target."""

    def __call__(
        self,
        source_image: Tensor,
        source_label: Tensor,
        target_image: Tensor,
        target_label: Tensor,
        source_confidence: Tensor | None = None,
        target_confidence: Tensor | None = None,
        randomize: bool = True,
    ) -> Mixed | Blended:
        """Mix the source into the target.

        Args:
            source_image: ``A``, ``(B, C_in, *spatial)``.
            source_label: its label ``(B, 1, *spatial)``, integers.
            target_image: ``B``, ``(B, C_in, *spatial)``.
            target_label: its pseudo-label ``(B, 1, *spatial)``, integers.
            source_confidence: ``(B, 1, *spatial)`` in [0, 1], or None.
            target_confidence: ``(B, 1, *spatial)`` in [0, 1], or None.
            randomize: False replays the stored draw.

        Returns:
            ``(image, label, confidence, mask)`` as new tensors, and what else a soft target needs; the inputs are
            not touched. Metadata, if any, is the target's.

        Raises:
            ValueError: shapes or dtypes do not fit together, a batch is empty, labels are not integers or (looked at
                on the CPU only, where it costs no synchronisation) outside the classes or what the target can hold,
                one confidence is given without the other, or no draw is stored for a target of this shape.
        """
        source = Batch(as_plain(source_image), as_plain(source_label), as_plain(source_confidence))
        target = Batch(target_image, target_label, target_confidence)
        self._check(source, target)
        if randomize:
            self.randomize(target_image)
        elif self._drawn_for != _grid(target_image):
            raise ValueError(
                f"the stored draw is for batch and spatial shape {self._drawn_for}, got {_grid(target_image)}"
            )
        return self.combine(self.pair(source, target), target)

    def applied(self, device: torch.device) -> Tensor:
        """Which samples are mixed, from the stored draw: bool ``(B, 1, 1, 1)``, in 3D ``(B, 1, 1, 1, 1)``."""
        assert self._drawn_for is not None
        return to_device(self._applied, device).view(-1, *[1] * len(self._drawn_for))

    def _check(self, source: Batch, target: Batch) -> None:
        for side, batch in (("source", source), ("target", target)):
            image, label, confidence = batch
            for name, value in (("image", image), ("label", label), ("confidence", confidence)):
                if not isinstance(value, Tensor) and not (name == "confidence" and value is None):
                    raise ValueError(f"{side}_{name} must be a tensor, got {type(value).__name__}")
            if image.ndim not in (4, 5) or not len(image):
                raise ValueError(
                    f"{side}_image must be (B, C, H, W) or (B, C, D, H, W) with B >= 1, got {_shape(image)}"
                )
            for name, value in (("label", label), ("confidence", confidence)):
                if value is not None and value.shape != (len(image), 1, *image.shape[2:]):
                    raise ValueError(
                        f"{side}_{name} must be (B, 1, *spatial) of its image, "
                        f"got {_shape(value)} for an image {_shape(image)}"
                    )
            if label.dtype not in INTEGERS:
                raise ValueError(f"{side}_label must be integers, got {label.dtype}")
            if self.num_classes is not None and label.device.type == "cpu":
                check_classes(as_plain(label), f"{side}_label", self.num_classes, self.ignore_index)
        if source.image.shape[1:] != target.image.shape[1:]:
            raise ValueError(
                f"channels and spatial shape must agree, "
                f"got source_image {_shape(source.image)} and target_image {_shape(target.image)}"
            )
        kinds = source.image.dtype, target.image.dtype
        if kinds[0] != kinds[1] and not (kinds[0].is_floating_point and kinds[1].is_floating_point):
            raise ValueError(
                f"images must be of one dtype, or both floating-point, "
                f"got source_image {kinds[0]} and target_image {kinds[1]}"
            )
        label, limits = as_plain(source.label), torch.iinfo(dtype := target.label.dtype)
        on_cpu = label.dtype != dtype and label.device.type == "cpu"
        # As Python's integers: a tensor of a narrower kind would be compared with a limit that it cannot hold.
        if on_cpu and not (limits.min <= int(label.min()) and int(label.max()) <= limits.max):
            raise ValueError(f"source_label holds values that target_label, {dtype}, cannot hold")


class RegionMix(Mixing):
    """Base of the region-mixing transforms, which paste a region of the source into the target.

    A subclass says what it draws (`randomize`), and which region of the source that is (`region`).

    Args:
        prob: probability, per sample, that anything is pasted into it.
        num_classes: number of classes ``C`` if label values are to be checked, else None.
        ignore_index: the one label value allowed outside ``[0, num_classes)``, or None.

    Raises:
        ValueError: ``prob`` is not in [0, 1], or ``num_classes`` is below 1.

    Example:
        >>> class LeftHalf(RegionMix):
        ...     def region(self, label):
        ...         return torch.arange(label.shape[-1]).expand(label.shape) < label.shape[-1] // 2
        >>> source, target = torch.ones(1, 1, 2, 4), torch.zeros(1, 1, 2, 4)
        >>> LeftHalf(prob=1.0)(source, source.long(), target, target.long()).image[0, 0]
        tensor([[1., 1., 0., 0.],
                [1., 1., 0., 0.]])
    """

    def region(self, label: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """The region to paste, from the stored draw.

        A subclass gets what it has arguments for: ``region(self, label)``, ``region(self, label, image)``,
        ``region(self, label, confidence)`` or ``region(self, label, image, confidence)``.

        Args:
            label: labels ``(B, 1, *spatial)`` of the source, paired with the target.
            args: none; stands for what a subclass may declare beside the label.
            kwargs: those that it declares of ``image``, ``(B, C_in, *spatial)``, and ``confidence``,
                ``(B, 1, *spatial)`` in [0, 1] or None, both of the source.

        Returns:
            bool ``(B, 1, *spatial)``.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement region")

    def combine(self, source: Batch, target: Batch) -> Mixed:
        """Paste the region of each source sample that is to be mixed into its target.

        Raises:
            ValueError: the region is no mask of the label's shape.
        """
        offered = {"image": source.image, "confidence": source.confidence}
        asked_for = inspect.signature(self.region).parameters
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in asked_for.values()):
            region = self.region(source.label, **offered)
        else:
            region = self.region(source.label, **{name: value for name, value in offered.items() if name in asked_for})
        if region.dtype != torch.bool or region.shape != source.label.shape:
            raise ValueError(
                f"region of {type(self).__name__} must give bool {_shape(source.label)}, "
                f"got {str(region.dtype).removeprefix('torch.')} {_shape(region)}"
            )
        return mix_regions(region & self.applied(region.device), source, target)


def check_classes(label: Tensor, name: str, num_classes: int, ignore_index: int | None) -> None:
    """Raise ValueError naming ``name`` and the first value that is neither a class nor ``ignore_index``."""
    low, high = (int(value) for value in label.aminmax())
    if low >= 0 and high < num_classes:
        return
    label = label.long()  # a uint8 tensor would compare with -1 as with 255
    outside = (label < 0) | (label >= num_classes)
    if ignore_index is not None:
        outside &= label != ignore_index
    if outside.any():
        raise ValueError(
            f"{name} holds {int(label[outside][0])}, which is neither a class (0 to {num_classes - 1}) "
            f"nor ignore_index ({ignore_index})"
        )


def to_device(draw: np.ndarray, device: torch.device) -> Tensor:
    """Send a small host array to a device without waiting for the device."""
    return torch.from_numpy(draw).to(device, non_blocking=True)


def _grid(image: Tensor) -> tuple[int, ...]:
    return (len(image), *image.shape[2:])


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
