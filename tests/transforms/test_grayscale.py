"""Greyscale equals torchvision's and leaves unselected and one-channel images alone."""

import pytest
import torch
import torchvision.transforms.v2.functional as tv

from monai_supmix.transforms.grayscale import (
    RandGrayscale,
    RandGrayscaleD,
    RandGrayscaled,
    RandGrayscaleDict,
)
from tests.devices import DEVICES


def grey(images):
    """All images as greyscale."""
    return RandGrayscale(prob=1.0).apply_batch(images)


@pytest.mark.parametrize("device", DEVICES)
def test_equals_torchvision(device):
    images = torch.rand(3, 3, 20, 30, device=device)
    expected = tv.rgb_to_grayscale(images, num_output_channels=3)
    torch.testing.assert_close(grey(images), expected, atol=1e-6, rtol=0)


def test_volumes():
    result = grey(torch.rand(2, 3, 4, 5, 6))
    assert result.shape == (2, 3, 4, 5, 6)
    assert torch.equal(result[:, 0], result[:, 2])


def test_one_channel_is_grey_already():
    images = torch.rand(2, 1, 5, 5)
    assert torch.equal(grey(images), images)


def test_other_channel_counts():
    with pytest.raises(ValueError, match="1 or 3 channels"):
        grey(torch.rand(2, 2, 5, 5))


@pytest.mark.parametrize("device", DEVICES)
def test_random_class_turns_the_selected_images_grey(device):
    images = torch.rand(20, 3, 8, 8, device=device)
    grayscale = RandGrayscale(prob=0.5).set_random_state(seed=0)
    result = grayscale.apply_batch(images)
    selected = torch.from_numpy(grayscale.selected)
    assert 0 < selected.sum() < 20
    assert torch.equal(result[selected], grey(images)[selected])
    assert torch.equal(result[~selected], images[~selected])


def test_dictionary_form():
    image = torch.rand(3, 8, 8)
    item = RandGrayscaled(["a", "b"], prob=1.0)({"a": image, "b": image / 2})
    torch.testing.assert_close(item["a"] / 2, item["b"])
    assert torch.equal(item["a"][0], item["a"][1])
    assert RandGrayscaleD is RandGrayscaleDict is RandGrayscaled
