"""ClassMix: paste predicted regions of one unlabelled image into another (Olsson et al., 2021; Eqs. 1-6)."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from monai_supmix.transforms.mixing import class_index, class_mask, classes_present, draw_classes
from monai_supmix.transforms.region_mix import RegionMix, to_device


class ClassMix(RegionMix):
    """Paste half of the predicted classes of one unlabelled image into another one.

    Of the ``n`` classes in the source's pseudo-label, background included, ``floor(n / 2)`` are drawn
    (Eq. 3), so none of a single one; the mask is where the pseudo-label is one of them (Eq. 4). Image,
    pseudo-label and confidence are the source's there.

    The target is a batch of the same size, and the source usually is that batch put into another order by
    `monai_supmix.transforms.mixing.derangement`. Calling with ``randomize=False`` replays the stored draw.

    Args:
        num_classes: number of classes ``C``, background included.
        prob: probability per sample.
        ignore_index: pseudo-label value of pixels without a prediction, such as padding, or None.
            It is never pasted.

    Raises:
        ValueError: an argument is outside its range.

    Example:
        >>> import torch
        >>> mix = ClassMix(num_classes=2).set_random_state(seed=0)
        >>> source, target = torch.tensor([[[[0, 1, 1]]]]), torch.tensor([[[[0, 0, 0]]]])
        >>> mixed = mix(source.float(), source, target.float(), target)
        >>> bool((mixed.mask == (source == 0)).all() or (mixed.mask == (source == 1)).all())
        True
    """

    num_classes: int  # always given, unlike in the base

    def __init__(self, num_classes: int, prob: float = 1.0, ignore_index: int | None = None) -> None:
        super().__init__(prob, num_classes, ignore_index)

    def randomize(self, data: Tensor) -> None:
        """Draw which samples get a paste and in what order the classes are called up.

        Args:
            data: the target images ``(B, C_in, *spatial)``, of which only the shape is used.
        """
        super().randomize(data)
        self._order = self.R.random_sample((len(data), self.num_classes)).argsort(axis=1)

    def region(self, label: Tensor, **_others: Any) -> Tensor:
        """The pixels whose predicted class was drawn (Eqs. 3 and 4)."""
        index = class_index(label, self.num_classes, self.ignore_index)
        drawn = draw_classes(classes_present(index, self.num_classes), to_device(self._order, label.device), minimum=0)
        return class_mask(index, drawn)
