"""What both phantoms are drawn with, in two and three dimensions: smooth noise and branching vessels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Branch:
    """One vessel: points along its middle line and the radius at each.

    Args:
        points: ``(n, d)`` in mm (or pixels), ``d`` = 2 or 3.
        radii: ``(n,)`` in the same unit.
    """

    points: np.ndarray
    radii: np.ndarray


def smooth_noise(rng: np.random.RandomState, shape: Sequence[int], cells: Sequence[int]) -> np.ndarray:
    """Draw a smooth random field: normal numbers on a coarse grid, interpolated along each axis.

    Args:
        rng: source of the numbers.
        shape: shape of the field, any number of dimensions.
        cells: number of cells of the coarse grid along each axis; more make a rougher field.

    Returns:
        float array of mean about 0 and standard deviation below 1.

    Example:
        >>> smooth_noise(np.random.RandomState(0), (8, 9, 4), (2, 2, 1)).shape
        (8, 9, 4)
    """
    field = rng.normal(size=[number + 1 for number in cells])
    for axis, (size, number) in enumerate(zip(shape, cells, strict=True)):
        place = np.linspace(0, number, size)
        low = np.minimum(place.astype(int), number - 1)
        weight = place - low
        weight = weight * weight * (3 - 2 * weight)
        weight = weight.reshape([-1 if i == axis else 1 for i in range(len(shape))])
        field = np.take(field, low, axis) * (1 - weight) + np.take(field, low + 1, axis) * weight
    return field


def grow_branch(
    rng: np.random.RandomState,
    start: np.ndarray,
    direction: np.ndarray,
    *,
    length: float,
    radius: float,
    step: float,
    wobble: float = 0.06,
) -> Branch:
    """Grow one winding branch that tapers to half its radius.

    Args:
        rng: source of the bends.
        start: first point, ``(d,)``.
        direction: first direction, ``(d,)``, of any length above 0.
        length: length along the branch.
        radius: radius at the start.
        step: distance of neighbouring points.
        wobble: standard deviation of the change of direction per point.
    """
    count = max(1, int(length / step))
    pushes = wobble * rng.normal(size=(count, len(start)))
    heading, bend = direction / np.linalg.norm(direction), np.zeros(len(start))
    points = [np.asarray(start, dtype=float)]
    for push in pushes:
        bend = 0.8 * bend + push
        heading = heading + bend
        heading = heading / math.sqrt(heading @ heading)
        points.append(points[-1] + step * heading)
    return Branch(np.array(points), np.linspace(radius, 0.5 * radius, len(points)))


def sprout(
    rng: np.random.RandomState,
    parent: Branch,
    *,
    length: float,
    shrink: float = 0.6,
    wobble: float = 0.06,
    begin: float = 0.15,
) -> Branch:
    """Grow a side branch from a random place of another one, at 25 to 60 degrees from its direction.

    Args:
        rng: source of place, angle and bends.
        parent: where it starts.
        length: length along the new branch.
        shrink: its radius as a share of the parent's at that place.
        wobble: see `grow_branch`.
        begin: first place that may sprout, as a share of the parent's length.
    """
    count = len(parent.points)
    index = rng.randint(min(int(begin * count), count - 2), count - 1)
    along = parent.points[index + 1] - parent.points[index]
    step = float(np.linalg.norm(along))
    across = rng.normal(size=len(along))
    across -= along * (across @ along) / step**2
    angle = np.deg2rad(rng.uniform(25, 60))
    direction = np.cos(angle) * along / step + np.sin(angle) * across / max(np.linalg.norm(across), 1e-9)
    radius = shrink * float(parent.radii[index])
    return grow_branch(rng, parent.points[index], direction, length=length, radius=radius, step=step, wobble=wobble)


def paint_branch(canvas: np.ndarray, branch: Branch, spacing: Sequence[float], strength: float = 1.0) -> None:
    """Paint a branch into a canvas, keeping the larger value where it is painted already.

    Args:
        canvas: ``(*spatial)`` float, changed in place; a pixel gets `strength` times the share of it that is
            covered, judged by its distance from the middle line.
        branch: points in the unit of `spacing`, with the origin at the first pixel's middle.
        spacing: pixel size along each axis.
        strength: value of a covered pixel.
    """
    size = np.asarray(spacing, dtype=float)
    pixel = size.min()
    reach = np.ceil((branch.radii.max() + pixel) / size).astype(int)
    offsets = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), -1).reshape(-1, len(size))
    index = np.rint(branch.points / size).astype(int)[:, None] + offsets
    distance = np.sqrt(((index * size - branch.points[:, None]) ** 2).sum(-1))
    value = strength * np.clip((branch.radii[:, None] - distance) / pixel + 0.5, 0, 1)
    keep = (value > 0) & (index >= 0).all(-1) & (index < canvas.shape).all(-1)
    np.maximum.at(canvas, tuple(index[keep].T), value[keep])
