"""Small pictures of one plane: the image, and what is drawn over it, as bytes for a page."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from monai_supmix.handlers.overlays import class_colours, overlay_errors, overlay_labels, to_rgb


@dataclass(frozen=True)
class PlanePictures:
    """One plane of a case as encoded pictures of one size.

    Attributes:
        index: number of the plane in the volume, from 0.
        size: ``(height, width)`` in pixels.
        image: the image, JPEG.
        truth: true classes in colour on nothing, PNG.
        prediction: predicted classes alike.
        errors: how they agree, in :data:`monai_supmix.handlers.overlays.ERROR_COLOURS`, PNG.
        classes: those in truth or prediction, without background.
    """

    index: int
    size: tuple[int, int]
    image: bytes
    truth: bytes
    prediction: bytes
    errors: bytes
    classes: tuple[int, ...] = ()

    @property
    def num_bytes(self) -> int:
        """Bytes of all four pictures."""
        return sum(map(len, (self.image, self.truth, self.prediction, self.errors)))


def draw_plane(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    longest: int,
    spacing: tuple[float, float] | None = None,
    index: int = 0,
) -> PlanePictures:
    """Draw one plane.

    Args:
        image: ``(C, H, W)`` in [0, 1].
        truth: true classes, ``(H, W)`` integers, 0 is background.
        prediction: predicted classes, same shape.
        longest: length of the longer side in pixels; smaller planes keep their size.
        spacing: mm per row and column, so that the picture has the plane's true proportions.
        index: number of the plane.

    Returns:
        the encoded pictures.

    Example:
        >>> labels = np.eye(8, dtype=np.uint8)
        >>> draw_plane(np.zeros((1, 8, 8)), labels, labels, longest=4).size
        (4, 4)
    """
    size = shown_size(truth.shape, longest, spacing)
    truth, prediction = _nearest(truth, size), _nearest(prediction, size)
    black = np.zeros(size)
    picture = Image.fromarray(to_rgb(image)).resize((size[1], size[0]), Image.Resampling.LANCZOS)
    if len(image) != 3:
        picture = picture.convert("L")
    return PlanePictures(
        index,
        size,
        _jpeg(picture),
        _on_nothing(overlay_labels(black, truth, opacity=1.0)),
        _on_nothing(overlay_labels(black, prediction, opacity=1.0)),
        _on_nothing(overlay_errors(black, truth, prediction, opacity=1.0)),
        tuple(int(value) for value in np.union1d(truth, prediction) if value > 0),
    )


def enlarged(plane: np.ndarray, longest: int) -> np.ndarray:
    """A small plane with each pixel as a block, so that its picture can be seen and an outline covers little of it.

    Args:
        plane: ``(..., H, W)``.
        longest: of the picture's longer side.

    Returns:
        the plane, times the largest whole number that keeps its longer side within that, at least 1.

    Example:
        >>> enlarged(np.zeros((1, 64, 60)), 320).shape, enlarged(np.eye(200), 320).shape
        ((1, 320, 300), (200, 200))
        >>> bool((enlarged(np.eye(64), 320)[::5, ::5] == np.eye(64)).all())
        True
    """
    factor = max(1, longest // max(plane.shape[-2:]))
    return plane.repeat(factor, axis=-2).repeat(factor, axis=-1)


def draw_outline(
    image: np.ndarray, labels: np.ndarray, longest: int, spacing: tuple[float, float] | None = None
) -> bytes:
    """Draw one plane with the outlines of its classes.

    Args:
        image: ``(C, H, W)`` in [0, 1].
        labels: classes, ``(H, W)`` integers, 0 is background.
        longest: as for `draw_plane`.
        spacing: as for `draw_plane`.

    Returns:
        a JPEG.

    Example:
        >>> labels = np.zeros((16, 16), np.uint8)
        >>> labels[4:12, 4:12] = 1
        >>> drawn = np.asarray(Image.open(io.BytesIO(draw_outline(np.zeros((1, 16, 16)), labels, longest=16))))
        >>> drawn.shape, bool(drawn[4, 8].max() > 150), bool(drawn[8, 8].max() < 60)  # nothing inside
        ((16, 16, 3), True, True)
    """
    size = shown_size(labels.shape, longest, spacing)
    labels = _nearest(labels, size)
    rgb = np.array(Image.fromarray(to_rgb(image)).resize((size[1], size[0]), Image.Resampling.LANCZOS))
    around = np.pad(labels, 1)
    neighbours = (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    edge = (labels > 0) & np.any([labels != other for other in neighbours], axis=0)
    rgb[edge] = class_colours(labels)[edge]
    return _jpeg(Image.fromarray(rgb), subsampling=0)  # thin lines keep their colours


def shown_size(shape: Sequence[int], longest: int, spacing: tuple[float, float] | None = None) -> tuple[int, int]:
    """Size of a picture with the proportions of a plane.

    Args:
        shape: ``(H, W)`` of the plane.
        longest: the longer side is no longer than this many pixels, nor than the plane's own.
        spacing: mm per row and column, square if unknown.

    Example:
        >>> shown_size((100, 100), 50), shown_size((20, 100), 100, (5.0, 1.0)), shown_size((30, 20), 480)
        ((50, 50), (100, 100), (30, 20))
    """
    extent = np.array(shape[:2], float) * (spacing or (1.0, 1.0))
    side = min(longest, max(shape[:2]))
    height, width = (max(1, round(side * part)) for part in (extent / extent.max()).tolist())
    return height, width


def _nearest(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Classes are picked, never averaged; from the middle of what each pixel of the picture stands for."""
    rows, columns = (
        np.minimum((np.arange(n) + 0.5) * length / n, length - 1).astype(int)
        for n, length in zip(size, labels.shape, strict=True)
    )
    return np.asarray(labels)[np.ix_(rows, columns)]


def _jpeg(picture: Image.Image, **more: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=80, **more)  # optimised ones of noise are larger than Pillow's buffer
    return file.getvalue()


def _on_nothing(rgb: np.ndarray) -> bytes:
    """Colours as a PNG with a palette, black as transparency."""
    codes = (rgb.astype(np.int64) << np.array([16, 8, 0])).sum(axis=-1)
    colours, indices = np.unique(codes, return_inverse=True)
    picture = Image.fromarray(indices.reshape(codes.shape).astype(np.uint8))
    picture.putpalette([int(code) >> shift & 255 for code in colours for shift in (16, 8, 0)])
    file = io.BytesIO()
    transparent = {"transparency": 0} if colours[0] == 0 else {}
    picture.save(file, "PNG", optimize=True, **transparent)
    return file.getvalue()
