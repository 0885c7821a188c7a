"""The blur equals torchvision's in 2D and scipy's in any dimension, with its own width for every image."""

import math
import time

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv
from scipy import ndimage

from monai_supmix.transforms.gaussian_blur import (
    RandGaussianBlur,
    RandGaussianBlurD,
    RandGaussianBlurd,
    RandGaussianBlurDict,
)
from tests.devices import DEVICES

SIGMAS = [0.1, 0.7, 2.0]


def blurred(images, sigmas, limits=(0.1, 2.0)):
    """All images, each with its own width; the kernel of these limits has 13 taps."""
    blur = RandGaussianBlur(limits, prob=1.0)
    blur.randomize(len(images))
    blur.sigmas = np.array(sigmas)
    return blur.apply_batch(images, randomize=False)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(64, 64), (70, 33), (7, 100)])
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_torchvision(device, size, channels):
    images = torch.rand(3, channels, *size, device=device)
    before = images.clone()
    expected = torch.stack([tv.gaussian_blur(x, 13, s) for x, s in zip(images, SIGMAS, strict=True)])
    result = blurred(images, SIGMAS)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)
    assert torch.equal(images, before)


@pytest.mark.parametrize("size", [(100,), (40, 50), (40, 33, 35), (3, 40, 1)])
def test_equals_scipy_in_any_dimension(size):
    # the last size is thinner than the kernel: mirrored more than once
    images = torch.rand(3, 2, *size)
    result = blurred(images, SIGMAS)
    for image, ours, sigma in zip(images, result, SIGMAS, strict=True):
        for channel, expected in zip(ours, image, strict=True):
            reference = ndimage.gaussian_filter(expected.double().numpy(), sigma, mode="mirror", radius=6)
            np.testing.assert_allclose(channel.numpy(), reference, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_keeps_dtype(dtype):
    images = torch.rand(3, 1, 30, 30)
    result = blurred(images.to(dtype), SIGMAS)
    assert result.dtype == dtype
    expected = blurred(images, SIGMAS)
    torch.testing.assert_close(result.float(), expected, atol=0.02, rtol=0)


def test_autocast_makes_no_difference():
    images = torch.rand(3, 1, 30, 30)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = blurred(images, SIGMAS)
    assert torch.equal(result, blurred(images, SIGMAS))


def test_no_width_is_slowed_by_denormal_numbers():
    images = torch.rand(4, 3, 128, 128)

    def seconds(sigma):
        times = []
        for _ in range(5):
            start = time.thread_time()
            blurred(images, [sigma] * 4)
            times.append(time.thread_time() - start)
        return min(times)

    # at 0.44 the outermost tap is about 1e-41
    assert math.exp(-0.5 * (6 / 0.44) ** 2) < torch.finfo(torch.float32).tiny
    assert seconds(0.44) < 3 * seconds(2.0)


@pytest.mark.parametrize("sigma", [(0.0, 1.0), (2.0, 1.0)])
def test_impossible_sigma(sigma):
    with pytest.raises(ValueError, match="sigma"):
        RandGaussianBlur(sigma=sigma)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("size", [(20, 30), (10, 12, 14)])
def test_random_class_blurs_the_selected_images(device, size):
    images = torch.rand(10, 2, *size, device=device)
    blur = RandGaussianBlur(sigma=(0.5, 1.5)).set_random_state(seed=0)
    result = blur.apply_batch(images)
    assert blur.kernel_size == 11  # three times 1.5, rounded up, to each side
    selected = torch.from_numpy(blur.selected)
    assert 0 < selected.sum() < 10
    expected = blurred(images, blur.sigmas, blur.sigma)
    torch.testing.assert_close(result[selected], expected[selected], atol=1e-6, rtol=0)
    assert torch.equal(result[~selected], images[~selected])
    assert torch.equal(blur.apply_batch(images, randomize=False), result)
    assert blur.sigmas.min() >= 0.5
    assert blur.sigmas.max() <= 1.5


def test_a_constant_stays_and_the_range_is_kept():
    blur = RandGaussianBlur(prob=1.0).set_random_state(seed=0)
    torch.testing.assert_close(blur.apply_batch(torch.full((3, 1, 20, 20), 0.7)), torch.full((3, 1, 20, 20), 0.7))
    result = blur.apply_batch((torch.rand(5, 1, 40, 40) > 0.5).float())
    assert result.min() >= 0
    assert result.max() <= 1


def test_dictionary_form():
    image = torch.rand(1, 20, 20)
    item = RandGaussianBlurd(["a", "b"], sigma=(0.5, 1.5), prob=1.0)({"a": image, "b": image})
    assert torch.equal(item["a"], item["b"])
    assert not torch.equal(item["a"], image)
    assert RandGaussianBlurD is RandGaussianBlurDict is RandGaussianBlurd
