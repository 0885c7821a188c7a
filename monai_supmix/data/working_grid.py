"""The grid on which a network works, and the way there from a plane's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F

from monai_supmix.errors import InputError

_KINDS = ("size", "scale", "spacing")


def working_shape(
    plane_shape: tuple[int, int], spacing: tuple[float, float] | None, working: Mapping[str, Any] | None
) -> tuple[int, int]:
    """Shape of a plane on the working grid.

    Args:
        plane_shape: ``(H, W)`` of the plane.
        spacing: millimetres per ``(row, column)``, ``None`` for pictures.
        working: ``{"size": [h, w]}``, ``{"scale": factor}``, ``{"spacing": [mm, mm]}``, or nothing for the plane's own.

    Returns:
        ``(h, w)``, at least 1 pixel either way.

    Raises:
        InputError: several or unknown entries, or a spacing is wanted for a picture without one.

    Example:
        >>> working_shape((960, 999), None, {"scale": 0.5})
        (480, 500)
        >>> working_shape((512, 512), (0.75, 0.75), {"spacing": [1.5, 1.5]})
        (256, 256)
    """
    if not working:
        return plane_shape
    kind, value = next(iter(working.items()))
    if len(working) > 1 or kind not in _KINDS:
        raise InputError("working", f"has {', '.join(working)}", f"give one of {', '.join(_KINDS)}, or nothing")
    if kind == "size":
        return int(value[0]), int(value[1])
    if kind == "spacing":
        if spacing is None:
            raise InputError("working", "asks for a spacing, which a picture has not", "give size or scale instead")
        factors = (spacing[0] / value[0], spacing[1] / value[1])
    else:
        factors = (float(value), float(value))
    height, width = (max(1, int(side * factor + 0.5)) for side, factor in zip(plane_shape, factors, strict=True))
    return height, width


def resize_planes(planes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize images (linear, low-pass filtered when shrinking) or label maps (nearest).

    Args:
        planes: ``(B, C, H, W)``; floating point is an image or probabilities, integers are labels.
        shape: ``(h, w)``.

    Returns:
        ``(B, C, h, w)`` of the same type.

    Example:
        >>> import torch
        >>> resize_planes(torch.tensor([[[[0, 0, 7, 7]]]], dtype=torch.uint8), (1, 2)).tolist()
        [[[[0, 7]]]]
    """
    if tuple(planes.shape[2:]) == tuple(shape):
        return planes
    if planes.is_floating_point():
        shrinks = shape[0] < planes.shape[2] or shape[1] < planes.shape[3]
        return F.interpolate(planes, shape, mode="bilinear", align_corners=False, antialias=shrinks)
    return F.interpolate(planes.float(), shape, mode="nearest-exact").to(planes.dtype)
