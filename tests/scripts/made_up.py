"""Finished cells with figures of our own making."""

import numpy as np
from reproduction.configuration import Configuration
from reproduction.evidence import Finished

from tests.scripts.cells import cell

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
