"""Outlines give back their mask exactly and keep its area; filling equals another library's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from matplotlib.path import Path

from monai_supmix.imageio.outlines import fill, outline


def area(polygons):
    """Signed: holes run the other way."""
    turned = [(polygon, np.roll(polygon, -1, axis=0)) for polygon in polygons]
    return sum(float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / 2 for a, b in turned)


@settings(max_examples=200, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 8), st.integers(1, 8))))
def test_any_mask_comes_back_with_its_area(mask):
    polygons = outline(mask)
    assert np.array_equal(fill(polygons, mask.shape), mask)
    assert area(polygons) == mask.sum()


def test_corners_only_and_pixels_that_touch_at_a_corner_apart():
    assert [len(polygon) for polygon in outline(np.eye(3, dtype=bool))] == [4, 4, 4]
    ring = np.ones((5, 5), bool)
    ring[2, 2] = False
    assert sorted(abs(area([polygon])) for polygon in outline(ring)) == [1, 25]


@pytest.mark.parametrize("seed", range(8))
def test_filling_equals_matplotlibs(seed):
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
    shape, polygons = (17, 23), []
    for centre, reach in (((8, 11), 14), ((7, 12), 3)):  # the first leaves the image, the second is a hole
        radius = rng.uniform(0.3, 1, 12) * reach
        polygons.append(np.array(centre) + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1))
    centres = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1).reshape(-1, 2)
    outer, inner = (Path(polygon).contains_points(centres).reshape(shape) for polygon in polygons)
    assert np.array_equal(fill(polygons[:1], shape), outer)
    assert np.array_equal(fill(polygons, shape), outer ^ inner)


def test_neighbours_with_an_edge_through_centres_in_common_share_nothing_out_twice():
    left, right = (np.array([[a, 0], [a + 4, 0], [a + 4, 6], [a, 6]], float) for a in (1, 5))
    first, second = fill([left], (12, 8)), fill([right], (12, 8))
    assert not (first & second).any() and np.array_equal(first | second, fill([left, right], (12, 8)))
    assert first.sum() == second.sum() == 24
    assert not fill([], (3, 3)).any()
