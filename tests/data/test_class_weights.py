"""Inverse class frequencies against counting by hand."""

import numpy as np
import pytest
import torch

from monai_supmix.data import inverse_frequency


def test_weights_are_proportional_to_one_over_the_pixel_count():
    label = np.random.RandomState(0).choice(4, p=[0.8, 0.1, 0.09, 0.01], size=(3, 1, 40, 40))
    weights = inverse_frequency(({"label": one} for one in label), num_classes=4)
    counts = np.array([(label == c).sum() for c in range(4)])
    assert np.allclose(np.array(weights) * counts, weights[0] * counts[0])
    assert np.isclose(np.mean(weights), 1)


def test_a_class_that_never_occurs_weighs_like_the_rarest_and_ignored_pixels_do_not_count():
    label = torch.tensor([0] * 6 + [1] * 2 + [255] * 100, dtype=torch.uint8)
    assert inverse_frequency([{"label": label}], num_classes=3) == inverse_frequency(
        [{"label": torch.tensor([0] * 6 + [1] * 2 + [2] * 2)}], num_classes=3
    )


def test_nothing_to_count_is_said():
    with pytest.raises(ValueError, match="no pixel of any class"):
        inverse_frequency([{"label": torch.full((4,), 255)}], num_classes=2)


def test_a_class_counts_only_in_the_images_in_which_it_is_labelled():
    first, second = torch.tensor([[0, 0, 1, 2]]), torch.tensor([[0, 0, 1, 1]])
    known = {"labelled_classes": torch.tensor([[False, True, False]])}
    # shares: background 2/4, class 1 (1 + 2) / (4 + 4), class 2 1/4
    expected = torch.tensor([2, 8 / 3, 4])
    weights = inverse_frequency([{"label": first}, {"label": second, **known}], num_classes=3)
    assert torch.allclose(torch.tensor(weights), 3 * expected / expected.sum())


def test_the_background_is_not_rare_where_no_image_is_labelled_as_a_whole():
    images = [
        {"label": torch.tensor([[0, 0, 0, k]]), "labelled_classes": torch.tensor([[False, k == 1, k == 2]])}
        for k in (1, 2)
    ]
    expected = torch.tensor([8 / 6, 4, 4])  # one over 6 of 8 pixels, 1 of 4, 1 of 4
    assert torch.allclose(torch.tensor(inverse_frequency(images, num_classes=3)), 3 * expected / expected.sum())
