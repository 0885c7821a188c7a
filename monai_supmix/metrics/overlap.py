"""Overlap of two label maps: true and false positives of each class, and the ratios made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.config import NdarrayOrTensor

_CHUNK = 1 << 18  # elements; the working memory is some 20 bytes each, whatever the size of the image


def overlap_counts(
    prediction: NdarrayOrTensor, truth: NdarrayOrTensor, num_classes: int, ignore_index: int | None = None
) -> np.ndarray:
    """Count true positives, false positives and false negatives of every class.

    Args:
        prediction: predicted class of each element, any shape and memory order; integers, booleans or whole
            floating-point numbers in ``[0, num_classes)``.
        truth: true class of each element, same shape; besides the classes it may hold ``ignore_index``.
        num_classes: number of classes ``C``, background included.
        ignore_index: elements of this true class are left out, whatever was predicted there.

    Returns:
        int64 array of shape ``(C, 3)``: TP, FP, FN. The counts of disjoint images add up.

    Raises:
        ValueError: when the shapes differ, or a value is not a class.

    Example:
        >>> overlap_counts(np.array([[0, 1], [1, 1]]), np.array([[0, 0], [1, 255]]), 2, ignore_index=255)
        array([[1, 0, 1],
               [1, 1, 0]])
    """
    predicted, true = as_array(prediction), as_array(truth)
    if predicted.shape != true.shape:
        raise ValueError(f"prediction has shape {predicted.shape} and truth {true.shape}; they must be the same")
    confusion = np.zeros(num_classes * num_classes, np.int64)
    chunks = np.nditer(
        [predicted, true], flags=["external_loop", "buffered", "zerosize_ok"], order="K", buffersize=_CHUNK
    )
    for p, t in chunks:
        keep = slice(None) if ignore_index is None else t != ignore_index
        rows = _classes(t[keep], num_classes, "truth")
        columns = _classes(p[keep], num_classes, "prediction")
        confusion += np.bincount(rows * num_classes + columns, minlength=confusion.size)
    table = confusion.reshape(num_classes, num_classes)
    tp = table.diagonal()
    return np.stack([tp, table.sum(0) - tp, table.sum(1) - tp], axis=1)


def as_array(labels: NdarrayOrTensor) -> np.ndarray:
    """Bring a label map to the host as a NumPy array, without a copy where it is there already."""
    if not isinstance(labels, torch.Tensor):
        return np.asarray(labels)
    host = labels.detach().cpu()
    return (host.float() if host.dtype is torch.bfloat16 else host).numpy()


def _classes(values: np.ndarray, num_classes: int, name: str) -> np.ndarray:
    classes = values.astype(np.int64)
    wrong = (classes < 0) | (classes >= num_classes) | (classes != values)
    if wrong.any():
        raise ValueError(f"{name} has the value {values[wrong][0]}, which is none of the classes 0..{num_classes - 1}")
    return classes


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union, TP / (TP + FP + FN).

    Args:
        counts: TP, FP, FN in the last axis, shape ``(..., 3)``.

    Returns:
        float64 of shape ``(...)`` in [0, 1]; NaN where the class is absent from truth and prediction.

    Example:
        >>> iou(np.array([[3, 1, 2], [0, 0, 0]]))
        array([0.5, nan])
    """
    tp, fp, fn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return _ratio(tp, tp + fp + fn)


def dice(counts: np.ndarray) -> np.ndarray:
    """Dice coefficient, 2 TP / (2 TP + FP + FN).

    Args:
        counts: TP, FP, FN in the last axis, shape ``(..., 3)``.

    Returns:
        float64 of shape ``(...)`` in [0, 1]; NaN where the class is absent from truth and prediction.

    Example:
        >>> dice(np.array([[3, 1, 1], [0, 0, 0]]))
        array([0.75,  nan])
    """
    tp, fp, fn = np.moveaxis(np.asarray(counts, np.float64), -1, 0)
    return _ratio(2 * tp, 2 * tp + fp + fn)


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)


def none_if_nan(value: float) -> float | None:
    """A figure as JSON and tables have it, which lack NaN.

    Example:
        >>> none_if_nan(0.5), none_if_nan(float("nan"))
        (0.5, None)
    """
    return None if np.isnan(value) else float(value)


def mean_present(values: Sequence[float] | np.ndarray) -> Any:
    """Mean of the values that are not NaN: over the classes that are present.

    Args:
        values: one value for each class, ``(..., C)``.

    Returns:
        the mean over the last axis, a float of a single row; NaN where there is nothing to average.

    Example:
        >>> mean_present([0.5, float("nan"), 1.0])
        0.75
        >>> mean_present(np.array([[1.0, np.nan], [np.nan, np.nan]]))
        array([ 1., nan])
    """
    values = np.asarray(values, np.float64)
    present = ~np.isnan(values)
    total, count = np.where(present, values, 0.0).sum(axis=-1), present.sum(axis=-1)
    mean = np.divide(total, count, out=np.full(np.shape(total), np.nan), where=count > 0)
    return mean if values.ndim > 1 else float(mean)
