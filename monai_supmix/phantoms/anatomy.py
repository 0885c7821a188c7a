"""The healthy chest of the CT phantom: body wall, bones, heart, great vessels, liver and lungs in HU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from monai_supmix.phantoms.shapes import Branch, grow_branch, paint_branch, smooth_noise, sprout

AIR, LUNG, FAT, MUSCLE, BLOOD, LIVER, BONE = -1000.0, -860.0, -100.0, 45.0, 42.0, 58.0, 420.0


Pair: TypeAlias = tuple[float | np.ndarray, float | np.ndarray]


@dataclass(frozen=True)
class Body:
    """Grid and proportions of one made-up patient.

    Args:
        size: voxels along x, y, z, which run to the left, the back and the head.
        spacing: voxel size in mm.
        axes: x, y, z in mm from the first voxel, shaped to broadcast to `size`.
        middle: middle of the grid in mm.
        scale: size relative to a usual body.
        effusion_side: 1 if fluid gathers in the left chest, -1 in the right.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    axes: tuple[np.ndarray, np.ndarray, np.ndarray]
    middle: np.ndarray
    scale: float
    effusion_side: int

    @classmethod
    def draw(cls, rng: np.random.RandomState, size: tuple[int, int, int], spacing: tuple[float, float, float]) -> Body:
        """Draw a patient for a grid."""
        x, y, z = np.ix_(*(np.arange(n) * s for n, s in zip(size, spacing, strict=True)))
        middle = (np.array(size) - 1) / 2 * np.array(spacing)
        return cls(size, spacing, (x, y, z), middle, rng.uniform(0.92, 1.04), int(rng.choice([-1, 1])))

    @property
    def height(self) -> np.ndarray:
        """Height in the chest, 0 at the lowest and 1 at the highest slice, ``(1, 1, Z)``."""
        return self.axes[2] / max(float(self.axes[2].max()), 1e-6)

    def ellipse(self, centre: Pair, half: Pair) -> np.ndarray:
        """Cover of an ellipse in every slice: 1 inside, 0 outside, between them at the edge.

        Args:
            centre: to the left and to the back of the middle, in mm of a usual body.
            half: half axes along x and y in mm; arrays ``(1, 1, Z)`` make them change with the height.
        """
        return np.clip(0.5 - self.outside(centre, half) / self.spacing[0], 0, 1)

    def outside(self, centre: Pair, half: Pair) -> np.ndarray:
        """Distance from an ellipse's edge in mm, about, negative inside; arguments as of `ellipse`."""
        a, b = (np.asarray(h) * self.scale for h in half)
        x = self.axes[0] - self.middle[0] - np.asarray(centre[0]) * self.scale
        y = self.axes[1] - self.middle[1] - np.asarray(centre[1]) * self.scale
        return (np.sqrt((x / a) ** 2 + (y / b) ** 2) - 1) * np.minimum(a, b)


def draw_chest(rng: np.random.RandomState, body: Body) -> tuple[np.ndarray, np.ndarray]:
    """Draw a healthy chest without lung vessels.

    Args:
        rng: source of the variation between patients.
        body: grid and proportions.

    Returns:
        ``(image, lung)`` of shape ``body.size``: HU as float, and the share of lung in each voxel in [0, 1].
    """
    up = body.height
    image = np.full(body.size, AIR)

    def put(cover: np.ndarray, value: float | np.ndarray) -> None:
        nonlocal image
        image += cover * (value - image)

    narrow = 1 - 0.28 * np.clip(up - 0.45, 0, None) ** 1.5  # towards the shoulders
    put(body.ellipse((0, 0), (156, 120)), FAT)
    flesh = body.ellipse((0, 2), (146, 108))
    put(flesh, MUSCLE + 12 * smooth_noise(rng, body.size, (20, 20, 4)))
    rim = body.outside((0, -2), (128 * narrow, 96 * narrow))

    # bones: ribs fall towards the front, so that a slice cuts each of them obliquely
    front = (body.middle[1] - body.axes[1]) / (90 * body.scale)
    phase = body.axes[2] / 26 + 0.9 * front + rng.uniform()
    rib = np.clip((np.sin(2 * np.pi * phase) - 0.35) * 3, 0, 1)
    shell = np.clip(0.5 - (np.abs(rim - 8) - 4) / body.spacing[0], 0, 1)
    put(shell * rib, BONE)
    put(body.ellipse((0, -102), (22, 5)), BONE - 200)
    for side in (-1, 1):
        wing = body.ellipse((side * 88, 84 - 6 * up), (40 * np.clip(up - 0.3, 0.05, None), 5))
        put(wing * flesh * np.clip(0.5 + (rim - 13) / body.spacing[0], 0, 1), BONE)

    lung = _lungs(rng, body, rim)
    noise = 22 * smooth_noise(rng, body.size, (9, 9, 4))
    put(lung, LUNG + 90 * (body.axes[1] - body.middle[1]) / 100 + noise)
    put(body.ellipse((0, 66), (19, 16)), BONE - 170)
    put(body.ellipse((0, 88), (7, 7)), 25.0)
    put(body.ellipse((0, 88), (13, 13)) - body.ellipse((0, 88), (8, 8)), BONE)
    put(body.ellipse((0, 104), (4, 9)), BONE)
    put(body.ellipse((26, 48), (12, 12)), BLOOD)
    trachea = np.clip((up - 0.55) * 8, 0, 1)
    put(trachea * body.ellipse((-2, 24), (9, 9)), AIR)
    return image, lung


def _lungs(rng: np.random.RandomState, body: Body, rim: np.ndarray) -> np.ndarray:
    """Share of lung: the inside of the ribs without heart, vessels, spine and what the diaphragm covers."""
    up = body.height
    pixel = body.spacing[0]
    lung = np.clip(0.5 - (rim + 2) / pixel, 0, 1)
    # the heart points to the left and is wide below; above it the great vessels form a narrow band
    size = (np.maximum(62 - 52 * up, 24), np.maximum(56 - 24 * up, 26))
    heart = body.outside((22 - 16 * up, -30 + 16 * up), size)
    band = body.outside((4, 6), (24, 62))
    front = body.outside((2, -86), (8, 36))
    spine = np.minimum(body.outside((0, 72), (27, 26)), body.outside((24, 48), (17, 17)))
    keep = np.minimum(np.minimum(heart, band), np.minimum(front, spine))
    lung = lung * np.clip(0.5 + keep / pixel, 0, 1)
    # domes of the diaphragm: higher on the right, where the liver is
    for side, top in ((-1, rng.uniform(0.26, 0.38)), (1, rng.uniform(0.12, 0.22))):
        free = 1 - np.clip(1 - up / top, 0, 1) ** 0.7  # 0 where the dome is widest, 1 above it
        share = np.sqrt(np.clip(1 - free**2, 0, 1))
        dome = body.outside((side * 66, -22 + 8 * free), (62 * share + 1e-3, 66 * share + 1e-3))
        lung = lung * np.where(up < top, np.clip(0.5 + dome / pixel, 0, 1), 1)
    return lung


def grow_lung_vessels(rng: np.random.RandomState, body: Body, lung: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Grow the vessels of both lungs from the hilum, and the main bronchi.

    Args:
        rng: source of the branching.
        body: grid and proportions.
        lung: share of lung, ``body.size``.

    Returns:
        ``(vessels, airways)``: shares of each voxel in [0, 1], vessels inside the lungs only.
    """
    vessels, airways = np.zeros(body.size), np.zeros(body.size)
    step = float(body.spacing[0])
    top = float(body.axes[2].max())
    for side in (-1, 1):
        hilum = body.middle + body.scale * np.array([side * 34.0, 12.0, 0.0])
        hilum[2] = 0.5 * top
        trunks: list[Branch] = []
        for _ in range(18):
            heading = np.array([side * rng.uniform(0.2, 1.0), rng.normal(scale=0.8), rng.normal(scale=1.0)])
            length = rng.uniform(70, 130)
            start = hilum + rng.normal(scale=5.0, size=3)
            trunks.append(grow_branch(rng, start, heading, length=length, radius=3.2, step=step, wobble=0.03))
        branches = list(trunks)
        for _ in range(130):
            parent = branches[rng.randint(len(branches))]
            branches.append(sprout(rng, parent, length=rng.uniform(20, 55), shrink=0.72, begin=0.2))
        for branch in branches:
            paint_branch(vessels, Branch(branch.points, np.maximum(branch.radii, 0.8)), body.spacing)
        carina = body.middle + body.scale * np.array([side * 6.0, 20.0, 0.0])
        carina[2] = 0.58 * top
        paint_branch(
            airways,
            grow_branch(rng, carina, hilum - carina, length=60, radius=5.5, step=step, wobble=0.01),
            body.spacing,
        )
    return vessels * lung, airways
