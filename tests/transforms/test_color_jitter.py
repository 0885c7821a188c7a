"""The colour operations equal torchvision's, image by image, and the random class draws and replays them."""

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as tv

from monai_supmix.transforms.color_jitter import (
    RandColorJitter,
    RandColorJitterD,
    RandColorJitterd,
    RandColorJitterDict,
)
from tests.devices import DEVICES

FACTORS = [0.0, 0.3, 1.0, 1.7]
OPERATIONS = {
    "brightness": (tv.adjust_brightness, FACTORS),
    "contrast": (tv.adjust_contrast, FACTORS),
    "saturation": (tv.adjust_saturation, FACTORS),
    "hue": (tv.adjust_hue, [-0.5, -0.13, 0.0, 0.1, 0.25, 0.5]),
}
operations = pytest.mark.parametrize(
    ("name", "theirs", "factors"), [(name, *one) for name, one in OPERATIONS.items()], ids=OPERATIONS
)


def jittered(name, images, factors):
    """Images with one of the operations, each by its own factor."""
    jitter = RandColorJitter(**{**dict.fromkeys(OPERATIONS, 0.0), name: 0.5}, prob=1.0)
    jitter.randomize(len(images))
    jitter.factors[name] = np.array(factors)
    return jitter.apply_batch(images, randomize=False)


def random_images(count, channels=3, size=(33, 41), **kwargs):
    return torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(0)).to(**kwargs)


def hard_colors():
    """All colours of eight levels per channel: greys, pure colours, ties between channels, black, white."""
    levels = torch.linspace(0, 1, 8)
    return torch.cartesian_prod(levels, levels, levels).T.reshape(1, 3, 16, 32)


@operations
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
def test_equals_torchvision(name, theirs, factors, device, channels):
    images = random_images(len(factors), channels, device=device)
    expected = torch.stack([theirs(image, factor) for image, factor in zip(images, factors, strict=True)])
    before = images.clone()
    torch.testing.assert_close(jittered(name, images, factors), expected, atol=1e-5, rtol=0)
    assert torch.equal(images, before)


@operations
def test_equals_torchvision_on_colors_with_ties(name, theirs, factors):
    images = hard_colors().repeat(len(factors), 1, 1, 1)
    expected = torch.stack([theirs(image, factor) for image, factor in zip(images, factors, strict=True)])
    torch.testing.assert_close(jittered(name, images, factors), expected, atol=1e-5, rtol=0)


@operations
def test_large_images_are_worked_on_in_parts(name, theirs, factors):
    images = random_images(2, size=(150, 171))
    expected = torch.stack([theirs(image, factors[1]) for image in images])
    torch.testing.assert_close(jittered(name, images, [factors[1]] * 2), expected, atol=1e-5, rtol=0)


@operations
@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_keeps_dtype_and_range(name, theirs, factors, dtype):
    images = random_images(len(factors), dtype=dtype)
    result = jittered(name, images, factors)
    assert result.dtype == dtype
    assert result.min() >= 0
    assert result.max() <= 1
    reference = jittered(name, images.float(), factors)
    torch.testing.assert_close(result.float(), reference, atol={8: 1e-6, 2: 0.05}[dtype.itemsize], rtol=0)


@operations
def test_volumes_are_images_of_another_shape(name, theirs, factors):
    volumes = random_images(2, size=(6, 7, 8))
    values = factors[:2]
    flat = jittered(name, volumes.flatten(3), values)
    torch.testing.assert_close(jittered(name, volumes, values).flatten(3), flat, atol=1e-6, rtol=0)


@operations
def test_channels_last_memory_makes_no_difference(name, theirs, factors):
    images, values = random_images(2), factors[:2]
    channels_last = images.to(memory_format=torch.channels_last)
    assert torch.equal(jittered(name, channels_last, values), jittered(name, images, values))


@operations
def test_autocast_makes_no_difference(name, theirs, factors):
    images, values = random_images(2), factors[:2]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(jittered(name, images, values), jittered(name, images, values))
        result = jittered(name, images, values)
    torch.testing.assert_close(result, jittered(name, images, values), atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", ["saturation", "hue"])
def test_color_needs_one_or_three_channels(name):
    with pytest.raises(ValueError, match="1 or 3 channels"):
        jittered(name, torch.rand(2, 4, 5, 5), [0.5] * 2)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
def test_random_class_applies_its_draw_in_its_order(device, channels):
    images = random_images(6, channels, device=device)
    jitter = RandColorJitter(prob=0.6).set_random_state(seed=3)
    result = jitter.apply_batch(images)
    assert 0 < jitter.selected.sum() < 6  # the seed shows both cases
    for i, image in enumerate(images):
        expected = image
        if jitter.selected[i]:
            for name in jitter.order:
                expected = OPERATIONS[name][0](expected, float(jitter.factors[name][i]))
            assert not torch.equal(result[i], image)
            torch.testing.assert_close(result[i], expected, atol=1e-5, rtol=0)
        else:
            assert torch.equal(result[i], image)
    assert torch.equal(jitter.apply_batch(images, randomize=False), result)
    assert result.min() >= 0
    assert result.max() <= 1


def test_factors_and_orders_are_drawn_as_torchvision_draws_them():
    jitter = RandColorJitter(brightness=1.5, contrast=(0.2, 0.4), saturation=0.5, hue=0.1).set_random_state(0)
    orders = set()
    for _ in range(200):
        jitter.randomize(50)
        orders.add(tuple(jitter.order))
    assert len(orders) == 24
    expected = {
        "brightness": (0.0, 2.5),
        "contrast": (0.2, 0.4),
        "saturation": (0.5, 1.5),
        "hue": (-0.1, 0.1),
    }
    jitter.randomize(20000)
    for name, (low, high) in expected.items():
        drawn = jitter.factors[name]
        assert low <= drawn.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < drawn.max() <= high
        assert abs(drawn.mean() - (low + high) / 2) < 0.02 * (high - low)
    assert abs(jitter.selected.mean() - 0.8) < 0.02


def test_other_channel_counts_only_without_color():
    images = random_images(2, channels=4)
    plain = RandColorJitter(saturation=0, hue=0, prob=1.0).set_random_state(seed=0)
    result = plain.apply_batch(images)
    assert result.shape == images.shape
    assert not torch.equal(result, images)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        RandColorJitter(prob=1.0).apply_batch(images)


@pytest.mark.parametrize(
    "arguments",
    [{"brightness": -0.1}, {"contrast": (0.5, 0.2)}, {"saturation": (-1, 1)}, {"hue": 0.6}, {"prob": 1.2}],
)
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        RandColorJitter(**arguments)


def test_dictionary_form_uses_one_draw_for_all_keys():
    image = random_images(1)[0]
    jitter = RandColorJitterd(["a", "b"], prob=1.0).set_random_state(seed=5)
    item = jitter({"a": image, "b": image.numpy(), "c": image})
    assert isinstance(item["b"], np.ndarray)
    assert torch.equal(item["a"], torch.from_numpy(item["b"]))
    assert not torch.equal(item["a"], image)
    assert torch.equal(item["c"], image)
    assert RandColorJitterD is RandColorJitterDict is RandColorJitterd
