"""Masks of one slice as polygons along the edges of their pixels, and polygons as masks again.

Contours through the edges of pixels keep area and single pixels as they are, and give back the mask exactly; those that
marching squares give cut every corner. Corners and points count in pixels, whole numbers being the pixels' centres.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def outline(mask: np.ndarray) -> list[np.ndarray]:
    """The closed outlines of a mask, those of holes among them.

    Args:
        mask: bool ``(A, B)``.

    Returns:
        for each outline its corners ``(N, 2)`` in order, the first not repeated at the end. Pixels that touch at a
        corner alone have outlines of their own.

    Example:
        >>> outline(np.array([[False, True]]))[0].tolist()
        [[0.5, 0.5], [0.5, 1.5], [-0.5, 1.5], [-0.5, 0.5]]
    """
    padded = np.pad(mask.astype(bool), 1)
    # The pixels around each corner of the grid: before and after it along the first axis, then along the second.
    before, after, before2, after2 = padded[:-1, :-1], padded[1:, :-1], padded[:-1, 1:], padded[1:, 1:]
    # Edges that leave a corner in each of four directions, a quarter turn apart, with the mask on their left.
    edges = np.stack([after2 & ~after, before2 & ~after2, before & ~before2, after & ~before])
    corners, columns = edges[0].size, edges.shape[2]
    there, seen, steps = edges.tobytes(), bytearray(edges.size), (columns, 1, -columns, -1)
    outlines = []
    for start in np.flatnonzero(edges).tolist():
        edge, turns = start, []
        while not seen[edge]:
            seen[edge] = 1
            direction, corner = divmod(edge, corners)
            corner += steps[direction]
            # Left before straight on before right: what touches at a corner alone is not joined there.
            ahead = next(way for way in (direction + 1, direction, direction + 3) if there[way % 4 * corners + corner])
            if ahead != direction:
                turns.append(corner)
            edge = ahead % 4 * corners + corner
        if turns:
            outlines.append(np.stack(np.divmod(np.array(turns), columns), axis=1) - 0.5)
    return outlines


def fill(polygons: Sequence[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie inside an odd number of polygons, so that polygons in others are holes.

    Args:
        polygons: each ``(N, 2)``; the last point is joined to the first.
        shape: ``(A, B)``; what lies beyond is cut off.

    Returns:
        bool ``(A, B)``. A centre right on an edge is inside on one side of a shape and outside on the other: shapes
        with an edge in common neither overlap nor leave a gap.

    Example:
        >>> square = np.array([[-0.5, -0.5], [2.5, -0.5], [2.5, 2.5], [-0.5, 2.5]])
        >>> fill([square, square / 3], (3, 4)).astype(int)
        array([[0, 1, 1, 0],
               [1, 1, 1, 0],
               [1, 1, 1, 0]])
    """
    points = [np.asarray(polygon, float) for polygon in polygons]
    begin = np.concatenate([np.empty((0, 2)), *points])
    end = np.concatenate([np.empty((0, 2)), *(np.roll(polygon, -1, axis=0) for polygon in points)])
    # Every edge crosses the lines of centres from its lower end, included, to its upper end.
    low, high = (np.clip(np.ceil(f(begin[:, 1], end[:, 1])), 0, shape[1]).astype(int) for f in (np.minimum, np.maximum))
    counts = np.maximum(high - low, 0)
    edge = np.repeat(np.arange(len(begin)), counts)
    line = low[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    part = (line - begin[edge, 1]) / (end[edge, 1] - begin[edge, 1])
    crossing = begin[edge, 0] + part * (end[edge, 0] - begin[edge, 0])
    first = np.clip(np.ceil(crossing), 0, shape[0]).astype(int)
    passed = np.zeros((shape[0] + 1, shape[1]), np.int64)
    np.add.at(passed, (first, line), 1)
    return np.cumsum(passed[:-1], axis=0) % 2 == 1
