"""Which component stays, compared with a flood fill and told by hand."""

import itertools

import numpy as np
import pytest

from monai_supmix.transforms import clean, keep_component


def blobs(seed, shape):
    rng = np.random.default_rng(seed)
    return np.where(rng.random(shape) < 0.3, rng.integers(1, 4, shape), 0).astype(np.uint8)


def components(where):
    """Sets of voxels that hang together at faces, edges and corners."""
    left = set(zip(*np.nonzero(where), strict=True))
    steps = list(itertools.product((-1, 0, 1), repeat=where.ndim))
    while left:
        piece, border = set(), [left.pop()]
        while border:
            voxel = border.pop()
            piece.add(voxel)
            near = {tuple(int(a) + b for a, b in zip(voxel, step, strict=True)) for step in steps} & left
            left -= near
            border += near
        yield piece


@pytest.mark.parametrize("shape", [(30, 31), (9, 10, 11)])
@pytest.mark.parametrize("classes", [[2], [1, 3], [1, 2, 3]])
def test_the_largest_stays(shape, classes):
    sparse = blobs(0, shape) * (blobs(1, shape) > 0)
    pieces = sorted(components(np.isin(sparse, classes)), key=len)
    found = keep_component(sparse, classes)
    kept = set(zip(*np.nonzero(np.isin(found, classes)), strict=True))
    assert len(pieces) > 2 and kept in pieces and len(kept) == len(pieces[-1])
    assert found.dtype == np.uint8 and all(found[voxel] == sparse[voxel] for voxel in kept)
    others = ~np.isin(sparse, classes)
    assert np.array_equal(found[others], sparse[others])


def test_contact_counts_more_than_size():
    mask = np.zeros((12, 12), np.uint8)
    mask[1:3, 1:3], mask[1:3, 3] = 1, 2  # a small piece beside class 2
    mask[6:12, 6:12] = 1  # a larger one far away
    kept = keep_component(mask, [1], touching=2)
    assert kept[1, 1] == 1 and not kept[6:, 6:].any() and (kept == 2).sum() == 2
    assert keep_component(mask, [1])[7, 7] == 1
    mask[mask == 2] = 0  # nothing to touch: the largest
    assert np.array_equal(keep_component(mask, [1], touching=2), keep_component(mask, [1]))


def test_rules_are_applied_in_their_order():
    mask = blobs(3, (16, 16)) * (blobs(4, (16, 16)) > 0)
    rules = [{"classes": [1, 2, 3]}, {"classes": [2]}, {"classes": [1], "touching": 2}]
    expected = keep_component(keep_component(keep_component(mask, [1, 2, 3]), [2]), [1], touching=2)
    assert np.array_equal(clean(mask, rules), expected)
    assert clean(mask, []) is mask


def test_a_mask_with_nothing_or_one_piece_is_left_alone():
    for mask in (np.zeros((4, 4), np.uint8), np.ones((4, 4), np.uint8)):
        assert keep_component(mask, [1]) is mask
