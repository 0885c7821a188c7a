"""Connected components of a label map: what the anatomy says is one piece."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage


def keep_component(mask: np.ndarray, classes: Sequence[int], touching: int | None = None) -> np.ndarray:
    """Keep one connected component of some classes and call the others background.

    Args:
        mask: label map of any shape; voxels are neighbours at faces, edges and corners. What lies beyond a plane that
            shows none of the classes is a component of its own.
        classes: these count together, as one region.
        touching: the component that is kept is the one with most voxels beside this class; ``None``: the largest. A
            region far away may be larger than the true one, but lies not where it belongs.

    Returns:
        a label map of the same shape and type.

    Example:
        >>> keep_component(np.array([1, 0, 1, 1, 2, 0, 2]), [1])
        array([0, 0, 1, 1, 2, 0, 2])
        >>> keep_component(np.array([1, 1, 0, 1, 2]), [1], touching=2)
        array([0, 0, 0, 1, 2])
        >>> keep_component(np.array([1, 1, 0, 1, 2, 2]), [1, 2])
        array([0, 0, 0, 1, 2, 2])
    """
    neighbours = np.ones((3,) * mask.ndim)
    components, count = ndimage.label(np.isin(mask, classes), neighbours)
    if count < 2:
        return mask
    sizes = np.bincount(components.ravel())
    if touching is not None:
        beside = ndimage.binary_dilation(mask == touching, neighbours)
        contact = np.bincount(components[beside], minlength=count + 1)
        sizes = contact if contact[1:].any() else sizes
    kept = 1 + int(sizes[1:].argmax())
    return np.where((components > 0) & (components != kept), np.zeros_like(mask), mask)


def clean(mask: np.ndarray, cleaning: Sequence[Mapping[str, Any]]) -> np.ndarray:
    """Apply several rules of `keep_component` one after the other.

    Args:
        mask: label map.
        cleaning: arguments of each rule, ``{"classes": [1, 2]}`` or ``{"classes": [1], "touching": 2}``; nothing
            leaves the mask as it is.

    Returns:
        the cleaned label map.

    Example:
        >>> clean(np.array([1, 2, 2, 0, 1, 1]), [{"classes": [1], "touching": 2}])
        array([1, 2, 2, 0, 0, 0])
    """
    for rule in cleaning:
        mask = keep_component(mask, **rule)
    return mask
