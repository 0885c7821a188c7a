"""Whether an exported network gives what the network it was made from gives."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_supmix.metrics.overlap import dice, overlap_counts
from monai_supmix.networks.modes import evaluating

# Of the largest logit. Sums in another order make 1e-6; positions of interpolated pixels, rounded to float32, make 1e-5
# on sides of 1000 pixels, in PyTorch as elsewhere, when held against float64.
_TOLERANCE = 1e-3
_LEAST_DICE = 0.999  # pixels between two classes may tip over


@dataclass(frozen=True)
class Parity:
    """How far two networks are apart.

    Args:
        max_difference: largest absolute difference of two logits.
        largest_logit: largest absolute value of a logit of the reference.
        dice: Dice of the two label maps for each foreground class, by its name; ``None`` where neither has the class.
            The background, which is most of an image, would hide a class that is lost.
        num_pixels: how many pixels were compared.

    Example:
        >>> print(Parity(2e-6, 5.0, {"lesion": 1.0, "vessel": 0.99987, "airway": None}, 4096))
        logits differ by at most 2.0e-06 (allowed 5.0e-03), Dice in 4096 pixels: lesion 1.0000, vessel 0.9999 (neither
        finds airway)
    """

    max_difference: float
    largest_logit: float
    dice: Mapping[str, float | None]
    num_pixels: int

    @property
    def tolerance(self) -> float:
        """Largest difference of logits that counts as rounding."""
        return _TOLERANCE * max(1.0, self.largest_logit)

    @property
    def holds(self) -> bool:
        """Whether the two are the same but for rounding; NaN is not."""
        same = all(value is None or value >= _LEAST_DICE for value in self.dice.values())
        return self.max_difference <= self.tolerance and same

    def __str__(self) -> str:
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.dice.items() if value is not None)
        absent = ", ".join(name for name, value in self.dice.items() if value is None)
        return (
            f"logits differ by at most {self.max_difference:.1e} (allowed {self.tolerance:.1e}), "
            f"Dice in {self.num_pixels} pixels: {scores or 'none'}" + (f" (neither finds {absent})" if absent else "")
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values for records."""
        return {**asdict(self), "tolerance": self.tolerance}


def compare(
    reference: nn.Module,
    candidate: Callable[[Tensor], Tensor],
    inputs: Iterable[Tensor],
    class_names: Sequence[str] = (),
) -> Parity:
    """Run two networks on the same images.

    Args:
        reference: the network with its weights; evaluated in eval mode and left as it was.
        candidate: what was made from it.
        inputs: batches ``(B, C, *spatial)`` in [0, 1].
        class_names: names of the classes, background first; numbers without them.

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
    differences, largest, pixels = [], [], 0
    counts: np.ndarray | int = 0
    with evaluating(reference), torch.inference_mode():
        for images in inputs:
            expected, found = reference(images), candidate(images)
            largest.append(float(expected.abs().max()))
            pixels += expected[:, 0].numel()
            if found.shape != expected.shape:
                differences.append(math.inf)
                continue
            differences.append(float((found - expected).abs().nan_to_num(math.inf).max()))
            counts = counts + overlap_counts(found.argmax(1), expected.argmax(1), expected.shape[1])
    if not pixels:
        raise ValueError("There is nothing to compare: no batch was given.")
    values = [] if isinstance(counts, int) else dice(counts)[1:].tolist()
    names = list(class_names)[1:] or [f"class {number}" for number in range(1, 1 + len(values))]
    by_class = {name: None if math.isnan(value) else value for name, value in zip(names, values, strict=False)}
    return Parity(max(differences), max(largest), by_class, pixels)
