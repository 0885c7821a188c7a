"""Finished cells with figures of our own making."""

import numpy as np
from reproduction.keys import Key
from reproduction.store import Finished

from monai_supmix.metrics import CaseMeasures, summarize
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
        record: what its record says otherwise.
    """
    counts = np.array(counts)
    summary = summarize(dict(zip(CASES, map(CaseMeasures, counts), strict=True)), class_names)
    record = {
        "labeled": [f"0{n}L" for n in range(num_labeled)], "labeled_seed": 0, "seconds": 10.0 + seed, "notes": [],
        "groups": {case: case[:2] for case in CASES}, "config_hash": "0" * 12, **record,
    }  # fmt: skip
    return Finished(cell(method, num_labeled, seed), Key({}, {}, {}), record, summary, counts, CASES)


def counts(*vessel):
    """Counts of four cases, of vessels as given, of background always the same."""
    return [[(90, 5, 5), case] for case in vessel]
