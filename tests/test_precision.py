"""Depthwise convolutions that bfloat16 makes slow are trained in float32 on a CPU; nothing else changes its format."""

import pytest
import torch
from torch import nn

from monai_supmix.precision import DepthwiseInFloat32, autocast

CHANNELS = 8
SLOW = [
    {"kernel_size": 5, "padding": 2, "groups": CHANNELS},
    {"kernel_size": 3, "stride": 2, "groups": CHANNELS},
    {"kernel_size": (1, 7), "groups": CHANNELS, "bias": False},
    {"kernel_size": 5, "groups": CHANNELS, "padding": "same"},
    {"kernel_size": 3, "stride": (1, 2), "groups": CHANNELS, "padding": 1, "padding_mode": "reflect"},
]
FAST = [
    {"kernel_size": 3, "groups": CHANNELS},
    {"kernel_size": 5},
    {"kernel_size": 5, "groups": CHANNELS // 2},
    {"kernel_size": 1, "stride": 2},
]


def make(settings):
    torch.manual_seed(0)
    return nn.Conv2d(CHANNELS, CHANNELS, **settings)


def image():
    return torch.rand(2, CHANNELS, 9, 11, generator=torch.Generator().manual_seed(1)).bfloat16()


def gradients(module, context, x):
    x = x.clone().requires_grad_()
    with context:
        y = module(x)
    y.float().square().sum().backward()
    return y, x.grad, [p.grad for p in module.parameters()]


@pytest.mark.parametrize("settings", SLOW, ids=str)
def test_a_slow_convolution_is_that_of_float32_rounded_once(settings):
    y, grad_x, grads = gradients(make(settings), autocast("bf16", "cpu"), image())
    exact = make(settings)
    expected = exact(image().float())
    assert y.dtype is torch.bfloat16
    assert torch.equal(y, expected.bfloat16())
    # the gradient that reaches it is rounded, as that of any output in bfloat16; from there on it is float32
    expected.backward((2 * y.detach().float()).bfloat16().float())
    assert all(torch.equal(got, want.grad) for got, want in zip(grads, exact.parameters(), strict=True))
    assert grad_x.dtype is torch.bfloat16


@pytest.mark.parametrize("settings", FAST, ids=str)
def test_other_convolutions_are_as_autocast_has_them(settings):
    ours = gradients(make(settings), autocast("bf16", "cpu"), image())
    plain = gradients(make(settings), torch.autocast("cpu", torch.bfloat16), image())
    assert torch.equal(ours[0], plain[0]) and torch.equal(ours[1], plain[1])
    assert all(torch.equal(got, want) for got, want in zip(ours[2], plain[2], strict=True))


@pytest.mark.parametrize("settings", SLOW, ids=str)
def test_without_training_and_without_autocast_nothing_is_changed(settings):
    frozen = make(settings).requires_grad_(False)
    with torch.autocast("cpu", torch.bfloat16):
        plain = frozen(image())
    with autocast("bf16", "cpu"):
        assert torch.equal(frozen(image()), plain)
    with torch.no_grad(), autocast("bf16", "cpu"):
        assert torch.equal(make(settings)(image()), plain)
    with DepthwiseInFloat32():
        assert make(settings)(image().float()).dtype is torch.float32


def test_an_image_without_a_batch_and_one_that_asks_for_no_gradient_pass():
    with autocast("bf16", "cpu"):
        y = make(SLOW[0])(image()[0].float())
    assert y.shape == (CHANNELS, 9, 11)
    assert y.dtype is torch.bfloat16


def test_the_context_ends_with_an_exception():
    with pytest.raises(ZeroDivisionError), autocast("bf16", "cpu"):
        1 / 0  # noqa: B018
    assert not torch.is_autocast_enabled("cpu")
    assert make(SLOW[0])(image().float()).dtype is torch.float32
