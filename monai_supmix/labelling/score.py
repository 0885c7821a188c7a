"""What a trained network says about a case without a known truth: how unsure it is, and what the case is like."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from monai_supmix.imageio.planes import Planes
from monai_supmix.metrics.overlap import dice, mean_present, overlap_counts

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
_SAMPLED = 200_000  # pixels of an image that its quantiles are taken from, about


@dataclass(frozen=True)
class CaseScore:
    """What is known of a case.

    Args:
        case: its name.
        group: the patient.
        confidence: mean probability inside the class of the mask that the network is least sure of; None where the
            mask is empty.
        least_sure: that class.
        predicted_dice: the Dice to expect of it, where the weights have a calibration. It is a rising line of the
            confidence, so that both give the same order.
        disagreement: see `disagreement`; None where only one prediction was made.
        signature: see `signature`.

    Example:
        >>> CaseScore("p1_ed", "p1", confidence=0.71, least_sure="lesion").disagreement is None
        True
    """

    case: str
    group: str
    confidence: float | None = None
    least_sure: str | None = None
    predicted_dice: float | None = None
    disagreement: float | None = None
    signature: tuple[float | None, ...] = ()


def disagreement(masks: Sequence[np.ndarray], num_classes: int) -> float:
    """How much predictions of one image differ: 1 minus the mean Dice of all pairs.

    The Dice of a pair is the mean over the foreground classes that either of them has. Masks without any foreground
    agree.

    Args:
        masks: label maps of one shape, two or more.
        num_classes: background included.

    Returns:
        in [0, 1].

    Example:
        >>> one, other = np.array([0, 1, 1, 2]), np.array([0, 1, 0, 2])
        >>> round(disagreement([one, other], 3), 3)  # Dice 2/3 and 1
        0.167
        >>> disagreement([one, one * 0], 3), disagreement([one * 0, one * 0], 3)
        (1.0, 0.0)
    """
    overlaps = []
    for one, other in itertools.combinations(masks, 2):
        overlap = mean_present(dice(overlap_counts(one, other, num_classes))[1:])
        overlaps.append(1.0 if math.isnan(overlap) else overlap)
    return 1 - float(np.mean(overlaps))


def signature(
    planes: Planes, labels: np.ndarray, brightness: Callable[[np.ndarray], np.ndarray], num_classes: int
) -> tuple[float | None, ...]:
    """What an image looks like, in a few numbers by which images can be told apart whatever the network.

    Args:
        planes: the image.
        labels: its mask as planes, ``(planes, H, W)``.
        brightness: maps raw values to [0, 1], see :func:`monai_supmix.report.gallery.brightness`.
        num_classes: background included.

    Returns:
        five quantiles of the brightness, the root of the share that each foreground class takes, and the mean
        brightness inside each, None where the mask has none of it.

    Example:
        >>> from monai_supmix.imageio import CaseImage
        >>> picture = CaseImage.from_array(np.array([[[0, 0, 0, 100]]], np.uint8))
        >>> signature(Planes(picture), np.array([[[0, 0, 0, 1]]]), lambda plane: plane / 100, num_classes=3)
        (0.0, 0.0, 0.0, 0.1, 0.7, 0.5, 0.0, 1.0, None)
    """
    stride = max(1, round(math.sqrt(labels.size / _SAMPLED)))
    sampled, sums, counts = [], np.zeros(num_classes), np.zeros(num_classes)
    for index, plane in enumerate(labels):
        bright = brightness(planes[index]).mean(axis=0)
        sampled.append(bright[::stride, ::stride].ravel())
        counts += np.bincount(plane.ravel(), minlength=num_classes)
        sums += np.bincount(plane.ravel(), weights=bright.ravel(), minlength=num_classes)
    quantiles = np.quantile(np.concatenate(sampled), QUANTILES)
    shares = np.sqrt(counts[1:] / counts.sum())
    inside = [s / n if n else None for s, n in zip(sums[1:].tolist(), counts[1:].tolist(), strict=True)]
    return tuple(None if v is None else round(float(v), 4) for v in (*quantiles, *shares, *inside))
