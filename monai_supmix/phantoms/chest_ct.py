"""A chest CT phantom in nnU-Net's layout: ground glass, consolidation and a rare pleural effusion."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_supmix.phantoms.anatomy import Body, draw_chest, grow_lung_vessels
from monai_supmix.phantoms.shapes import smooth_noise
from monai_supmix.randomness import derive_seed

CLASSES = ("background", "ground_glass", "consolidation", "pleural_effusion")
FIELD_OF_VIEW = 320.0
"""Width and height of a slice in mm."""


def write_chest_ct_phantom(
    folder: str | Path,
    *,
    num_labeled: int = 4,
    num_unlabeled: int = 6,
    num_test: int = 2,
    size: tuple[int, int, int] = (128, 128, 16),
    slice_spacing: float = 8.0,
    rare_fraction: float = 0.001,
    rare_cases: int | None = None,
    seed: int = 0,
) -> Path:
    """Write a small data set of made-up chest CT volumes in nnU-Net's layout, one volume a patient.

    Args:
        folder: made if missing; gets imagesTr, labelsTr, imagesTs, labelsTs and dataset.json.
        num_labeled: training volumes with a label file.
        num_unlabeled: training volumes without one.
        num_test: test volumes, with label files.
        size: voxels along x, y, z; a slice is 320 mm wide and high.
        slice_spacing: distance of slices in mm.
        rare_fraction: share of the voxels of a volume that is pleural effusion, the rare class; 0 for none.
        rare_cases: number of labelled, and of unlabelled, volumes that show it; None: all. Test volumes always do.
        seed: the same seed writes the same files.

    Returns:
        the folder.

    Example:
        >>> import tempfile
        >>> folder = write_chest_ct_phantom(
        ...     tempfile.mkdtemp(), num_labeled=1, num_unlabeled=0, num_test=0, size=(32, 32, 4), slice_spacing=32.0
        ... )
        >>> sorted(path.name for path in folder.glob("*Tr/*"))
        ['chest_001.nii.gz', 'chest_001_0000.nii.gz']
    """
    folder = Path(folder)
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    spacing = (FIELD_OF_VIEW / size[0], FIELD_OF_VIEW / size[1], slice_spacing)
    # array axes run to the left, the back and the head
    affine = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    affine[:3, 3] = [FIELD_OF_VIEW / 2, FIELD_OF_VIEW / 2, 0]
    sides = ["labeled"] * num_labeled + ["unlabeled"] * num_unlabeled + ["test"] * num_test
    patients = {}
    last_showing = {"labeled": rare_cases, "unlabeled": num_labeled + rare_cases} if rare_cases is not None else {}
    for number, side in enumerate(sides, start=1):
        case = f"chest_{number:03d}"
        patients[case] = f"patient_{number:03d}"
        fraction = rare_fraction if number <= last_showing.get(side, len(sides)) else 0.0
        image, label = draw_chest_ct(size, spacing, fraction, derive_seed(seed, "chest", number))
        ending = "Ts" if side == "test" else "Tr"
        _save(image, affine, folder / f"images{ending}" / f"{case}_0000.nii.gz")
        if side != "unlabeled":
            _save(label, affine, folder / f"labels{ending}" / f"{case}.nii.gz")
    record = {
        "channel_names": {"0": "CT"},
        "labels": {name: value for value, name in enumerate(CLASSES)},
        "numTraining": num_labeled + num_unlabeled,
        "file_ending": ".nii.gz",
        "patients": patients,
        "description": "Made-up chest CT volumes; no patient was involved.",
    }
    (folder / "dataset.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return folder


def draw_chest_ct(
    size: tuple[int, int, int],
    spacing: tuple[float, float, float],
    rare_fraction: float = 0.001,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw one volume.

    Args:
        size: voxels along x, y, z, which run to the patient's left, back and head.
        spacing: voxel size in mm.
        rare_fraction: share of pleural effusion among all voxels.
        seed: seed of the patient.

    Returns:
        ``(image, label)`` of shape `size`: int16 in HU and uint8 (0 background, 1 ground glass, 2
        consolidation, 3 pleural effusion).

    Example:
        >>> image, label = draw_chest_ct((64, 64, 6), (5.5, 5.5, 20.0), seed=1)
        >>> image.dtype, label.dtype, np.unique(label).tolist()
        (dtype('int16'), dtype('uint8'), [0, 1, 2, 3])
    """
    rng = np.random.RandomState(seed)
    body = Body.draw(rng, size, spacing)
    image, lung = draw_chest(rng, body)
    label = np.zeros(size, dtype=np.uint8)
    fine = smooth_noise(rng, size, _cells(body, 12.0))

    haze = np.zeros(size)
    for centre, radius in _places(rng, body, lung, count=rng.randint(4, 9), radii=(20, 44)):
        haze = np.maximum(haze, _blob(body, centre, radius, fine, edge=0.45))
    haze *= lung
    image += haze * (rng.uniform(-640, -480) + 70 * fine - image)
    label[haze > 0.5] = 1

    vessels, airways = grow_lung_vessels(rng, body, lung)
    image += vessels * (20 - image)

    solid = np.zeros(size)
    for centre, radius in _places(rng, body, lung, count=rng.randint(4, 9), radii=(16, 32), back=True):
        solid = np.maximum(solid, _blob(body, centre, radius, fine, edge=0.12))
    solid *= lung > 0  # the whole of a voxel at the edge: the rest of it is as dense
    image += solid * (rng.uniform(-20, 40) + 15 * fine - image)
    label[(solid > 0.5) & (lung > 0.5)] = 2
    image += airways * (-950 - image)

    effusion = _effusion(body, lung, rare_fraction)
    image[effusion & (lung > 0)] = rng.uniform(2, 18)
    label[effusion & (lung > 0.5)] = 3

    noise = rng.normal(scale=38.0, size=size)
    for axis in (0, 1):  # the grain of a reconstruction
        noise = 0.5 * noise + 0.25 * (np.roll(noise, 1, axis) + np.roll(noise, -1, axis))
    return np.clip(np.rint(image + noise), -1024, 3071).astype(np.int16), label


def _places(
    rng: np.random.RandomState,
    body: Body,
    lung: np.ndarray,
    *,
    count: int,
    radii: tuple[float, float],
    back: bool = False,
) -> list[tuple[np.ndarray, float]]:
    """Draw centres of lesions in mm, rather at the outside or the back of the lungs, and radii in mm."""
    inside = np.argwhere(lung > 0.5)
    if not len(inside):
        return []
    place = inside * np.asarray(body.spacing)
    weight = np.abs(place[:, 0] - body.middle[0]) / 60 + (place[:, 1] - body.middle[1]) / (30 if back else 60)
    weight = np.exp(np.clip(weight, -3, 3))
    chosen = rng.choice(len(inside), size=count, p=weight / weight.sum())
    return [(place[index], rng.uniform(*radii)) for index in chosen]


def _blob(body: Body, centre: np.ndarray, radius: float, noise: np.ndarray, edge: float) -> np.ndarray:
    """Draw an irregular blob, 1 inside, 0 outside; `edge` is its border's width as a share of the radius."""
    x, y, z = (axis - c for axis, c in zip(body.axes, centre, strict=True))
    distance = np.sqrt(x**2 + y**2 + (z / 0.8) ** 2) / radius + 0.35 * noise
    return np.clip((1 - distance) / edge + 0.5, 0, 1)


def _effusion(body: Body, lung: np.ndarray, fraction: float) -> np.ndarray:
    """Find where fluid stands at the back of a lung's base, so deep that it fills the wanted share of voxels.

    Its surface is level from side to side, and it reaches less high above the base.
    """
    y, z = body.axes[1], body.axes[2]
    one_side = np.broadcast_to((body.axes[0] - body.middle[0]) * body.effusion_side > 0, lung.shape)
    rise = np.where(one_side, -y + 0.35 * z, np.inf)
    wanted = round(fraction * lung.size)
    if wanted < 1:
        return np.zeros(lung.shape, dtype=bool)
    order = np.sort(rise[(lung > 0.5) & one_side])
    return rise <= order[min(wanted, len(order)) - 1]


def _cells(body: Body, width: float) -> list[int]:
    """Number of noise cells of a width in mm along each axis, at least one."""
    return [max(1, round(n * s / width)) for n, s in zip(body.size, body.spacing, strict=True)]


def _save(array: np.ndarray, affine: np.ndarray, path: Path) -> None:
    """Write a NIfTI file in mm with both orientation codes set to scanner coordinates."""
    image = nib.Nifti1Image(array, affine)
    image.header.set_xyzt_units("mm")
    image.set_sform(affine, code=1)
    image.set_qform(affine, code=1)
    nib.save(image, path)
