import numpy as np
import pytest
import torch
from scipy import stats

from monai_supmix.transforms.classmix import ClassMix


def drawn_classes(mix, present, size=4000):
    """Which classes ``mix`` pastes in each of ``size`` draws from a crop of one pixel per class present."""
    pseudo_label = torch.tensor(present).expand(size, 1, 1, -1)
    target = torch.zeros_like(pseudo_label)
    mixed = mix.set_random_state(seed=0)(pseudo_label.float(), pseudo_label, target.float(), target)
    return mixed.mask[:, 0, 0].numpy()


@pytest.mark.parametrize(
    ("present", "number"), [([0, 1], 1), ([0, 1, 2], 1), ([1, 3], 1), ([0, 1, 2, 4], 2), ([0, 1, 2, 3, 4], 2)]
)
def test_half_of_the_predicted_classes_background_included(present, number):
    drawn = drawn_classes(ClassMix(num_classes=5), present)
    assert (drawn.sum(axis=1) == number).all()
    assert stats.chisquare(drawn.sum(axis=0)).pvalue > 1e-3


@pytest.mark.parametrize("present", [[0, 0], [3, 3], [3, 255], [255, 255]])
def test_of_a_single_class_nothing_is_pasted(present):
    assert not drawn_classes(ClassMix(num_classes=4, ignore_index=255), present, size=50).any()


def test_pixels_without_a_prediction_are_never_pasted():
    drawn = drawn_classes(ClassMix(num_classes=2, ignore_index=255), [0, 1, 255])
    assert not drawn[:, 2].any()
    assert (drawn.sum(axis=1) == 1).all()


def test_samples_draw_for_themselves():
    drawn = drawn_classes(ClassMix(num_classes=4), [0, 1, 2, 3], size=200)
    assert len(np.unique(drawn, axis=0)) == 6  # every pair out of four


def test_confidence_goes_with_the_pixels():
    source, target = torch.tensor([[[[0, 1]]]]), torch.tensor([[[[2, 2]]]])
    confidence = torch.tensor([[[[0.3, 0.4]]]])
    mix = ClassMix(num_classes=3).set_random_state(seed=0)
    mixed = mix(source.float(), source, target.float(), target, confidence, confidence + 0.5)
    assert mixed.mask.sum() == 1
    expected = torch.where(mixed.mask, confidence, confidence + 0.5)
    assert torch.equal(mixed.confidence, expected)


def test_it_needs_classes():
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        ClassMix(num_classes=0)
