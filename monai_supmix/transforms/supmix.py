"""SupMix: paste ground-truth regions of labelled images into unlabelled images (Eqs. 7-11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from monai.utils import ensure_tuple
from torch import Tensor

from monai_supmix.transforms.mixing import Batch, class_index, class_mask, classes_present, draw_classes
from monai_supmix.transforms.region_mix import RegionMix, to_device


class SupMix(RegionMix):
    """Paste half of the foreground classes of labelled images into unlabelled images and their pseudo-labels.

    Of the ``n`` foreground classes in a labelled crop, ``max(1, floor(n / 2))`` are drawn (Eq. 8); the mask
    is where the *ground truth* is one of them (Eq. 9), so it does not depend on how good the network is.
    Pasted pixels get confidence 1 (`source_confidence` is not used). Nothing is pasted from a crop without
    foreground, nor where the ground truth is ``ignore_index``.

    The source is the labelled batch and may be of another size than the target. Calling with
    ``randomize=False`` replays the stored draw.

    Args:
        num_classes: number of classes ``C``, background included.
        background_classes: class or classes that are never pasted.
        prob: probability per target sample. 0.5 is that of CutMix in UniMatch.
        ignore_index: label value of pixels without ground truth, or None.
        class_pool: ``"present"`` draws half of the foreground classes in the labelled crop, ``"dataset"``
            half of all foreground classes, whether the crop holds them or not.
        pairing: ``"aligned"`` pairs target ``i`` with source ``i % B_source``, ``"shuffled"`` with a random
            source.
        class_weights: ``C`` weights, not negative. Classes are drawn one after the other without replacement,
            with probabilities proportional to them; one of weight 0 is not pasted, like a background class.
            None is uniform. :func:`monai_supmix.data.inverse_frequency` counts labelled images for them.

    Raises:
        ValueError: an argument is outside its range, or no class is left to paste.

    Example:
        >>> mix = SupMix(num_classes=3, prob=1.0, ignore_index=255)
        >>> truth, pseudo_label = torch.tensor([[[[0, 2], [2, 255]]]]), torch.tensor([[[[1, 1], [0, 0]]]])
        >>> image, confidence = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 0.6)
        >>> mixed = mix(truth / 2, truth, image, pseudo_label, target_confidence=confidence)
        >>> mixed.label
        tensor([[[[1, 2], [2, 0]]]])
        >>> mixed.image
        tensor([[[[0., 1.], [1., 0.]]]])
        >>> mixed.confidence
        tensor([[[[0.6000, 1.0000], [1.0000, 0.6000]]]])
    """

    source = "labeled"
    num_classes: int  # always given, unlike in the base

    def __init__(
        self,
        num_classes: int,
        background_classes: int | Sequence[int] = (0,),
        prob: float = 0.5,
        ignore_index: int | None = None,
        *,
        class_pool: Literal["present", "dataset"] = "present",
        pairing: Literal["aligned", "shuffled"] = "aligned",
        class_weights: Sequence[float] | np.ndarray | None = None,
    ) -> None:
        super().__init__(prob, num_classes, ignore_index)
        weights = np.ones(num_classes) if class_weights is None else np.array(class_weights, dtype=float)
        if weights.shape != (num_classes,) or not np.isfinite(weights).all() or (weights < 0).any():
            raise ValueError(
                f"class_weights must be {num_classes} finite numbers, none negative, got {weights.tolist()}"
            )
        for background in ensure_tuple(background_classes):
            if not 0 <= background < num_classes:
                raise ValueError(f"background class {background} is not a class (0 to {num_classes - 1})")
            weights[background] = 0
        if not weights.any():
            raise ValueError(f"no class is left to paste: background_classes {ensure_tuple(background_classes)}")
        if class_pool not in ("present", "dataset"):
            raise ValueError(f"class_pool must be 'present' or 'dataset', got {class_pool!r}")
        if pairing not in ("aligned", "shuffled"):
            raise ValueError(f"pairing must be 'aligned' or 'shuffled', got {pairing!r}")
        self.class_pool, self.pairing = class_pool, pairing
        self._pool = np.flatnonzero(weights)
        self._weights = weights[self._pool]

    def randomize(self, data: Tensor) -> None:
        """Draw which samples get a paste, in what order classes are called up, and partners if shuffled.

        Args:
            data: the target images ``(B, C_in, *spatial)``, of which only the shape is used.
        """
        super().randomize(data)
        # Of exponential clocks with rates w, the first to ring is c with probability w_c / sum(w), the
        # next one likewise of the rest: weighted drawing without replacement (Efraimidis and Spirakis, 2006).
        ring = self.R.exponential(1 / self._weights, size=(len(data), len(self._pool)))
        self._order = self._pool[ring.argsort(axis=1)]
        self._partner = self.R.random_sample(len(data)) if self.pairing == "shuffled" else None

    def pair(self, source: Batch, target: Batch) -> Batch:
        """The labelled sample of each unlabelled one, with confidence 1 if the target has a confidence."""
        size = len(source.image)
        partner = np.arange(len(target.image)) % size
        if self._partner is not None:
            partner = (self._partner * size).astype(np.int64)
        index = to_device(partner, source.image.device)
        certain = None if target.confidence is None else torch.ones_like(target.confidence)
        return Batch(source.image.index_select(0, index), source.label.index_select(0, index), certain)

    def region(self, label: Tensor, **_others: Any) -> Tensor:
        """The pixels whose true class was drawn (Eqs. 8 and 9)."""
        index = class_index(label, self.num_classes, self.ignore_index)
        present = classes_present(index, self.num_classes)
        if self.class_pool == "dataset":
            present = torch.ones_like(present)
        drawn = draw_classes(present, to_device(self._order, label.device), minimum=1)
        return class_mask(index, drawn)
