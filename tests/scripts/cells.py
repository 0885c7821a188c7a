"""Cells that train in a second or two."""

from reproduction.experiment import Cell, Experiment, Method
from reproduction.store import current_key

TINY = {
    "network_def#features": "[4,4,4,4,4,4]",
    "discriminator_widths": "[4,4]",
    "crop_size": "[64,64]",
    "amp": "false",
}


def experiment(**more):
    """An experiment with the CHASE bundle and a tiny network."""
    return Experiment(**{"bundle": "chase_supmix", "max_iterations": 2, "overrides": TINY} | more)


def cell(method="supmix_sufd", num_labeled=2, seed=0):
    """A cell of it."""
    return Cell(Method.parse(method), num_labeled, seed)


def key(one, **more):
    """The key of a cell; further arguments go to `experiment`."""
    return current_key(experiment(**more), one)
