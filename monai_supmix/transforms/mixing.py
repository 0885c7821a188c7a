"""Mixing as pure functions: choose a region of one image and paste it into another, or blend the two.

One mechanism serves CutMix, ClassMix and SupMix (Mano, Saito and Hotta, VISAPP 2025, Eqs. 1-11): a mask ``M``
chosen on the source ``A`` moves image, label and confidence together, ``M A + (1 - M) B``. Only the choice of
``M`` differs. MixUp blends instead: two images, with two targets.

Images are ``(B, C_in, *spatial)``, integer labels and confidence ``(B, 1, *spatial)``; ``*spatial`` is 2D or
3D. Random numbers are drawn on the host and come in as arguments; nothing reads a value back from the device.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class Batch(NamedTuple):
    """One side of a mixture.

    Attributes:
        image: ``(B, C_in, *spatial)``.
        label: ``(B, 1, *spatial)``, integers; ground truth or pseudo-label.
        confidence: ``(B, 1, *spatial)`` in [0, 1], or None.

    Example:
        >>> labeled = Batch(torch.rand(2, 3, 8, 8), torch.zeros(2, 1, 8, 8, dtype=torch.uint8))
        >>> labeled.label.shape, labeled.confidence  # ground truth has none
        (torch.Size([2, 1, 8, 8]), None)
    """

    image: Tensor
    label: Tensor
    confidence: Tensor | None = None


class Mixed(NamedTuple):
    """The result of region mixing.

    Attributes:
        image: ``(B, C_in, *spatial)``, dtype of the target image.
        label: ``(B, 1, *spatial)``, dtype of the target label.
        confidence: ``(B, 1, *spatial)`` in [0, 1], or None if the target came without.
        mask: bool ``(B, 1, *spatial)``, the ``M`` of the paper: True where the source was pasted.

    Example:
        >>> source = Batch(torch.tensor([[[[0.5, 0.5]]]]), torch.tensor([[[[1, 1]]]]))
        >>> target = Batch(torch.tensor([[[[0.0, 0.0]]]]), torch.tensor([[[[0, 0]]]]))
        >>> mixed = mix_regions(torch.tensor([[[[True, False]]]]), source, target)
        >>> mixed.image, mixed.label, mixed.confidence
        (tensor([[[[0.5000, 0.0000]]]]), tensor([[[[1, 0]]]]), None)
    """

    image: Tensor
    label: Tensor
    confidence: Tensor | None
    mask: Tensor


class Blended(NamedTuple):
    """The result of blending: an image that shows two, and a soft target, which is two targets with their shares.

    A loss of it is ``(1 - share) * loss(label) + share * loss(other_label)``, each with its own confidence.

    Attributes:
        image: ``(B, C_in, *spatial)``, dtype of the target image.
        label: ``(B, 1, *spatial)``, the target's label.
        confidence: ``(B, 1, *spatial)`` in [0, 1], the target's, or None if it came without.
        mask: bool ``(B, 1, *spatial)``, True in all of a sample that was blended.
        other_label: ``(B, 1, *spatial)``, the source's label; the target's own in samples that were not blended.
        other_confidence: its confidence, or None.
        share: of the source, in [0, 1].

    Example:
        >>> source = Batch(torch.tensor([[[[1.0]]]]), torch.tensor([[[[2]]]]))
        >>> target = Batch(torch.tensor([[[[0.0]]]]), torch.tensor([[[[1]]]]))
        >>> blended = blend(0.25, torch.tensor([[[[True]]]]), source, target)
        >>> blended.image.item(), blended.label.item(), blended.other_label.item(), blended.share
        (0.25, 1, 2, 0.25)
    """

    image: Tensor
    label: Tensor
    confidence: Tensor | None
    mask: Tensor
    other_label: Tensor
    other_confidence: Tensor | None
    share: float


def paste(mask: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """``M A + (1 - M) B`` for any map: image, label, confidence or ignore map (Eqs. 5, 6, 10, 11).

    It selects and does not multiply, so that a NaN or an ignored value outside the mask stays where it is.

    Args:
        mask: bool ``(B, 1, *spatial)``.
        source: ``A``, ``(B, channels, *spatial)``.
        target: ``B``, the same shape.

    Returns:
        a new tensor with the target's dtype.

    Example:
        >>> paste(torch.tensor([True, False]), torch.tensor([1, 1]), torch.tensor([7, 7]))
        tensor([1, 7])
    """
    return torch.where(mask, source.to(target.dtype), target)


def mix_regions(mask: Tensor, source: Batch, target: Batch) -> Mixed:
    """Paste image, label and confidence of the source into the target under one mask (Eqs. 5, 6, 10, 11).

    Args:
        mask: bool ``(B, 1, *spatial)``.
        source: what is pasted.
        target: what it is pasted into; of the same shapes.

    Returns:
        the mixture, in new tensors.

    Raises:
        ValueError: one side has a confidence and the other has none.

    Example:
        >>> source = Batch(torch.ones(1, 3, 2, 2), torch.ones(1, 1, 2, 2, dtype=torch.long))
        >>> target = Batch(torch.zeros(1, 3, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.long))
        >>> mix_regions(source.label.new_tensor([[[[1, 0], [0, 0]]]]).bool(), source, target).label
        tensor([[[[1, 0], [0, 0]]]])
    """
    if source.confidence is not None and target.confidence is not None:
        confidence = paste(mask, source.confidence, target.confidence)
    elif source.confidence is target.confidence:
        confidence = None
    else:
        lacking = "source" if source.confidence is None else "target"
        raise ValueError(f"confidence must be given for both sides or for none, {lacking}_confidence is None")
    image, label = paste(mask, source.image, target.image), paste(mask, source.label, target.label)
    return Mixed(image, label, confidence, mask)


def blend(share: float, applied: Tensor, source: Batch, target: Batch) -> Blended:
    """Blend source and target: ``share A + (1 - share) B`` (MixUp; Zhang et al., ICLR 2018).

    Args:
        share: of the source, in [0, 1].
        applied: bool ``(B, 1, ..., 1)``, the samples to blend; the others stay bit for bit.
        source: what is blended in.
        target: what it is blended into; of the same shapes.

    Returns:
        the mixture, in new tensors.

    Raises:
        ValueError: one side has a confidence and the other has none, or images are whole numbers.

    Example:
        >>> source, target = (Batch(torch.full((2, 1, 1, 1), v), torch.zeros(2, 1, 1, 1)) for v in (1.0, 0.0))
        >>> blend(0.75, torch.tensor([True, False]).view(2, 1, 1, 1), source, target).image.flatten()
        tensor([0.7500, 0.0000])
    """
    if not target.image.is_floating_point():
        raise ValueError(f"images to be blended must be floating point, in [0, 1], got {target.image.dtype}")
    mask = applied.expand(target.label.shape).clone()
    image = share * source.image.to(target.image.dtype) + (1 - share) * target.image
    mixed, label, confidence, _ = mix_regions(mask, source._replace(image=image), target)
    own = None if target.confidence is None else target.confidence.clone()
    return Blended(mixed, target.label.clone(), own, mask, label, confidence, share)


def class_index(label: Tensor, num_classes: int, ignore_index: int | None = None) -> Tensor:
    """Bring labels into the range ``[0, num_classes]``, where ``num_classes`` stands for "no class".

    Args:
        label: ``(B, 1, *spatial)``, integers.
        num_classes: number of classes ``C``.
        ignore_index: the label of pixels that belong to no class, or None.

    Returns:
        int64 ``(B, 1, *spatial)``; ``ignore_index`` and values outside the classes become ``num_classes``.

    Example:
        >>> class_index(torch.tensor([[[[0, 1, 255]]]]), num_classes=2, ignore_index=255)
        tensor([[[[0, 1, 2]]]])
    """
    index = label.long()
    no_class = (index < 0) | (index >= num_classes)
    if ignore_index is not None:
        no_class |= index == ignore_index
    return index.masked_fill(no_class, num_classes)


def classes_present(index: Tensor, num_classes: int) -> Tensor:
    """Which classes each sample holds.

    Args:
        index: int64 ``(B, 1, *spatial)`` as `class_index` gives it.
        num_classes: number of classes ``C``.

    Returns:
        bool ``(B, C)``.

    Example:
        >>> classes_present(torch.tensor([[[[0, 2]]], [[[1, 3]]]]), num_classes=3)
        tensor([[ True, False,  True],
                [False,  True, False]])
    """
    present = torch.zeros(len(index), num_classes + 1, dtype=torch.bool, device=index.device)
    return present.scatter(1, index.flatten(1), True)[:, :num_classes]


def draw_classes(present: Tensor, order: Tensor, minimum: int) -> Tensor:
    """Take ``max(minimum, floor(n / 2))`` of the ``n`` classes present (Eqs. 3 and 8).

    The classes are called up in a random order drawn beforehand, without knowing the labels, and the first of
    them that are present are taken. So the draw needs no look at the device, and is the same on each.

    Args:
        present: bool ``(B, C)``, the classes to choose from.
        order: int64 ``(B, P)``, ``P <= C`` different classes per sample; a class not in it is never drawn.
        minimum: least number to draw, where that many are present.

    Returns:
        bool ``(B, C)``, the classes drawn.

    Example:
        >>> order = torch.tensor([[2, 0, 3, 1]])
        >>> draw_classes(torch.tensor([[True, True, False, True]]), order, minimum=0)
        tensor([[ True, False, False, False]])
    """
    candidate = present.gather(1, order)  # from here on columns are in calling order
    number = (candidate.sum(1, keepdim=True) // 2).clamp(min=minimum)
    taken = candidate & (candidate.cumsum(1) <= number)
    return torch.zeros_like(present).scatter(1, order, taken)


def class_mask(index: Tensor, drawn: Tensor) -> Tensor:
    """The mask of the pixels whose class was drawn (Eqs. 4 and 9).

    Args:
        index: int64 ``(B, 1, *spatial)`` as `class_index` gives it.
        drawn: bool ``(B, C)``.

    Returns:
        bool ``(B, 1, *spatial)``.

    Example:
        >>> class_mask(torch.tensor([[[[0, 1, 2, 1]]]]), torch.tensor([[False, True]]))
        tensor([[[[False,  True, False,  True]]]])
    """
    drawn = F.pad(drawn, (0, 1))  # "no class" is never drawn
    return drawn.gather(1, index.flatten(1)).view(index.shape)


def derangement(batch_size: int, R: np.random.RandomState) -> np.ndarray:  # noqa: N803 (MONAI's name)
    """Draw a partner for every sample of a batch, never the sample itself, all such pairings equally likely.

    A batch of one has no other sample: its partner is itself and the caller leaves it unmixed.

    Args:
        batch_size: number of samples, at least 1.
        R: the random state to draw from.

    Returns:
        int64 ``(batch_size,)``, a permutation without fixed points.

    Raises:
        ValueError: ``batch_size`` is below 1.

    Example:
        >>> derangement(2, np.random.RandomState(0))
        array([1, 0])
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    identity = np.arange(batch_size)
    partner = R.permutation(batch_size)
    while batch_size > 1 and (partner == identity).any():  # about e = 2.7 permutations at any size
        partner = R.permutation(batch_size)
    return partner


def inverse_frequency_weights(counts: Sequence[float] | np.ndarray) -> np.ndarray:
    """Weights for the choice of classes, so that rare classes are pasted more often.

    Args:
        counts: pixels per class (or their fractions), not negative. A class never seen is weighted like the
            rarest seen: should it turn up after all, it must not be left out.

    Returns:
        float64 ``(C,)``, proportional to ``1 / counts``, sum 1.

    Raises:
        ValueError: a count is negative or not finite, or all are zero.

    Example:
        >>> inverse_frequency_weights([8, 2, 0]).round(3)
        array([0.111, 0.444, 0.444])
    """
    counts = np.asarray(counts, dtype=float)
    if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts > 0).any()):
        raise ValueError(f"counts must be finite, not negative and not all zero, got {counts.tolist()}")
    weights = 1 / np.maximum(counts, counts[counts > 0].min())
    return weights / weights.sum()
