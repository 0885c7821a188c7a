"""A fundus phantom in CHASE_DB1's layout: orange discs with branching vessels and two observers' masks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from monai_supmix.phantoms.shapes import Branch, grow_branch, paint_branch, smooth_noise, sprout
from monai_supmix.randomness import derive_seed


def write_fundus_phantom(
    folder: str | Path, num_children: int = 14, size: tuple[int, int] = (240, 250), seed: int = 0
) -> Path:
    """Write ``Image_NN{L,R}.jpg`` with ``_1stHO.png`` and ``_2ndHO.png`` for a number of children.

    Vessels are 6 to 8 % of the pixels. The second observer sees the same vessels a little thinner or thicker
    and misses some of the fine ones. `chase_datalist` reads the folder if there are 14 children.

    Args:
        folder: made if missing.
        num_children: number of children, two eyes each.
        size: height and width in pixels, at least 64.
        seed: the same seed writes the same files.

    Returns:
        the folder.

    Example:
        >>> import tempfile
        >>> folder = write_fundus_phantom(tempfile.mkdtemp(), num_children=1, size=(64, 64))
        >>> sorted(path.name for path in folder.glob("*L*"))
        ['Image_01L.jpg', 'Image_01L_1stHO.png', 'Image_01L_2ndHO.png']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for child in range(1, num_children + 1):
        for eye in "LR":
            picture, first, second = draw_fundus(size, derive_seed(seed, "fundus", child), right=eye == "R")
            stem = f"Image_{child:02d}{eye}"
            Image.fromarray(picture).save(folder / f"{stem}.jpg", quality=95, subsampling=0)
            Image.fromarray(first).save(folder / f"{stem}_1stHO.png")
            Image.fromarray(second).save(folder / f"{stem}_2ndHO.png")
    return folder


def draw_fundus(size: tuple[int, int], seed: int, right: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw one eye.

    Args:
        size: height and width in pixels.
        seed: seed of the child; both eyes share its tint.
        right: the right eye instead of the left.

    Returns:
        ``(picture, first, second)``: uint8 ``(H, W, 3)`` and the observers' bool masks ``(H, W)``.

    Example:
        >>> picture, first, second = draw_fundus((96, 100), seed=0)
        >>> picture.shape, bool(0.05 < first.mean() < 0.09)
        ((96, 100, 3), True)
    """
    child = np.random.RandomState(seed)
    tint = np.array([205, 95, 38]) * child.uniform([0.85, 0.85, 0.7], [1.1, 1.1, 1.2])
    rng = np.random.RandomState(derive_seed(seed, "right" if right else "left"))
    height, width = size
    radius = 0.47 * min(size)
    y, x = np.mgrid[:height, :width].astype(float)
    side = -1.0 if right else 1.0
    middle = np.array([height / 2, width / 2])
    disc = middle + radius * np.array([rng.uniform(-0.08, 0.08), side * rng.uniform(0.02, 0.15)])

    inside = np.clip(radius - np.hypot(y - middle[0], x - middle[1]) + 0.5, 0, 1)
    branches, first = _grow_vessels(rng, size, disc, radius, inside > 0.5)
    second = np.zeros(size)
    for branch, fine in branches:
        if fine and rng.uniform() < 0.3:
            continue
        shift = rng.normal(scale=0.0025 * radius, size=2)
        other = Branch(branch.points + shift, branch.radii * rng.uniform(0.85, 1.1))
        paint_branch(second, other, (1, 1))

    # light: brighter towards one side and around the optic disc, mottled by the choroid
    angle = rng.uniform(0, 2 * np.pi)
    slope = ((y - middle[0]) * np.sin(angle) + (x - middle[1]) * np.cos(angle)) / radius
    to_disc = np.hypot((y - disc[0]) / 1.1, x - disc[1]) / radius
    light = 0.72 + 0.16 * slope + 0.25 * np.exp(-((to_disc / 0.5) ** 2))
    light += 0.06 * smooth_noise(rng, size, (14, 14))
    picture = tint * light[..., None]
    picture[..., 0] *= 1 + 0.05 * smooth_noise(rng, size, (30, 30))
    fovea = np.hypot(y - disc[0], x - disc[1] + side * 0.75 * radius) / radius
    picture *= 1 - 0.3 * np.exp(-((fovea / 0.13) ** 2))[..., None]
    glow = np.clip((0.2 - to_disc) / 0.02, 0, 1)[..., None]
    picture += glow * (np.array([250, 195, 90]) * (0.8 + 0.25 * light[..., None]) - picture) * 0.9
    # vessels take green and blue more than red, fine ones less of all
    faint = np.zeros(size)
    for branch, fine in branches:
        paint_branch(faint, branch, (1, 1), strength=rng.uniform(0.5, 0.7) if fine else rng.uniform(0.8, 1.0))
    picture *= 1 - faint[..., None] * np.array([0.32, 0.55, 0.5])
    picture += rng.normal(scale=3.0, size=picture.shape)
    picture = np.clip(picture * inside[..., None], 0, 255).astype(np.uint8)
    return picture, first > 0.5, (second > 0.5) & (inside > 0.5)


def _grow_vessels(
    rng: np.random.RandomState, size: tuple[int, int], disc: np.ndarray, radius: float, inside: np.ndarray
) -> tuple[list[tuple[Branch, bool]], np.ndarray]:
    """Grow main vessels out of the optic disc, then ever finer ones until their share is reached."""
    target = rng.uniform(0.062, 0.078)
    canvas = np.zeros(size)
    branches: list[tuple[Branch, bool]] = []

    def add(branch: Branch, fine: bool) -> None:
        stays = inside[tuple(np.clip(np.rint(branch.points).astype(int), 0, np.array(size) - 1).T)]
        end = len(stays) if stays.all() else int(np.argmin(stays))
        if end > 2:
            branches.append((Branch(branch.points[:end], branch.radii[:end]), fine))
            paint_branch(canvas, branches[-1][0], (1, 1))

    count = rng.randint(8, 11)
    step = max(1.0, radius / 120)
    for number in range(count):
        angle = 2 * np.pi * (number + rng.uniform(-0.25, 0.25)) / count
        heading = np.array([np.sin(angle) * 1.3, np.cos(angle)])
        start = disc + 0.06 * radius * rng.normal(size=2)
        thick = radius * rng.uniform(0.01, 0.0165)
        add(grow_branch(rng, start, heading, length=2 * radius, radius=thick, step=step, wobble=0.016), False)
    parents = list(branches)
    while (canvas[inside] > 0.5).sum() < target * inside.size:
        twig = sprout(
            rng,
            parents[rng.randint(len(parents))][0],
            length=radius * rng.uniform(0.2, 0.8),
            shrink=rng.uniform(0.45, 0.75),
            wobble=0.025,
        )
        # below half a pixel a vessel would break into dots
        add(Branch(twig.points, np.maximum(twig.radii, 0.55)), True)
        if len(branches) % 4 == 0:
            parents.append(branches[-1])
    return branches, canvas * inside
