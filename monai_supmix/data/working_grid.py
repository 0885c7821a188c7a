"""The grid on which a network works, and the way there from a plane's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_supmix.errors import InputError

_KINDS = ("size", "scale", "spacing", "center")


def working_shape(
    plane_shape: tuple[int, int],
    spacing: tuple[float, float] | None,
    working: Mapping[str, Any] | None,
    image: object = "image",
) -> tuple[int, int]:
    """Shape of a plane on the working grid.

    Args:
        plane_shape: ``(H, W)`` of the plane.
        spacing: millimetres per ``(row, column)``, ``None`` where unknown.
        working: ``{"size": [h, w]}``, ``{"scale": factor}``, ``{"spacing": [mm, mm]}``, or nothing for the plane's own;
            ``{"center": [h, w]}`` is the middle of the plane in its own pixels, cut or padded with 0.
        image: its path, for the message.

    Returns:
        ``(h, w)``, at least 1 pixel either way.

    Raises:
        InputError: several or unknown entries, a number that is not above 0, or a spacing is wanted for an image
            without one.

    Example:
        >>> working_shape((960, 999), None, {"scale": 0.5})
        (480, 500)
        >>> working_shape((512, 512), (0.75, 0.75), {"spacing": [1.5, 1.5]})
        (256, 256)
    """
    height, width = _working_sides(plane_shape, spacing, working, image)
    return height, width


def with_margin(working: Mapping[str, Any] | None, margin: int) -> Mapping[str, Any] | None:
    """The working grid of a training, whose rotated crops reach further out than prediction looks.

    Args:
        working: that of the network, as for `working_shape`.
        margin: pixels that are added to either side of the middle of planes; other grids have none.

    Raises:
        InputError: as `working_shape`.

    Example:
        >>> with_margin({"center": [160, 160]}, 32), with_margin({"size": [256, 256]}, 32)
        ({'center': [192, 192]}, {'size': [256, 256]})
    """
    if "center" not in (working or {}):
        return working
    return {"center": [side + margin for side in working_shape((1, 1), None, working)]}


def working_volume_shape(
    volume_shape: tuple[int, int, int],
    spacing: tuple[float, float, float] | None,
    working: Mapping[str, Any] | None,
    image: object = "image",
) -> tuple[int, int, int]:
    """Shape of a volume on the working grid of a 3D network, see `working_shape`.

    Args:
        volume_shape: ``(Z, H, W)``, planes first.
        spacing: millimetres per ``(plane, row, column)``.
        working: as for `working_shape`, with three sides; a ``scale`` holds for all three.
        image: as for `working_shape`.

    Raises:
        InputError: as `working_shape`.

    Example:
        >>> working_volume_shape((16, 128, 128), (8.0, 2.5, 2.5), {"spacing": [4.0, 2.5, 2.5]})
        (32, 128, 128)
    """
    if "center" in (working or {}):
        raise InputError("working", "is the center of planes, and the network works on volumes", "give another grid")
    depth, height, width = _working_sides(volume_shape, spacing, working, image)
    return depth, height, width


def _working_sides(
    shape: tuple[int, ...], spacing: tuple[float, ...] | None, working: Mapping[str, Any] | None, image: object
) -> tuple[int, ...]:
    if not working:
        return shape
    kind, value = next(iter(working.items()))
    if len(working) > 1 or kind not in _KINDS:
        raise InputError("working", f"has {', '.join(working)}", f"give one of {', '.join(_KINDS)}, or nothing")
    if kind != "scale" and len(value) != len(shape):
        problem = f"has a {kind} of {len(value)} sides, the network works on images of {len(shape)} dimensions"
        raise InputError("working", problem, f"give {len(shape)} sides")
    if min([value] if kind == "scale" else value) <= 0:
        raise InputError("working", f"has a {kind} of {value}", "give numbers above 0")
    if kind in ("size", "center"):
        return tuple(int(side) for side in value)
    if kind == "spacing":
        if spacing is None:
            problem = f"has no spacing, and the network works on a grid of {' x '.join(f'{mm:g}' for mm in value)} mm"
            raise InputError(image, problem, "give images that have one, as volumes do")
        factors = [here / wanted for here, wanted in zip(spacing, value, strict=True)]
    else:
        factors = [float(value)] * len(shape)
    return tuple(max(1, int(side * factor + 0.5)) for side, factor in zip(shape, factors, strict=True))


def to_working_grid(planes: Tensor, shape: tuple[int, int], working: Mapping[str, Any] | None) -> Tensor:
    """Bring planes to the working grid.

    Args:
        planes: ``(B, C, H, W)``, images or label maps.
        shape: ``(h, w)`` of the working grid, see `working_shape`.
        working: as for `working_shape`.

    Returns:
        ``(B, C, h, w)``: resized, or the middle of each plane.

    Example:
        >>> to_working_grid(torch.arange(4.0).view(1, 1, 1, 4), (1, 2), {"center": [1, 2]}).tolist()
        [[[[1.0, 2.0]]]]
    """
    if "center" not in (working or {}):
        return resize_planes(planes, shape)
    return F.pad(planes, margins((int(planes.shape[2]), int(planes.shape[3])), shape))


def from_working_grid(probabilities: Tensor, native: tuple[int, int], working: Mapping[str, Any] | None) -> Tensor:
    """Bring class probabilities back from the working grid; outside the middle that it holds, everything is background.

    Args:
        probabilities: ``(B, K, h, w)``, class 0 first.
        native: ``(H, W)`` of the planes.
        working: as for `working_shape`.

    Returns:
        ``(B, K, H, W)``.

    Example:
        >>> from_working_grid(torch.tensor([0.2, 0.8]).view(1, 2, 1, 1), (1, 3), {"center": [1, 1]}).squeeze().tolist()
        [[1.0, 0.20000000298023224, 1.0], [0.0, 0.800000011920929, 0.0]]
    """
    if "center" not in (working or {}):
        return resize_planes(probabilities, native)
    grid = (int(probabilities.shape[2]), int(probabilities.shape[3]))
    back = [-margin for margin in margins(native, grid)]
    return torch.cat([F.pad(probabilities[:, :1], back, value=1.0), F.pad(probabilities[:, 1:], back)], dim=1)


def margins(native: tuple[int, int], grid: tuple[int, int]) -> list[int]:
    """What `torch.nn.functional.pad` adds to come from a plane to its middle.

    Args:
        native: ``(H, W)`` of the plane.
        grid: ``(h, w)`` of the middle.

    Returns:
        pixels left, right, above and below; negative where the plane is cut.

    Example:
        >>> margins((10, 7), (6, 8))
        [0, 1, -2, -2]
    """
    padding = []
    for side, wanted in zip(reversed(native), reversed(grid), strict=True):
        before = (wanted - side) // 2
        padding += [before, wanted - side - before]
    return padding


def resize_planes(planes: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize images (linear, low-pass filtered when shrinking) or label maps (nearest).

    Args:
        planes: ``(B, C, H, W)``; floating point is an image or probabilities, integers are labels.
        shape: ``(h, w)``.

    Returns:
        ``(B, C, h, w)`` of the same type.

    Example:
        >>> resize_planes(torch.tensor([[[[0, 0, 7, 7]]]], dtype=torch.uint8), (1, 2)).tolist()
        [[[[0, 7]]]]
    """
    if tuple(planes.shape[2:]) == tuple(shape):
        return planes
    if planes.is_floating_point():
        shrinks = shape[0] < planes.shape[2] or shape[1] < planes.shape[3]
        return F.interpolate(planes, shape, mode="bilinear", align_corners=False, antialias=shrinks)
    return F.interpolate(planes.float(), shape, mode="nearest-exact").to(planes.dtype)


def resize_across(planes: Tensor, count: int) -> Tensor:
    """Resize a stack of planes in its own direction, from plane to plane, as `resize_planes` does within planes.

    Args:
        planes: ``(C, Z, H, W)``; floating point is an image or probabilities, integers are labels.
        count: the number of planes wanted.

    Returns:
        ``(C, count, H, W)`` of the same type.

    Example:
        >>> resize_across(torch.tensor([0.0, 2.0]).view(1, 2, 1, 1), 4).flatten().tolist()
        [0.0, 0.5, 1.5, 2.0]
    """
    _, _, height, width = planes.shape
    # A plane is one row of a picture whose columns are the planes' pixels: torch smooths before shrinking only in 2D.
    return resize_planes(planes.flatten(2)[None], (count, height * width))[0].unflatten(2, (height, width))
