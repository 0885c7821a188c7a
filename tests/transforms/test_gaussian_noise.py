"""The noise is Gaussian, of its own strength for every image, and repeats from its seed."""

import pytest
import torch

from monai_supmix.transforms.gaussian_noise import (
    RandNoise,
    RandNoiseD,
    RandNoised,
    RandNoiseDict,
    add_gaussian_noise,
)
from tests.devices import DEVICES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(200, 200), (40, 40, 25)])
def test_noise_is_normal_and_independent(device, size):
    images = torch.full((3, 1, *size), 0.5, device=device)
    before = images.clone()
    noise = (add_gaussian_noise(images, torch.tensor([0.0, 0.02, 0.1]), [1, 2, 3]) - images).flatten(1)
    assert torch.equal(images, before)
    assert torch.equal(noise[0], torch.zeros_like(noise[0]))
    assert noise.mean(dim=1).abs().max() < 0.002
    torch.testing.assert_close(noise[1:].std(dim=1).cpu(), torch.tensor([0.02, 0.1]), rtol=0.02, atol=0)
    within = (noise[1].abs() < 0.02).float().mean()
    assert abs(within - 0.683) < 0.01  # of a normal distribution within one standard deviation
    assert torch.corrcoef(noise[1:])[0, 1].abs() < 0.02


@pytest.mark.parametrize("device", DEVICES)
def test_noise_of_an_image_does_not_depend_on_the_batch(device):
    images, stds, seeds = torch.rand(4, 2, 9, 9, device=device), torch.full((4,), 0.1), [5, 6, 7, 2**32 - 1]
    whole = add_gaussian_noise(images, stds, seeds)
    for i in range(4):
        assert torch.equal(add_gaussian_noise(images[i : i + 1], stds[i : i + 1], seeds[i : i + 1])[0], whole[i])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_keeps_dtype_and_range(dtype):
    images = torch.rand(2, 1, 50, 50).to(dtype)
    result = add_gaussian_noise(images, torch.ones(2), [0, 1])
    assert result.dtype == dtype
    assert result.min() == 0
    assert result.max() == 1


def test_seeds_must_match_the_batch():
    with pytest.raises(ValueError, match="zip"):
        add_gaussian_noise(torch.rand(2, 1, 5, 5), torch.ones(2), [0])


@pytest.mark.parametrize("device", DEVICES)
def test_random_class_repeats_its_draw_and_leaves_the_global_state_alone(device):
    images = torch.rand(10, 1, 16, 16, device=device)
    noise = RandNoise(std=(0.01, 0.1)).set_random_state(seed=0)
    state = torch.get_rng_state()
    result = noise.apply_batch(images)
    assert torch.equal(torch.get_rng_state(), state)
    selected = torch.from_numpy(noise.selected)
    assert 0 < selected.sum() < 10
    assert torch.equal(result[~selected], images[~selected])
    assert ((result != images).flatten(1).any(dim=1).cpu() == selected).all()
    assert torch.equal(noise.apply_batch(images, randomize=False), result)
    assert not torch.equal(noise.apply_batch(images), result)
    assert torch.equal(RandNoise(std=(0.01, 0.1)).set_random_state(seed=0).apply_batch(images), result)


@pytest.mark.parametrize("std", [(-0.1, 0.1), (0.2, 0.1)])
def test_impossible_std(std):
    with pytest.raises(ValueError, match="std"):
        RandNoise(std=std)


def test_dictionary_form():
    image = torch.full((1, 20, 20), 0.5)
    item = RandNoised(["a", "b"], std=(0.05, 0.05), prob=1.0)({"a": image, "b": image})
    assert torch.equal(item["a"], item["b"])
    assert not torch.equal(item["a"], image)
    assert RandNoiseD is RandNoiseDict is RandNoised
