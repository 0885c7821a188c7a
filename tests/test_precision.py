"""Gradients of convolutions that bfloat16 makes slow or wrong on a CPU are those of float32; all else is autocast."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from monai_supmix.precision import ConvolutionGradientsInFloat32, autocast

CHANNELS = 8
SLOW = [
    {"kernel_size": 5, "padding": 2, "groups": CHANNELS},
    {"kernel_size": 3, "stride": 2, "groups": CHANNELS},
    {"kernel_size": (1, 7), "groups": CHANNELS, "bias": False},
    {"kernel_size": 5, "groups": CHANNELS, "dilation": 2},
    {"kernel_size": 3, "stride": (1, 2), "groups": CHANNELS, "padding": 1},
]
FAST = [
    {"kernel_size": 3, "groups": CHANNELS},
    {"kernel_size": 5},
    {"kernel_size": 5, "groups": CHANNELS // 2},
    {"kernel_size": 1, "stride": 2},
    {"kernel_size": 5, "groups": CHANNELS, "padding": "same"},
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
def test_a_slow_convolution_is_that_of_autocast_and_its_gradients_are_those_of_float32(settings):
    y, grad_x, grads = gradients(make(settings), autocast("bf16", "cpu"), image())
    assert y.grad_fn.name() == "_ConvolutionBackward", "gradients are computed here, and not by PyTorch's own"
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(y, make(settings)(image()))
    exact, x = make(settings), image().float().requires_grad_()
    for parameter in exact.parameters():
        parameter.data = parameter.bfloat16().float()  # as autocast has it
    exact(x).backward((2 * y.detach().float()).bfloat16().float())
    assert torch.equal(grad_x, x.grad.bfloat16())
    assert all(
        torch.equal(got, want.grad.bfloat16().float()) for got, want in zip(grads, exact.parameters(), strict=True)
    )


TINY = [
    *((nn.Conv3d, shape, {"padding": 1}) for shape in ((2, 6, 6), (2, 2, 2), (1, 6, 6), (6, 2, 6))),
    (nn.Conv3d, (2, 8, 8), {"padding": 1, "stride": 2, "groups": 2}),
    (nn.ConvTranspose3d, (2, 6, 6), {"padding": 1}),
    (nn.Conv2d, (1, 1), {"padding": 1, "stride": 2}),
    (nn.Conv2d, (1, 1), {"padding": 1, "stride": 2, "groups": CHANNELS}),
    (nn.Conv2d, (2, 24), {"padding": 3, "kernel_size": 7}),
    (nn.ConvTranspose2d, (1, 6), {"stride": 2, "output_padding": 1}),
    (nn.Conv1d, (2,), {"padding": 1, "stride": 3}),
    (nn.Conv3d, (14, 8, 1), {"kernel_size": (3, 1, 1), "padding": (1, 0, 0), "stride": 2}),
    (nn.Conv3d, (6, 8, 7), {"kernel_size": 7, "padding": 3, "stride": 2, "bias": False}),
]


@pytest.mark.parametrize(("kind", "shape", "settings"), TINY, ids=str)
def test_a_convolution_of_next_to_nothing_has_the_gradients_of_float32(kind, shape, settings):
    """PyTorch's own read memory that nobody has written: whatever was there, and sometimes NaN."""
    torch.manual_seed(0)
    layer = kind(CHANNELS, 2 * CHANNELS, **{"kernel_size": 3} | settings)
    x = torch.rand(2, CHANNELS, *shape).bfloat16()
    torch.full((300_000,), float("nan"))  # freed at once
    y, grad_x, grads = gradients(layer, autocast("bf16", "cpu"), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(y, layer(x))
    exact, same = copy.deepcopy(layer).double(), x.double().requires_grad_()
    exact.load_state_dict({name: value.bfloat16().double() for name, value in layer.state_dict().items()})
    exact.zero_grad()
    exact(same).backward((2 * y.detach().float()).bfloat16().double())
    for got, want in zip((grad_x, *grads), (same.grad, *(p.grad for p in exact.parameters())), strict=True):
        assert (got.double() - want).abs().max() <= 0.01 * want.abs().max()


@pytest.mark.parametrize(
    ("function", "shape", "settings"),
    [
        (nn.functional.conv3d, (2, 6, 6), {"padding": 1}),
        (nn.functional.conv_transpose2d, (1, 6), {"stride": 2, "output_padding": 1, "groups": 2}),
        (nn.functional.conv2d, (9, 9), {"groups": CHANNELS, "stride": 2}),
    ],
)
def test_calls_of_functions_with_some_of_their_arguments_named_are_those_of_modules(function, shape, settings):
    torch.manual_seed(0)
    weight = torch.rand(CHANNELS, CHANNELS // settings.get("groups", 1), *[3] * len(shape))
    x, results = torch.rand(2, CHANNELS, *shape), []
    defaults = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "output_padding": 0} | settings
    names = ("stride", "padding", "dilation", "groups")
    if "transpose" in function.__name__:
        names = ("stride", "padding", "output_padding", "groups", "dilation")
    for arguments in (
        lambda w: ((x, w), settings),
        lambda w: ((x,), {"weight": w, **settings}),
        lambda w: ((x, w, None, *(defaults[name] for name in names)), {}),
    ):
        leaf = weight.clone().requires_grad_()
        args, kwargs = arguments(leaf)
        with autocast("bf16", "cpu"):
            y = function(*args, **kwargs)
        assert y.grad_fn.name() == "_ConvolutionBackward"
        y.float().square().sum().backward()
        results.append(leaf.grad)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_convolutions_of_usual_size_are_left_as_they_are():
    layer, x = nn.Conv3d(2, 4, 3, padding=1), torch.rand(1, 2, 3, 8, 8)
    with autocast("bf16", "cpu"):
        assert layer(x).grad_fn.name() == "ConvolutionBackward0"
        assert layer(x[0]).shape == (4, 3, 8, 8), "without a batch"
        assert nn.functional.conv2d(input=torch.rand(1, 2, 1, 1), weight=torch.rand(4, 2, 1, 1)).shape == (1, 4, 1, 1)


def test_what_autocast_leaves_alone_is_left_alone():
    layer, x = nn.Conv3d(2, 4, 3, padding=1).double(), torch.rand(1, 2, 2, 8, 8).double()
    with autocast("bf16", "cpu"):
        assert layer(x).dtype is torch.float64
        assert layer.to("meta").float()(x.to("meta").float()).dtype is torch.float32


def test_checkpointing_of_next_to_nothing_computes_the_same_once_more():
    results = []
    for checkpointed in (False, True):
        torch.manual_seed(0)
        layer, x = nn.Conv3d(CHANNELS, 4, 3, padding=1), torch.rand(1, CHANNELS, 2, 6, 6, requires_grad=True)
        with autocast("bf16", "cpu"):
            y = checkpoint(layer, x, use_reentrant=False) if checkpointed else layer(x)
        y.float().square().sum().backward()
        results.append((y, x.grad, layer.weight.grad))
    assert all(torch.equal(plain, again) for plain, again in zip(*results, strict=True))


def test_frozen_weights_get_no_gradient_and_pass_it_on():
    layer = make(SLOW[0]).requires_grad_(False)
    _, grad_x, grads = gradients(layer, autocast("bf16", "cpu"), image())
    assert grads == [None, None]
    assert grad_x.abs().sum() > 0


@pytest.mark.parametrize("settings", FAST, ids=str)
def test_other_convolutions_are_as_autocast_has_them(settings):
    ours = gradients(make(settings), autocast("bf16", "cpu"), image())
    plain = gradients(make(settings), torch.autocast("cpu", torch.bfloat16), image())
    assert ours[0].grad_fn.name() == plain[0].grad_fn.name()
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
    with ConvolutionGradientsInFloat32():
        assert make(settings)(image().float()).dtype is torch.float32


def test_an_image_without_a_batch_and_one_that_asks_for_no_gradient_pass():
    with autocast("bf16", "cpu"):
        y = make(SLOW[0])(image()[0].float())
    assert y.shape == (CHANNELS, 9, 11)
    assert y.dtype is torch.bfloat16


@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointing_computes_the_same_once_more(reentrant):
    results = []
    for checkpointed in (False, True):
        layer = make(SLOW[0])
        x = image().requires_grad_()
        with autocast("bf16", "cpu"):
            y = checkpoint(layer, x, use_reentrant=reentrant) if checkpointed else layer(x)
        y.float().square().sum().backward()
        results.append((y, x.grad, layer.weight.grad))
    if reentrant:  # what is computed again has no such gradients, but those of autocast
        assert all(torch.allclose(a.float(), b.float(), rtol=0.05, atol=0.05) for a, b in zip(*results, strict=True))
    else:
        assert all(torch.equal(plain, again) for plain, again in zip(*results, strict=True))


def test_gradients_that_are_switched_off_inside_leave_the_convolution_as_it_is():
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        plain = make(SLOW[0])(image())
    with autocast("bf16", "cpu"), torch.no_grad():
        assert torch.equal(make(SLOW[0])(image()), plain)


def test_the_context_ends_with_an_exception():
    with pytest.raises(ZeroDivisionError), autocast("bf16", "cpu"):
        1 / 0  # noqa: B018
    assert not torch.is_autocast_enabled("cpu")
    assert make(SLOW[0])(image().float()).dtype is torch.float32
