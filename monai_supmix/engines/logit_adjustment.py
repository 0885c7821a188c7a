"""Logits of rare classes raised after the training, by how rare they are in the labelled images."""

from __future__ import annotations

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from monai_supmix.data.class_weights import labelled_pixels
from monai_supmix.networks.output_layer import shift_logits
from monai_supmix.weights import unwrap

logger = logging.getLogger(__name__)

_FAR = math.log(50)


class AdjustLogits:
    r"""Adds :math:`\tau \log(\pi_0 / \pi_c)` to the logit of each class c of a trained network.

    :math:`\pi` are the shares of background and class in the labelled pixels. Trained on few images, a network takes
    what is unlike all of them for the most frequent class: on images that it has not seen it finds too little. With
    :math:`\tau = 1` it decides as if all classes were equally frequent (post-hoc logit adjustment: Menon et al.,
    "Long-tail learning via logit adjustment", ICLR 2021). The shift goes into the bias of the output layer, so that
    predictions, exports and pseudo-labels all have it; a training that goes on from these weights takes it out first.
    Classes that never occur stay as they are; where the background does not, the most frequent class stands for it.
    A warning names classes whose odds grow more than fifty times: where a class is that rare, a smaller ``tau`` is due.

    Args:
        items: labelled images, as for :func:`monai_supmix.data.inverse_frequency`.
        num_classes: C, background included.
        tau: strength, at least 0; 0 changes nothing.

    Raises:
        ValueError: when ``tau`` is negative or no finite number.

    Example:
        >>> network = nn.Conv2d(1, 2, 1)
        >>> _ = nn.init.zeros_(network.bias)
        >>> items = [{"label": torch.tensor([[0, 0, 0, 0, 0, 0, 1, 1]])}]
        >>> added = AdjustLogits(items, num_classes=2)(network)  # the class is three times as rare
        >>> [round(offset, 4) for offset in added["logit_offsets"]]
        [0.0, 1.0986]
        >>> network.bias.exp()
        tensor([1., 3.], grad_fn=<ExpBackward0>)
    """

    def __init__(self, items: Sequence[Mapping[str, Any]], num_classes: int, tau: float = 1.0) -> None:
        if not (isinstance(tau, (int, float)) and 0 <= tau < math.inf):
            raise ValueError(f"tau is a number of at least 0, not {tau}.")
        self.items, self.num_classes, self.tau = items, num_classes, tau

    def check(self, network: nn.Module) -> None:
        """See before the training that a network's output layer can be adjusted; the network is not touched.

        Raises:
            ValueError: it cannot.
        """
        shift_logits(copy.deepcopy(unwrap(network)), torch.linspace(-50.0, 50.0, self.num_classes))

    def __call__(self, network: nn.Module) -> dict[str, list[float]]:
        """Adjust a network, in place.

        Returns:
            ``logit_offsets``, what was added to the logit of each class, for the record of the weights.

        Raises:
            ValueError: when its output layer is not found, or the labels hold no pixel of any class.
        """
        pixels = labelled_pixels(self.items, self.num_classes)
        reference = pixels[0] if pixels[0] > 0 else pixels.max()  # no labelled pixel may be background
        offsets = torch.where(pixels > 0, self.tau * (reference / pixels).log(), 0.0)
        shift_logits(network, offsets.float())
        for number, (offset, share) in enumerate(zip(offsets.tolist(), (pixels / pixels.sum()).tolist(), strict=True)):
            message = f"class {number}, {100 * share:.3g} % of the labelled pixels: logit {offset:+.2f}"
            if offset > _FAR:
                message += (
                    f", odds times {math.exp(offset):.0f}, so it may be found where it is not: try a smaller strength"
                )
            logger.log(logging.WARNING if offset > _FAR else logging.INFO, message)
        return {"logit_offsets": offsets.tolist()}
