"""Channel dropout: whole channels, the right share, the right scale, and nothing outside training."""

import pytest
import torch

from monai_supmix.networks import append_last, drop_channels
from tests.devices import DEVICES

devices = pytest.mark.parametrize("device", DEVICES)
spatial_shapes = pytest.mark.parametrize("spatial", [(5, 6), (3, 4, 5)], ids=["2D", "3D"])


@devices
@spatial_shapes
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("prob", [0.25, 0.5])
def test_whole_channels_are_zeroed_and_the_others_scaled(device, spatial, dtype, prob):
    torch.manual_seed(0)
    features = (1 + torch.rand(8, 64, *spatial, device=device)).to(dtype)
    result = drop_channels(features, prob, training=True)
    assert result.dtype == dtype
    pixels = tuple(range(2, features.dim()))
    zero = (result == 0).all(dim=pixels)
    assert torch.equal(zero, (result == 0).any(dim=pixels))
    assert zero.float().mean().item() == pytest.approx(prob, abs=0.08)
    assert not torch.equal(zero[0], zero[1])  # each sample has its own draw
    kept = ~zero[(..., *[None] * len(spatial))]
    assert torch.allclose(result.float(), features.float() / (1 - prob) * kept, rtol=1e-2)


@pytest.mark.parametrize(("prob", "training"), [(0.5, False), (0.0, True)])
def test_nothing_is_dropped_or_drawn_without_need(prob, training):
    features, state = torch.rand(2, 3, 4, 4), torch.get_rng_state()
    assert torch.equal(drop_channels(features, prob, training), features)
    assert torch.equal(torch.get_rng_state(), state)


@devices
@spatial_shapes
@pytest.mark.parametrize("n", [1, 3])
def test_the_last_samples_are_appended(device, spatial, n):
    features = torch.rand(3, 4, *spatial, device=device)
    assert torch.equal(append_last(features, n, 0.5, training=False), torch.cat((features, features[-n:])))
    dropped = append_last(features, n, 0.5, training=True)
    assert torch.equal(dropped[:3], features)
    kept = dropped[3:] != 0
    assert torch.equal(dropped[3:], features[-n:] * 2 * kept)


def test_gradient_reaches_the_appended_samples_twice():
    features = torch.rand(3, 4, 5, 5).requires_grad_()
    append_last(features, 2, 0.5, training=False).sum().backward()
    assert torch.equal(features.grad[:, 0, 0, 0], torch.tensor([1.0, 2.0, 2.0]))


def test_channels_last_stays():
    features = torch.rand(2, 8, 6, 6).contiguous(memory_format=torch.channels_last)
    result = append_last(features, 1, 0.5, training=True)
    assert result.is_contiguous(memory_format=torch.channels_last)


def test_tokens_are_no_maps():
    with pytest.raises(ValueError, match=r"\[2, 10, 8\]"):
        drop_channels(torch.rand(2, 10, 8), 0.5, training=True)
