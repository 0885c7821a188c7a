"""Small data sets in the layouts that a user may have."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image

from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom


def write_volumes(folder):
    """NIfTI volumes in nnU-Net's layout: two labelled, two bare, one test."""
    sizes = {"num_labeled": 2, "num_unlabeled": 2, "num_test": 1, "size": (64, 64, 6)}
    return write_chest_ct_phantom(folder, **sizes, slice_spacing=20.0)


def write_grey_pictures(folder, volumes):
    """Slices of the volumes as grey PNG files in nnU-Net's layout, a few without a label, without a test side."""
    folder = Path(folder)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    for path in sorted((volumes / "imagesTr").iterdir()):
        case = path.name.removesuffix("_0000.nii.gz")
        image = np.clip((np.asarray(nib.load(path).dataobj) + 1200) / 6, 0, 255).astype(np.uint8)
        label = volumes / "labelsTr" / f"{case}.nii.gz"
        for z in (2, 3, 4):
            Image.fromarray(image[..., z].T).save(folder / "imagesTr" / f"{case}_slice{z}_0000.png")
            if label.exists():
                values = np.asarray(nib.load(label).dataobj)[..., z].T.astype(np.uint8)
                Image.fromarray(values).save(folder / "labelsTr" / f"{case}_slice{z}.png")
    names = ["background", "ground glass", "consolidation", "effusion"]
    record = {"labels": {name: value for value, name in enumerate(names)}, "file_ending": ".png"}
    (folder / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def write_colour_pairs(folder, scratch, children=4, labelled=3):
    """Fundus pictures under other names in images/ and labels/, with 0/255 masks of the first children."""
    folder = Path(folder)
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    write_fundus_phantom(scratch, num_children=children, size=(96, 100))
    for path in sorted(scratch.glob("*.jpg")):
        child, eye = path.stem[6:8], {"L": "left", "R": "right"}[path.stem[8]]
        shutil.copy(path, folder / "images" / f"girl{child}_{eye}.jpg")
        if int(child) <= labelled:
            mask = np.asarray(Image.open(scratch / f"{path.stem}_1stHO.png")).astype(np.uint8) * 255
            Image.fromarray(mask).save(folder / "labels" / f"girl{child}_{eye}.png")
    return folder


def write_pair(folder, name, image, label=None):
    """One picture and its label in images/ and labels/."""
    for kind, array in (("images", image), ("labels", label)):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        if array is not None:
            Image.fromarray(np.asarray(array, np.uint8)).save(folder / kind / f"{name}.png")
