"""Colours of many classes look different, and none is one that tells of errors."""

import numpy as np

from monai_supmix.handlers.overlays import CLASS_COLOURS, ERROR_COLOURS
from monai_supmix.palette import class_palette, lab


def test_colours_of_many_classes_are_different():
    places = lab(CLASS_COLOURS[1:42])
    apart = np.linalg.norm(places[:, None] - places[None], axis=2) + 1000 * np.eye(len(places))
    assert apart.min() > 15, "a difference of 2 can just be seen"
    assert len(np.unique(CLASS_COLOURS, axis=0)) == len(CLASS_COLOURS) == 65
    assert places[:, 0].min() > 30, "seen on black"


def test_what_is_told_of_errors_has_colours_of_its_own():
    errors = lab(np.array([*ERROR_COLOURS.values()]))
    assert np.linalg.norm(lab(CLASS_COLOURS)[:, None] - errors, axis=2).min() > 15


def test_more_classes_change_no_colour():
    assert np.array_equal(class_palette(10), CLASS_COLOURS[:11])
