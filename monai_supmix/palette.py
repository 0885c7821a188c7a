"""Colours of classes: Okabe and Ito's for the first three, and as different ones as there are for those after them."""

from __future__ import annotations

import numpy as np

BLACK = (0, 0, 0)
# Okabe and Ito's palette, which colour-blind people can distinguish: three for classes, three for errors.
_FIRST = [(86, 180, 233), (230, 159, 0), (0, 158, 115)]
# Blue, yellow and vermilion also differ in lightness; no class has a colour of these.
ERROR_COLOURS = {
    "found": (150, 165, 255),  # as light as the first, between those of what is missed and spurious
    "missed": (240, 228, 66),
    "spurious": (213, 94, 0),
    "wrong class": (204, 121, 167),
}
_WHITE = (255, 255, 255)
_MOST = 64
_LEVELS = (40, 83, 126, 169, 212, 255)
_DARKEST = 35.0  # of lightness from 0 to 100: darker ones are not seen on a dark image


def lab(colours: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of colours: equal distances there look about equally different.

    Args:
        colours: ``(N, 3)`` sRGB from 0 to 255.

    Returns:
        ``(N, 3)`` float; lightness is from 0 to 100.

    Example:
        >>> lab(np.array([[255, 255, 255]])).round().astype(int).tolist()
        [[100, 0, 0]]
    """
    value = np.asarray(colours, float) / 255
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ matrix.T / (0.9505, 1.0, 1.089)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * root[:, 1] - 16, 500 * (root[:, 0] - root[:, 1]), 200 * (root[:, 1] - root[:, 2])], axis=1)


def class_palette(most: int = _MOST) -> np.ndarray:
    """Black for the background, then a colour for each class.

    After the first three each colour is, of a grid of them, the one that differs most from all before it, from black
    and white, and from those that tell of errors.

    Args:
        most: number of classes beside the background; those beyond have to use the colours in turn.

    Returns:
        ``(most + 1, 3)`` uint8.
    """
    grid = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    places = lab(grid)
    grid, places = grid[places[:, 0] > _DARKEST], places[places[:, 0] > _DARKEST]
    taken = lab(np.array([*_FIRST, *ERROR_COLOURS.values(), _WHITE, BLACK]))
    apart = np.linalg.norm(places[:, None] - taken[None], axis=2).min(axis=1)
    chosen = list(_FIRST[:most])
    while len(chosen) < most:
        index = int(apart.argmax())
        chosen.append(tuple(grid[index].tolist()))
        apart = np.minimum(apart, np.linalg.norm(places - places[index], axis=1))
    return np.array([BLACK, *chosen], np.uint8)
