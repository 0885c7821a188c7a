"""Cells that train in a second or two."""

from reproduction.configuration import current_configuration
from reproduction.experiment import Cell, Experiment, Method

TINY = {
    "network_def#features": "[4,4,4,4,4,4]",
    "discriminator_widths": "[4,4]",
    "crop_size": "[64,64]",
    "amp": "false",
}


def experiment(**more):
    """An experiment with the CHASE bundle and a tiny network."""
    return Experiment(**{"bundle": "chase_supmix", "max_iterations": 2, "overrides": TINY} | more)


def overridden(**more):
    """The same with further overrides; two underscores stand for the sign between ids."""
    return experiment(overrides=TINY | {key.replace("__", "#"): text for key, text in more.items()})


def cell(method="supmix_sufd", num_labeled=2, seed=0):
    """A cell of it."""
    return Cell(Method.parse(method), num_labeled, seed)


def configuration(one, of=None):
    """The configuration of a cell."""
    return current_configuration(of or experiment(), one)
