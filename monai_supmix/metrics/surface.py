"""Surface distance and volume of the predicted against the true lesions of one case, in mm and ml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from monai.config import NdarrayOrTensor
from monai.metrics.utils import get_mask_edges, get_surface_distance
from scipy.ndimage import find_objects

from monai_supmix.metrics.overlap import as_array

Outcome = Literal["measured", "absent", "missed", "spurious"]


@dataclass(frozen=True)
class SurfaceDistance:
    """Distance between the predicted and the true surface of one class in one case.

    A distance exists only where both sides have a surface. The other outcomes have names instead of numbers,
    because any number in their place (infinity, the image's diagonal, zero) would decide a mean:

    * ``measured``: both have the class, ``hd95_mm`` is a number;
    * ``absent``: neither has it, and the case says nothing about the class;
    * ``missed``: the truth has it, the prediction has not;
    * ``spurious``: the prediction has it, the truth has not.

    Means are taken over the measured cases, and the numbers of missed and spurious ones stand beside them.

    Attributes:
        outcome: one of the above.
        hd95_mm: 95th percentile of the symmetric surface distance in mm, None unless measured.
        asd_mm: average symmetric surface distance in mm, over the elements of both surfaces, None unless measured.

    Example:
        >>> lesion = np.zeros((4, 4), np.uint8)
        >>> lesion[1, 1] = 1
        >>> surface_distances(lesion, lesion, 2, spacing=(1.0, 1.0))[1]
        SurfaceDistance(outcome='measured', hd95_mm=0.0, asd_mm=0.0)
        >>> surface_distances(0 * lesion, lesion, 2, spacing=(1.0, 1.0))[1]
        SurfaceDistance(outcome='missed', hd95_mm=None, asd_mm=None)
    """

    outcome: Outcome
    hd95_mm: float | None = None
    asd_mm: float | None = None


def surface_distances(
    prediction: NdarrayOrTensor,
    truth: NdarrayOrTensor,
    num_classes: int,
    spacing: Sequence[float],
    ignore_index: int | None = None,
) -> tuple[SurfaceDistance | None, ...]:
    """95 % Hausdorff distance and average surface distance of each class.

    Surfaces are the elements with a neighbour outside of the class (6 neighbours in 3D, 4 in 2D); what lies
    beyond the image's border is outside. The first is the larger of the two directed 95th percentiles, as
    in `monai.metrics.compute_hausdorff_distance`, the second that of `compute_average_surface_distance` with
    ``symmetric=True``. MONAI's parts are used here on the class's bounding box: its
    own call wants floating-point one-hot maps, twenty times the memory of a large label map.

    Args:
        prediction: predicted classes, shape ``(H, W)`` or ``(X, Y, Z)``.
        truth: true classes on the same grid.
        num_classes: number of classes; class 0 is background and has no distance.
        spacing: mm between elements along each axis; axes are taken as perpendicular.
        ignore_index: elements of this true class belong to no surface.

    Returns:
        for each class its distance, None for the background.

    Raises:
        ValueError: when shapes differ, or the spacing does not fit or is not positive.

    Example:
        >>> truth, prediction = np.zeros((9, 9), int), np.zeros((9, 9), int)
        >>> truth[2, 2], prediction[2, 6] = 1, 1
        >>> surface_distances(prediction, truth, 3, spacing=(1.0, 0.5))[1]
        SurfaceDistance(outcome='measured', hd95_mm=2.0, asd_mm=2.0)
    """
    prediction, truth = as_array(prediction), as_array(truth)
    if prediction.shape != truth.shape:
        raise ValueError(f"prediction has shape {prediction.shape} and truth {truth.shape}; they must be the same")
    if len(spacing) != truth.ndim or not all(0 < step < np.inf for step in spacing):
        raise ValueError(f"spacing {tuple(spacing)} must be {truth.ndim} positive numbers, one for each axis")
    foreground = range(1, num_classes)
    return (None, *(_surface_distance(prediction, truth, c, spacing, ignore_index) for c in foreground))


def _surface_distance(
    prediction: np.ndarray,
    truth: np.ndarray,
    class_index: int,
    spacing: Sequence[float],
    ignore_index: int | None,
) -> SurfaceDistance:
    true = truth == class_index
    predicted = prediction == class_index
    if ignore_index is not None:
        predicted &= truth != ignore_index
        true &= truth != ignore_index
    if not (true.any() and predicted.any()):
        outcomes: dict[tuple[bool, bool], Outcome] = {(True, False): "missed", (False, True): "spurious"}
        return SurfaceDistance(outcomes.get((bool(true.any()), bool(predicted.any())), "absent"))
    (box,) = find_objects((true | predicted).view(np.uint8))
    a, b = get_mask_edges(predicted[box], true[box], crop=False)
    directed = [get_surface_distance(p, q, spacing=list(spacing)) for p, q in ((a, b), (b, a))]
    hd95 = max(float(np.percentile(distance, 95)) for distance in directed)
    return SurfaceDistance("measured", hd95, float(np.concatenate(directed).mean()))


def volume_ml(counts: np.ndarray, spacing: Sequence[float]) -> tuple[tuple[float, float] | None, ...]:
    """True and predicted volume of each class.

    Args:
        counts: TP, FP, FN of one volume, shape ``(C, 3)``; ignored voxels are in none of them.
        spacing: mm between voxels along each of three perpendicular axes.

    Returns:
        for each class ``(true, predicted)`` in ml, None for class 0, the background.

    Raises:
        ValueError: when the spacing is not three numbers.

    Example:
        >>> volume_ml(np.array([[0, 0, 0], [300, 100, 700]]), spacing=(1.0, 1.0, 2.0))
        (None, (2.0, 0.8))
    """
    if len(spacing) != 3:
        raise ValueError(f"spacing {tuple(spacing)} must be three numbers to give a volume")
    voxel_ml = float(np.prod(spacing)) / 1000
    tp, fp, fn = (counts[1:, i].tolist() for i in range(3))
    return (None, *(((t + n) * voxel_ml, (t + p) * voxel_ml) for t, p, n in zip(tp, fp, fn, strict=True)))
