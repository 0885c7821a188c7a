"""Gamma equals a power, keeps black and white, and draws its exponents per image."""

import numpy as np
import pytest
import torch

from monai_supmix.transforms.gamma import RandGamma, RandGammaD, RandGammad, RandGammaDict
from tests.devices import DEVICES

GAMMAS = [0.4, 1.0, 2.5]


def raised(images, gammas):
    """All images, each to its own power."""
    gamma = RandGamma(prob=1.0)
    gamma.randomize(len(images))
    gamma.gammas = np.array(gammas)
    return gamma.apply_batch(images, randomize=False)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(20, 30), (5, 6, 7)])
def test_equals_a_power(device, size):
    images = torch.rand(3, 1, *size, device=device)
    before = images.clone()
    expected = torch.stack([image**gamma for image, gamma in zip(images, GAMMAS, strict=True)])
    torch.testing.assert_close(raised(images, GAMMAS), expected, atol=1e-6, rtol=0)
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_black_and_white_stay(dtype):
    images = torch.tensor([0.0, 1.0], dtype=dtype).view(1, 1, 2).repeat(3, 1, 1)
    assert torch.equal(raised(images, GAMMAS), images)


@pytest.mark.parametrize("device", DEVICES)
def test_random_class_transforms_the_selected_images(device):
    images = torch.rand(10, 1, 8, 8, device=device)
    gamma = RandGamma(gamma=(0.7, 1.5)).set_random_state(seed=0)
    result = gamma.apply_batch(images)
    selected = torch.from_numpy(gamma.selected)
    assert 0 < selected.sum() < 10
    expected = raised(images, gamma.gammas)
    assert torch.equal(result[selected], expected[selected])
    assert torch.equal(result[~selected], images[~selected])
    assert torch.equal(gamma.apply_batch(images, randomize=False), result)
    gamma.randomize(5000)
    assert 0.7 <= gamma.gammas.min() < 0.71
    assert 1.49 < gamma.gammas.max() <= 1.5


@pytest.mark.parametrize("limits", [(0.0, 1.0), (1.5, 0.7)])
def test_impossible_range(limits):
    with pytest.raises(ValueError, match="gamma"):
        RandGamma(gamma=limits)


def test_dictionary_form():
    image = torch.rand(1, 20, 20)
    item = RandGammad(["a", "b"], prob=1.0)({"a": image, "b": image})
    assert torch.equal(item["a"], item["b"])
    assert not torch.equal(item["a"], image)
    assert RandGammaD is RandGammaDict is RandGammad
