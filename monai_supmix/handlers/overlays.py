"""Pictures of a prediction beside its image and its truth, in colours that colour-blind people can distinguish."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from monai_supmix.files import atomic_write
from monai_supmix.palette import ERROR_COLOURS, class_palette

CLASS_COLOURS = class_palette()
_GAP, _LINE, _INK, _PAPER = 8, 24, (20, 20, 20), (255, 255, 255)

LegendEntry = tuple[str, tuple[int, ...]]


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Bring an image to 8-bit colour.

    Args:
        image: ``(H, W)`` or ``(C, H, W)`` in [0, 1]; three channels are red, green and blue, of any other
            number the first is shown in grey. Values beyond the range are clipped, NaN is black.

    Returns:
        ``(H, W, 3)`` uint8.

    Raises:
        ValueError: when the shape is neither.

    Example:
        >>> to_rgb(np.array([[0.0, 1.0]])).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """
    image = np.asarray(image)
    if image.ndim not in (2, 3):
        raise ValueError(f"an image is (H, W) or (C, H, W), not of shape {image.shape}")
    channels = image[None] if image.ndim == 2 else image
    channels = channels if len(channels) == 3 else np.repeat(channels[:1], 3, axis=0)
    values = np.nan_to_num(np.clip(channels.astype(np.float32), 0, 1))
    return np.rint(values * 255).astype(np.uint8).transpose(1, 2, 0)


def overlay_labels(image: np.ndarray, labels: np.ndarray, opacity: float = 0.7) -> np.ndarray:
    """Tint an image with the colours of the classes; background, class 0, keeps the image.

    Args:
        image: as for `to_rgb`; shown in grey, so that colours mean only classes.
        labels: classes, ``(H, W)`` integers; values beyond 64 reuse the colours in turn.
        opacity: share of the colour, in [0, 1].

    Returns:
        ``(H, W, 3)`` uint8.

    Example:
        >>> overlay_labels(np.zeros((1, 2)), np.array([[0, 1]]), opacity=1.0).tolist()
        [[[0, 0, 0], [86, 180, 233]]]
    """
    return _tint(image, class_colours(np.asarray(labels)), np.asarray(labels) > 0, opacity)


def class_colours(labels: np.ndarray) -> np.ndarray:
    """Colours of classes.

    Args:
        labels: integers of any shape.

    Returns:
        uint8 of shape ``(*labels.shape, 3)``.

    Example:
        >>> class_colours(np.array([1, 2, 0])).tolist()
        [[86, 180, 233], [230, 159, 0], [0, 0, 0]]
    """
    palette = len(CLASS_COLOURS) - 1
    return CLASS_COLOURS[np.where(labels > 0, (labels.astype(np.int64) - 1) % palette + 1, 0)]


def overlay_errors(
    image: np.ndarray,
    truth: np.ndarray,
    prediction: np.ndarray,
    ignore_index: int | None = None,
    opacity: float = 0.8,
) -> np.ndarray:
    """Tint an image where prediction or truth is not background, by whether and how they agree.

    Args:
        image: as for `to_rgb`; shown in grey.
        truth: true classes, ``(H, W)`` integers, 0 is background.
        prediction: predicted classes, same shape.
        ignore_index: elements of this true class are not judged and keep the image.
        opacity: share of the colour, in [0, 1].

    Returns:
        ``(H, W, 3)`` uint8 in `ERROR_COLOURS`: found (the same class), missed (only in the truth), spurious
        (only in the prediction), wrong class (two different ones).

    Raises:
        ValueError: when the shapes differ.

    Example:
        >>> truth, prediction = np.array([[0, 1, 1, 0]]), np.array([[0, 1, 0, 1]])
        >>> overlay_errors(np.zeros((1, 4)), truth, prediction, opacity=1.0).tolist()
        [[[0, 0, 0], [150, 165, 255], [240, 228, 66], [213, 94, 0]]]
    """
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    if truth.shape != prediction.shape:
        raise ValueError(f"truth has shape {truth.shape} and prediction {prediction.shape}; they must be the same")
    judged = truth != ignore_index if ignore_index is not None else np.ones(truth.shape, bool)
    true, predicted = (truth > 0) & judged, (prediction > 0) & judged
    same = truth == prediction
    colours = np.zeros((*truth.shape, 3), np.uint8)
    colours[true & predicted & same] = ERROR_COLOURS["found"]
    colours[true & ~predicted] = ERROR_COLOURS["missed"]
    colours[predicted & ~true] = ERROR_COLOURS["spurious"]
    colours[true & predicted & ~same] = ERROR_COLOURS["wrong class"]
    return _tint(image, colours, true | predicted, opacity)


def _tint(image: np.ndarray, colours: np.ndarray, where: np.ndarray, opacity: float) -> np.ndarray:
    rgb = to_rgb(image)
    if rgb.shape[:2] != where.shape:
        raise ValueError(f"image has shape {rgb.shape[:2]} and labels {where.shape}; they must be the same")
    grey = np.repeat(np.asarray(Image.fromarray(rgb).convert("L"))[..., None], 3, axis=2)
    mixed = np.rint((1 - opacity) * grey.astype(np.float32) + opacity * colours).astype(np.uint8)
    return np.where(where[..., None], mixed, grey)


def panel(
    image: np.ndarray,
    prediction: np.ndarray,
    class_names: Sequence[str],
    truth: np.ndarray | None = None,
    title: str = "",
    ignore_index: int | None = None,
    tile: int = 420,
) -> np.ndarray:
    """Draw input, truth, prediction and errors side by side, with titles and a legend.

    Args:
        image: as for `to_rgb`, on the grid of the labels.
        prediction: predicted classes, ``(H, W)`` integers.
        class_names: names of the classes, background first.
        truth: true classes; without them the panel has only input and prediction.
        title: a line above, such as the name of the case.
        ignore_index: true class that is not judged.
        tile: length of a tile's longer side in pixels.

    Returns:
        ``(height, width, 3)`` uint8.

    Raises:
        ValueError: when shapes differ.
    """
    tiles = {"input": to_rgb(image), "prediction": overlay_labels(image, prediction)}
    legends: dict[str, list[LegendEntry]] = {"prediction": []}
    present = np.unique(prediction)
    if truth is not None:
        truth = np.asarray(truth)
        shown_truth = truth if ignore_index is None else np.where(truth == ignore_index, 0, truth)
        present = np.union1d(present, shown_truth)
        errors = overlay_errors(image, truth, prediction, ignore_index)
        tiles = {"input": tiles["input"], "truth": overlay_labels(image, shown_truth), **tiles, "errors": errors}
        several = len(class_names) > 2
        legends = {
            "truth": [],
            "errors": [e for e in ERROR_COLOURS.items() if several or e[0] != "wrong class"],
        }
    legends["truth" if truth is not None else "prediction"] = [
        (name, tuple(class_colours(np.array(index)).tolist()))
        for index, name in enumerate(class_names)
        if index > 0 and index in present
    ]
    return _compose({name: _fit(rgb, tile) for name, rgb in tiles.items()}, legends, title)


def _fit(rgb: np.ndarray, tile: int) -> Image.Image:
    height, width = rgb.shape[:2]
    factor = tile / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    # Enlarged pixels stay what they are; thin structures are averaged, not skipped, when the image shrinks.
    return Image.fromarray(rgb).resize(size, Image.Resampling.NEAREST if factor > 1 else Image.Resampling.LANCZOS)


def _compose(tiles: Mapping[str, Image.Image], legends: Mapping[str, Sequence[LegendEntry]], title: str) -> np.ndarray:
    font = _font()
    top = _LINE if title else 0
    below = top + _LINE + max(picture.height for picture in tiles.values()) + _GAP
    width = _GAP + sum(picture.width + _GAP for picture in tiles.values())
    lefts = dict(zip(tiles, np.cumsum([_GAP, *(p.width + _GAP for p in tiles.values())]).tolist(), strict=False))
    # A legend starts below its tile and may go on below the next ones that have none.
    ends = [*(lefts[name] for name in legends), width][1:]
    rows = {
        name: _rows([_LINE + round(font.getlength(text)) + 2 * _GAP for text, _ in entries], end - lefts[name])
        for (name, entries), end in zip(legends.items(), ends, strict=True)
    }
    height = below + _LINE * max(map(len, rows.values()))
    canvas = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(canvas)
    draw.text((_GAP, 3), title, _INK, font)
    for name, picture in tiles.items():
        draw.text((lefts[name], top + 3), name, _INK, font)
        canvas.paste(picture, (lefts[name], top + _LINE))
    for name, entries in legends.items():
        placed = [(left, upper) for upper, row in enumerate(rows[name]) for left in row]
        for (text, colour), (left, upper) in zip(entries, placed, strict=True):
            x, y = lefts[name] + left, below + upper * _LINE
            draw.rectangle((x, y + 3, x + 14, y + 17), colour)
            draw.text((x + _LINE, y + 1), text, _INK, font)
    return np.asarray(canvas)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    # Pillow's own font has no letters beyond English.
    return ImageFont.truetype(str(Path(__file__).parent / "fonts" / "DejaVuSans.ttf"), 14)


def _rows(lengths: Sequence[int], width: int) -> list[list[int]]:
    """Starts of the entries of a legend, row by row, none longer than the width unless a single entry is."""
    rows: list[list[int]] = []
    used = width + 1
    for length in lengths:
        if used + length > width:
            rows.append([])
            used = 0
        rows[-1].append(used)
        used += length
    return rows


def save_png(path: str | os.PathLike[str], rgb: np.ndarray) -> None:
    """Write a picture, atomically.

    Args:
        path: the ``.png`` file; its folder must exist.
        rgb: ``(H, W, 3)`` uint8.

    Raises:
        InputError: when the system refuses to write.
    """
    with atomic_write(path) as file:
        Image.fromarray(rgb).save(file, format="PNG")
