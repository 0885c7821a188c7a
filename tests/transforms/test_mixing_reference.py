"""The transforms against the paper's equations written out pixel by pixel, and the pure functions."""

from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monai_supmix.transforms.classmix import ClassMix
from monai_supmix.transforms.cutmix import CutMix
from monai_supmix.transforms.mixing import (
    Batch,
    derangement,
    draw_classes,
    inverse_frequency_weights,
    mix_regions,
)
from monai_supmix.transforms.supmix import SupMix

IGNORE = 255


def random_batch(rng, size, spatial, num_classes):
    """Random image, label (a few pixels ignored, few classes per sample) and confidence as arrays."""
    label = np.empty((size, 1, *spatial), dtype=np.int64)
    for sample in label:
        palette = rng.choice(num_classes, rng.integers(1, num_classes + 1), replace=False)
        sample[:] = rng.choice(palette, (1, *spatial))
    label[rng.random(label.shape) < 0.1] = IGNORE
    return rng.random((size, 2, *spatial)), label, rng.random(label.shape)


def reference_mix(mask, source, target):
    """Eqs. 5, 6, 10, 11, one number at a time."""
    mixed = []
    for a, b in zip(source, target, strict=True):
        out = np.empty_like(b)
        for i, channel, *pixel in np.ndindex(b.shape):
            m = int(mask[(i, 0, *pixel)])
            out[(i, channel, *pixel)] = m * a[(i, channel, *pixel)] + (1 - m) * b[(i, channel, *pixel)]
        mixed.append(out)
    return mixed


def reference_class_mask(label, drawn):
    """Eqs. 4 and 9 for one sample: 1 where the label is one of the classes drawn."""
    mask = np.zeros(label.shape, dtype=bool)
    for pixel in np.ndindex(label.shape):
        mask[pixel] = label[pixel] in drawn
    return mask


def assert_mixed(result, expected):
    for value, reference in zip(result[:3], expected, strict=True):
        np.testing.assert_array_equal(value.numpy(), reference)


def tensors(*arrays):
    return [torch.from_numpy(array) for array in arrays]


def call(mix, source, target):
    (image_a, label_a, confidence_a), (image_b, label_b, confidence_b) = tensors(*source), tensors(*target)
    return mix(image_a, label_a, image_b, label_b, confidence_a, confidence_b)


cases = given(
    seed=st.integers(0, 2**32 - 1),
    spatial=st.lists(st.integers(1, 5), min_size=2, max_size=3).map(tuple),
    num_classes=st.integers(2, 6),
    sizes=st.tuples(st.integers(1, 4), st.integers(1, 4)),
)


@cases
@settings(max_examples=50, deadline=None)
def test_supmix_follows_its_equations(seed, spatial, num_classes, sizes):
    rng = np.random.default_rng(seed)
    labeled, unlabeled = (random_batch(rng, size, spatial, num_classes) for size in sizes)
    mix = SupMix(num_classes, prob=1.0, ignore_index=IGNORE).set_random_state(seed=seed)
    result = call(mix, labeled, unlabeled)

    partner = [i % sizes[0] for i in range(sizes[1])]
    image, truth = labeled[0][partner], labeled[1][partner]
    mask = result.mask.numpy()
    for label, sample_mask in zip(truth, mask, strict=True):
        present = set(label.flat) - {0, IGNORE}
        drawn = set(label[sample_mask])
        assert drawn <= present
        assert len(drawn) == (max(1, len(present) // 2) if present else 0)  # Eq. 8
        np.testing.assert_array_equal(sample_mask, reference_class_mask(label, drawn))  # Eq. 9
    assert_mixed(result, reference_mix(mask, (image, truth, np.ones(truth.shape)), unlabeled))


@cases
@settings(max_examples=50, deadline=None)
def test_classmix_follows_its_equations(seed, spatial, num_classes, sizes):
    rng = np.random.default_rng(seed)
    source, target = (random_batch(rng, sizes[0], spatial, num_classes) for _ in range(2))
    result = call(ClassMix(num_classes, ignore_index=IGNORE).set_random_state(seed=seed), source, target)

    mask = result.mask.numpy()
    for label, sample_mask in zip(source[1], mask, strict=True):
        present = set(label.flat) - {IGNORE}
        drawn = set(label[sample_mask])
        assert drawn <= present
        assert len(drawn) == len(present) // 2  # Eq. 3
        np.testing.assert_array_equal(sample_mask, reference_class_mask(label, drawn))  # Eq. 4
    assert_mixed(result, reference_mix(mask, source, target))


@cases
@settings(max_examples=50, deadline=None)
def test_cutmix_pastes_one_box(seed, spatial, num_classes, sizes):
    rng = np.random.default_rng(seed)
    source, target = (random_batch(rng, sizes[0], spatial, num_classes) for _ in range(2))
    result = call(CutMix(prob=1.0).set_random_state(seed=seed), source, target)

    mask = result.mask.numpy()
    for sample_mask in mask[:, 0]:
        pixels = np.argwhere(sample_mask)
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        assert len(pixels) == np.prod(high - low + 1)  # as many as the box around them holds
    assert_mixed(result, reference_mix(mask, source, target))


@given(seed=st.integers(0, 2**32 - 1), num_classes=st.integers(1, 8), minimum=st.integers(0, 1), data=st.data())
@settings(max_examples=100, deadline=None)
def test_draw_classes_takes_the_first_present_of_the_order(seed, num_classes, minimum, data):
    rng = np.random.default_rng(seed)
    called = data.draw(st.integers(1, num_classes))  # the classes left out of the order are never drawn
    order = np.array([rng.permutation(num_classes)[:called] for _ in range(3)])
    present = rng.random((3, num_classes)) < 0.5
    drawn = draw_classes(*tensors(present, order), minimum).numpy()
    for sample in range(3):
        candidates = [c for c in order[sample] if present[sample, c]]
        expected = candidates[: max(minimum, len(candidates) // 2)]
        assert set(np.flatnonzero(drawn[sample])) == set(expected)


def test_values_outside_the_mask_are_not_computed_with():
    label = torch.zeros(1, 1, 1, 2, dtype=torch.long)
    mask = torch.tensor([[[[True, False]]]])
    source = Batch(torch.tensor([[[[1.0, float("nan")]]]]), label)
    target = Batch(torch.tensor([[[[float("inf"), 2.0]]]]), label)
    assert mix_regions(mask, source, target).image.tolist() == [[[[1.0, 2.0]]]]


@pytest.mark.parametrize("size", range(2, 9))
def test_derangement_has_no_fixed_point(size):
    R = np.random.RandomState(size)  # noqa: N806
    for _ in range(50):
        partner = derangement(size, R)
        assert sorted(partner) == list(range(size))
        assert not (partner == np.arange(size)).any()


def test_derangements_are_equally_likely():
    R = np.random.RandomState(0)  # noqa: N806
    every = [p for p in permutations(range(4)) if all(i != j for i, j in enumerate(p))]
    counts = dict.fromkeys(every, 0)
    for _ in range(900):
        counts[tuple(derangement(4, R).tolist())] += 1
    assert len(counts) == 9
    assert stats.chisquare(list(counts.values())).pvalue > 1e-3


def test_derangement_of_one_is_itself_and_of_none_an_error():
    assert derangement(1, np.random.RandomState(0)).tolist() == [0]
    with pytest.raises(ValueError, match="at least 1, got 0"):
        derangement(0, np.random.RandomState(0))


def test_inverse_frequency_weights():
    counts = np.array([86.8, 8.4, 4.8])
    weights = inverse_frequency_weights(counts)
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(weights * counts, (weights * counts)[0])
    np.testing.assert_allclose(inverse_frequency_weights(counts / 100), weights)  # fractions will do
    unseen = inverse_frequency_weights([10, 0, 5])
    assert unseen[1] == unseen[2] > unseen[0]


@pytest.mark.parametrize("counts", [[0, 0], [1, -1], [1, float("nan")], [float("inf"), 1]])
def test_inverse_frequency_weights_refuses_what_is_no_count(counts):
    with pytest.raises(ValueError, match="counts must be"):
        inverse_frequency_weights(counts)
