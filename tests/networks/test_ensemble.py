"""An ensemble predicts the mean of its networks' probabilities wherever a network is taken."""

import numpy as np
import pytest
import torch

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers import SliceVolumeInferer, VolumeInferer
from monai_supmix.networks import CompactUNet, Ensemble
from monai_supmix.transforms import PercentileScale
from tests.inferers.tiny import scan, tiny_network


def networks(count=2):
    made = []
    for seed in range(count):
        torch.manual_seed(seed)
        made.append(CompactUNet(2, 1, 3, features=(4, 4, 8, 8, 8, 4)).eval())
    return made


@torch.no_grad()
def test_it_is_the_mean_of_probabilities_not_of_logits():
    first, second = networks()
    images = 10 * torch.randn(2, 1, 32, 32)
    mean = Ensemble([first, second])(images).softmax(dim=1)
    torch.testing.assert_close(mean, (first(images).softmax(dim=1) + second(images).softmax(dim=1)) / 2)
    assert not torch.allclose(mean, ((first(images) + second(images)) / 2).softmax(dim=1), atol=1e-3)


def test_one_network_alone_gives_its_own_masks():
    (network,) = networks(1)
    volume = CaseImage.from_array(np.random.default_rng(0).random((32, 32, 3)).astype(np.float32), np.eye(4))
    inferer = SliceVolumeInferer(amp=False)
    alone, together = (inferer(volume, one, PercentileScale()) for one in (network, Ensemble([network])))
    assert np.array_equal(alone, together)


@pytest.mark.parametrize(
    ("inferer", "dims"),
    [
        (SliceVolumeInferer(amp=False, divisor=1, flips=True, views=[[15, 1.12], [-15, 0.9]]), 2),
        (SliceVolumeInferer(amp=False, divisor=4, working={"center": [8, 8]}, views=[[-15, 0.9]]), 2),
        (VolumeInferer((4, 6, 6), amp=False, flips=(1,)), 3),
    ],
    ids=["views and flips", "middle", "windows"],
)
def test_views_and_windows_are_averaged_as_those_of_each_network(inferer, dims):
    members = [tiny_network(seed=seed, dims=dims) for seed in range(3)]
    volume = CaseImage.from_array(scan(), np.eye(4))
    maps = np.zeros((4, 3, *volume.label_shape))
    for network, of_network in zip([*members, Ensemble(members)], maps, strict=True):
        mask = inferer(volume, network, PercentileScale(), of_network)
    assert np.allclose(maps[3], maps[:3].mean(axis=0), atol=1e-5)
    assert maps[:3].std(axis=0).max() > 0.1, "the members differ"
    assert np.array_equal(mask, maps[3].argmax(axis=0))


def test_facts_are_those_of_its_networks():
    ensemble = Ensemble(networks())
    assert ensemble.divisor == ensemble.networks[0].divisor
    with pytest.raises(AttributeError, match="colour"):
        _ = ensemble.colour


def test_an_empty_one_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Ensemble([])
