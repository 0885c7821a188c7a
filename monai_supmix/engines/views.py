"""Strong views of unlabelled images: photometric augmentation, then mixing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from monai.transforms import Randomizable, Transform
from torch import Tensor

from monai_supmix.randomness import derive_seed
from monai_supmix.transforms import BatchCompose, Blended, Mixed, Mixing, RegionMix, derangement
from monai_supmix.transforms.mixing import Batch, mix_regions
from monai_supmix.transforms.region_mix import to_device


class StrongViews:
    """Makes the strong views ``x_s1, x_s2, ...`` of a batch and the targets that go with them.

    Each view is the weak view, augmented and then mixed with other images. A mixing whose ``source`` is
    ``"labeled"`` (SupMix) takes them from the labelled batch and its ground truth, index by index; any other
    (CutMix, ClassMix, MixUp) takes another unlabelled image of the same view and its pseudo-label.

    Args:
        num_views: number of strong views; 0 for a method that has none.
        augmentation: photometric augmentation: array transforms of this package or of MONAI, which see one image at a
            time (:class:`monai_supmix.transforms.BatchCompose`), or another function of a batch ``(B, C, *spatial)``;
            ``None`` leaves images as they are.
        mixing: how images are mixed, see :class:`monai_supmix.transforms.Mixing`; ``None`` mixes nothing.
        augment_mixed: mix first and augment the mixed image, as DACS does. By default the unlabelled image
            alone is augmented and pasted regions keep their weak appearance (Eq. 10).

    Raises:
        ValueError: ``num_views`` is negative, the mixing does not say where it takes images from, or a dictionary
            transform is to augment.

    Example:
        >>> from monai_supmix.transforms import CutMix
        >>> image, label = torch.rand(2, 1, 8, 8), torch.randint(3, (2, 1, 8, 8))
        >>> views = StrongViews(num_views=2, mixing=CutMix(prob=1.0))
        >>> first, second = views(image, label, image, label, confidence=torch.full((2, 1, 8, 8), 0.9))
        >>> first.image.shape, first.mask.dtype, torch.equal(first.mask, second.mask)
        (torch.Size([2, 1, 8, 8]), torch.bool, False)
    """

    def __init__(
        self,
        num_views: int = 2,
        augmentation: Callable[[Tensor], Tensor] | None = None,
        mixing: Mixing | None = None,
        augment_mixed: bool = False,
    ) -> None:
        if num_views < 0:
            raise ValueError(f"num_views is 0 or more, not {num_views}.")
        if mixing is not None and not hasattr(mixing, "source"):
            raise ValueError(f"mixing says where it takes images from (source), as a Mixing does, not {mixing!r}.")
        if isinstance(augmentation, Transform) and not isinstance(augmentation, BatchCompose):
            augmentation = BatchCompose(augmentation)  # an array transform would take the batch for one image
        self.num_views, self.augmentation, self.mixing = num_views, augmentation, mixing
        self.augment_mixed = augment_mixed

    @torch.no_grad()
    def __call__(
        self,
        labeled_image: Tensor,
        label: Tensor,
        weak_image: Tensor,
        pseudo_label: Tensor,
        confidence: Tensor,
        seed: int = 0,
        key: tuple[int, ...] = (),
    ) -> list[Mixed | Blended]:
        """Make all views.

        Args:
            labeled_image: ``(B_l, C, *spatial)`` in [0, 1].
            label: ground truth ``(B_l, 1, *spatial)``.
            weak_image: ``(B_u, C, *spatial)`` in [0, 1].
            pseudo_label: ``(B_u, 1, *spatial)``.
            confidence: ``(B_u, 1, *spatial)`` in [0, 1].
            seed: the run's seed.
            key: what the draws belong to, for example ``(iteration, rank)``.

        Returns:
            for each view its image, label and confidence, and the mask of pasted pixels.
        """
        views: list[Mixed | Blended] = []
        for number in range(self.num_views):
            view_seed = derive_seed(seed, "strong view", number, *key)
            self._seed(view_seed)
            image = weak_image if self.augment_mixed else self._augment(weak_image)
            if self.mixing is None:
                nothing = torch.zeros_like(pseudo_label, dtype=torch.bool)
                view: Mixed | Blended = Mixed(image, pseudo_label, confidence, nothing)
            elif self.mixing.source == "labeled":
                certain = torch.ones_like(label, dtype=confidence.dtype)
                view = self.mixing(labeled_image, label, image, pseudo_label, certain, confidence)
            else:
                partner = derangement(len(image), np.random.RandomState(view_seed))
                index = to_device(partner, image.device)
                view = self.mixing(
                    image[index], pseudo_label[index], image, pseudo_label, confidence[index], confidence
                )
            views.append(view._replace(image=self._augment(view.image)) if self.augment_mixed else view)
        return views

    def _augment(self, images: Tensor) -> Tensor:
        if self.augmentation is None:
            return images
        copies = isinstance(self.augmentation, BatchCompose)  # another one may write in place
        return self.augmentation(images if copies else images.clone())

    def _seed(self, view_seed: int) -> None:
        for part, name in ((self.augmentation, "augmentation"), (self.mixing, "mixing")):
            if isinstance(part, Randomizable):
                part.set_random_state(seed=derive_seed(view_seed, name))


@torch.no_grad()
def paste_inward(
    mixing: RegionMix,
    labeled_image: Tensor,
    label: Tensor,
    weak_image: Tensor,
    pseudo_label: Tensor,
    confidence: Tensor,
    sure: Tensor,
    seed: int = 0,
) -> Mixed:
    """Paste regions of unlabelled images, with their pseudo-labels, into labelled images.

    Of the region that the mixing chooses only those pixels are pasted whose pseudo-label is believed: the result is
    trained on like ground truth. Labelled image i gets a region of unlabelled image ``i % B_u``.

    Args:
        mixing: chooses the region on the pseudo-label.
        labeled_image: ``(B_l, C, *spatial)`` in [0, 1].
        label: ground truth ``(B_l, 1, *spatial)``.
        weak_image: ``(B_u, C, *spatial)`` in [0, 1].
        pseudo_label: ``(B_u, 1, *spatial)``.
        confidence: ``(B_u, 1, *spatial)`` in [0, 1].
        sure: bool ``(B_u, 1, *spatial)``, the pixels that are believed.
        seed: of the draw.

    Returns:
        image, label (no confidence) and the mask of pasted pixels, for the labelled batch.

    Example:
        >>> from monai_supmix.transforms import SupMix
        >>> truth, pseudo_label = torch.tensor([[[[0, 0, 0]]]]), torch.tensor([[[[0, 1, 1]]]])
        >>> confidence = torch.tensor([[[[0.9, 0.9, 0.3]]]])
        >>> pair = truth.float(), truth, pseudo_label.float(), pseudo_label
        >>> paste_inward(SupMix(2, prob=1.0), *pair, confidence, sure=confidence > 0.5).label
        tensor([[[[0, 1, 0]]]])
    """
    index = torch.arange(len(labeled_image), device=weak_image.device) % len(weak_image)
    image, source_label = weak_image[index], pseudo_label[index]
    mixing.set_random_state(seed=seed)
    certain = torch.ones_like(label, dtype=confidence.dtype)
    mask = mixing(image, source_label, labeled_image, label, confidence[index], certain).mask
    return mix_regions(mask & sure[index], Batch(image, source_label), Batch(labeled_image, label))


@torch.no_grad()
def mix_labeled(
    mixing: RegionMix, image: Tensor, label: Tensor, seed: int = 0, labelled_classes: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Paste regions of labelled images into other labelled images of the batch, truth and all.

    Nothing of an image in which not all classes were labelled is pasted: its background means something else than
    that of the image around the region.

    Args:
        mixing: chooses the region on the ground truth.
        image: ``(B_l, C, *spatial)`` in [0, 1].
        label: ground truth ``(B_l, 1, *spatial)``.
        seed: of the draw.
        labelled_classes: bool ``(B_l, C)``, the classes that were labelled in each image; ``None``: all.

    Returns:
        the mixed images and their truth.

    Example:
        >>> from monai_supmix.transforms import SupMix
        >>> truth = torch.tensor([[[[0, 1, 0]]], [[[0, 0, 1]]]])
        >>> image, label = mix_labeled(SupMix(2, prob=1.0), truth.float(), truth)
        >>> label.flatten(1)
        tensor([[0, 1, 1],
                [0, 1, 1]])
    """
    partner = to_device(derangement(len(image), np.random.RandomState(seed)), image.device)
    if labelled_classes is not None:
        own = torch.arange(len(image), device=image.device)
        partner = torch.where(labelled_classes.all(dim=1)[partner], partner, own)
    mixing.set_random_state(seed=derive_seed(seed, "mixing"))
    mixed = mixing(image[partner], label[partner], image, label)
    return mixed.image, mixed.label
