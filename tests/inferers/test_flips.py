"""Averaging over flips makes any network blind to mirroring; without it one forward pass is made."""

import pytest
import torch

from monai_supmix.inferers.flips import class_probabilities
from tests.devices import DEVICES
from tests.inferers.tiny import tiny_network


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("flips", [False, True])
def test_probabilities(device, flips):
    network, images = tiny_network().to(device), torch.rand(2, 1, 9, 8, device=device)
    with torch.no_grad():
        probabilities = class_probabilities(network, images, flips)
    assert probabilities.shape == (2, 3, 9, 8) and probabilities.dtype == torch.float32
    assert torch.allclose(probabilities.sum(1), torch.ones(2, 9, 8, device=device))


@pytest.mark.parametrize("dims", [(2,), (3,), (2, 3)])
def test_the_mean_over_flips_follows_a_mirrored_image(dims):
    network, images = tiny_network(), torch.rand(2, 1, 9, 8)
    with torch.no_grad():
        mean, mirrored = (class_probabilities(network, x, True) for x in (images, images.flip(dims)))
        single, other = (class_probabilities(network, x) for x in (images, images.flip(dims)))
    assert torch.allclose(mean.flip(dims), mirrored, atol=1e-6)
    assert not torch.allclose(single.flip(dims), other, atol=1e-2)  # the network itself is not symmetric


def test_the_mean_is_of_four_softmaxes():
    network, images = tiny_network(), torch.rand(1, 1, 6, 5)
    with torch.no_grad():
        parts = [network(images.flip(d)).softmax(1).flip(d) for d in ((), (2,), (3,), (2, 3))]
        assert torch.allclose(class_probabilities(network, images, True), torch.stack(parts).mean(0), atol=1e-6)


def test_one_axis_averages_two_views():
    network, images = tiny_network(), torch.rand(1, 1, 6, 5)
    with torch.no_grad():
        parts = [network(images.flip(d)).softmax(1).flip(d) for d in ((), (3,))]
        assert torch.allclose(class_probabilities(network, images, (1,)), torch.stack(parts).mean(0), atol=1e-6)


def test_another_axis_is_refused():
    with pytest.raises(ValueError, match="left-right"):
        class_probabilities(tiny_network(), torch.rand(1, 1, 6, 5), (2,))


@pytest.mark.parametrize("output", [(1, 1, 6, 5), (1, 3, 6, 4), (2, 3, 6, 5), (1, 3, 30)])
def test_wrong_outputs_are_refused(output):
    with pytest.raises(ValueError, match="two or more classes"):
        class_probabilities(lambda _: torch.zeros(output), torch.zeros(1, 1, 6, 5))
