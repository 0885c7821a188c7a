"""Whether an exported network gives what the network it was made from gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from monai_supmix.inferers.slice_volume import evaluating

# Of the largest logit. Sums in another order make 1e-6; positions of interpolated pixels, rounded to float32, make 1e-5
# on sides of 1000 pixels, in PyTorch as elsewhere, when held against float64.
_TOLERANCE = 1e-3
_LEAST_EQUAL = 0.9999  # pixels between two classes may tip over


@dataclass(frozen=True)
class Parity:
    """How far two networks are apart.

    Args:
        max_difference: largest absolute difference of two logits.
        largest_logit: largest absolute value of a logit of the reference.
        equal_share: share of the pixels with the same most probable class.
        num_pixels: how many pixels were compared.

    Example:
        >>> print(Parity(2e-6, 5.0, 1.0, 4096))
        logits differ by at most 2.0e-06 (allowed 5.0e-03), 100.0000 % of 4096 pixels have the same class
    """

    max_difference: float
    largest_logit: float
    equal_share: float
    num_pixels: int

    @property
    def tolerance(self) -> float:
        """Largest difference of logits that counts as rounding."""
        return _TOLERANCE * max(1.0, self.largest_logit)

    @property
    def holds(self) -> bool:
        """Whether the two are the same but for rounding; NaN is not."""
        return self.max_difference <= self.tolerance and self.equal_share >= _LEAST_EQUAL

    def __str__(self) -> str:
        return (
            f"logits differ by at most {self.max_difference:.1e} (allowed {self.tolerance:.1e}), "
            f"{100 * self.equal_share:.4f} % of {self.num_pixels} pixels have the same class"
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for records."""
        return {**asdict(self), "tolerance": self.tolerance}


def compare(reference: nn.Module, candidate: Callable[[Tensor], Tensor], inputs: Iterable[Tensor]) -> Parity:
    """Run two networks on the same images.

    Args:
        reference: the network with its weights; evaluated in eval mode and left as it was.
        candidate: what was made from it.
        inputs: batches ``(B, C, *spatial)`` in [0, 1].

    Returns:
        the figures over all batches; an output of another shape is infinitely far away.

    Raises:
        ValueError: there is no batch.

    Example:
        >>> network = nn.Conv2d(1, 2, 1)
        >>> compare(network, network, [torch.rand(1, 1, 4, 4)]).holds
        True
        >>> compare(network, lambda x: network(x) + 0.1, [torch.rand(1, 1, 4, 4)]).holds
        False
    """
    differences, largest, equal, pixels = [], [], 0, 0
    with evaluating(reference), torch.inference_mode():
        for images in inputs:
            expected, found = reference(images), candidate(images)
            largest.append(float(expected.abs().max()))
            pixels += expected[:, 0].numel()
            if found.shape != expected.shape:
                differences.append(math.inf)
                continue
            differences.append(float((found - expected).abs().nan_to_num(math.inf).max()))
            equal += int((found.argmax(1) == expected.argmax(1)).sum())
    if not pixels:
        raise ValueError("There is nothing to compare: no batch was given.")
    return Parity(max(differences), max(largest), equal / pixels, pixels)
