"""Finished cells with figures of our own making, and the patients of whom they tell."""

import nibabel as nib
import numpy as np
from reproduction.configuration import Configuration
from reproduction.evidence import Finished

from monai_supmix.datalists import Datalist
from tests.scripts.cells import cell

CLASS_NAMES = ["background", "a", "b", "c"]
CASES = ("11L", "11R", "12L", "12R")


def finished(method, counts, num_labeled=2, seed=0, class_names=("background", "vessel"), **record):
    """A finished cell.

    Args:
        method: its method.
        counts: TP, FP, FN by case and class; two eyes of two children.
        num_labeled: of the cell.
        seed: of the cell.
        class_names: the classes.
        record: what its record says otherwise; ``groups`` are the patients by case.
    """
    record = {
        "labeled": [f"0{n}L" for n in range(num_labeled)], "labeled_seed": 0, "seconds": 10.0 + seed, "notes": [],
        "config_hash": "0" * 12, "commit": "0" * 12, **record,
    }  # fmt: skip
    patients = record.pop("groups", {case: case[:2] for case in CASES})
    groups = tuple(patients[case] for case in CASES)
    one = cell(method, num_labeled, seed)
    return Finished(one, Configuration({"seed": seed}, {}), record, class_names, CASES, groups, np.array(counts))


def counts(*vessel):
    """Counts of four cases, of vessels as given, of background always the same."""
    return [[(90, 5, 5), case] for case in vessel]


def patients(folder, num_labeled, num_test=0):
    """The datalist of patients with one small volume each, in which all classes are seen.

    Args:
        folder: where the volumes are written.
        num_labeled: how many are labelled, named ``p0`` and so on.
        num_test: how many after these are of the test.
    """
    label = np.arange(64, dtype=np.uint8).reshape(4, 4, 4) % len(CLASS_NAMES)
    items = []
    for number in range(num_labeled + num_test):
        paths = {key: str(folder / f"p{number}_{key}.nii.gz") for key in ("image", "label")}
        nib.save(nib.Nifti1Image(label.astype(np.float32) + number, np.eye(4)), paths["image"])
        nib.save(nib.Nifti1Image(label, np.eye(4)), paths["label"])
        items.append({"case": f"p{number}_1", "group": f"p{number}", **paths})
    return Datalist(items[:num_labeled], [], [], items[num_labeled:], CLASS_NAMES, [])
