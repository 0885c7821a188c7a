import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from ignite.metrics import ConfusionMatrix, DiceCoefficient, IoU

from monai_supmix.metrics import dice, iou, mean_present, overlap_counts
from tests.devices import DEVICES

NUM_CLASSES, IGNORE = 4, 255


@st.composite
def label_pairs(draw):
    shape = draw(array_shapes(min_dims=1, max_dims=3, max_side=6))
    truth = draw(arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 3, IGNORE])))
    prediction = draw(arrays(np.uint8, shape, elements=st.integers(0, NUM_CLASSES - 1)))
    return prediction, truth


def brute_force(prediction, truth):
    counts = np.zeros((NUM_CLASSES, 3), int)
    for p, t in zip(prediction.ravel(), truth.ravel(), strict=True):
        if t == IGNORE:
            continue
        if p == t:
            counts[p, 0] += 1
        else:
            counts[p, 1] += 1
            counts[t, 2] += 1
    return counts


@given(label_pairs())
def test_equal_to_counting_one_by_one(pair):
    assert np.array_equal(overlap_counts(*pair, NUM_CLASSES, IGNORE), brute_force(*pair))


@given(label_pairs(), st.randoms(use_true_random=False))
def test_order_and_memory_layout_do_not_matter_and_parts_add_up(pair, random):
    counts = overlap_counts(*pair, NUM_CLASSES, IGNORE)
    prediction, truth = pair
    axes = random.sample(range(truth.ndim), truth.ndim)
    mixed_layout = (np.asfortranarray(prediction).transpose(axes), truth.transpose(axes))
    assert np.array_equal(overlap_counts(*mixed_layout, NUM_CLASSES, IGNORE), counts)
    cut = random.randint(0, len(truth))
    halves = [(prediction[:cut], truth[:cut]), (prediction[cut:], truth[cut:])]
    assert np.array_equal(sum(overlap_counts(*half, NUM_CLASSES, IGNORE) for half in halves), counts)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("shape", [(64, 50), (16, 12, 10)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int64, torch.float32])
def test_equal_to_ignite(device, shape, dtype):
    generator = torch.Generator().manual_seed(0)
    prediction, truth = (torch.randint(0, NUM_CLASSES, (3, *shape), generator=generator) for _ in range(2))
    matrix = ConfusionMatrix(NUM_CLASSES)
    reference_iou, reference_dice = IoU(matrix), DiceCoefficient(matrix)
    one_hot = torch.nn.functional.one_hot(prediction, NUM_CLASSES).movedim(-1, 1)
    matrix.update((one_hot, truth))
    counts = overlap_counts(prediction.to(device, dtype), truth.to(device, dtype), NUM_CLASSES)
    assert counts.dtype == np.int64
    np.testing.assert_allclose(iou(counts), reference_iou.compute(), rtol=1e-12)
    np.testing.assert_allclose(dice(counts), reference_dice.compute(), rtol=1e-12)


def test_more_elements_than_one_chunk():
    truth = np.arange(1_000_003) % 2
    assert overlap_counts(truth, truth, 2)[:, 0].tolist() == [500_002, 500_001]
    assert overlap_counts(1 - truth, truth, 2)[:, 0].tolist() == [0, 0]


def test_empty_image_counts_nothing():
    assert not overlap_counts(np.zeros((0, 3), int), np.zeros((0, 3), int), 2).any()


@pytest.mark.parametrize("bad", [-1, NUM_CLASSES, 0.5, float("nan"), IGNORE])
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast")
def test_values_that_are_no_class_are_refused(bad):
    good = np.zeros(3)
    wrong = np.array([0, 0, bad])
    with pytest.raises(ValueError, match=r"truth has the value .* none of the classes 0\.\.3"):
        overlap_counts(good, wrong, NUM_CLASSES)
    with pytest.raises(ValueError, match="prediction has the value"):
        overlap_counts(wrong, good, NUM_CLASSES, IGNORE)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        overlap_counts(np.zeros((2, 3)), np.zeros((3, 2)), 2)


@given(arrays(np.int64, (5, NUM_CLASSES, 3), elements=st.integers(0, 10**12)))
def test_ratios_are_fractions_and_agree(counts):
    intersection, coefficient = iou(counts), dice(counts)
    absent = counts.sum(-1) == 0
    assert np.array_equal(np.isnan(intersection), absent)
    assert np.array_equal(np.isnan(coefficient), absent)
    present = intersection[~absent]
    assert ((present >= 0) & (present <= 1)).all()
    np.testing.assert_allclose(coefficient[~absent], 2 * present / (1 + present), atol=1e-12)


def test_mean_leaves_out_what_is_absent():
    assert mean_present([0.2, float("nan"), 0.4]) == pytest.approx(0.3)
    assert np.isnan(mean_present([float("nan")]))


def test_memory_does_not_grow_with_the_image():
    truth = np.zeros((256, 256, 256), np.uint8)
    prediction = np.asfortranarray(truth)
    tracemalloc.start()
    overlap_counts(prediction, truth, 4, IGNORE)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < truth.nbytes  # one byte per voxel; a plain bincount takes sixteen
