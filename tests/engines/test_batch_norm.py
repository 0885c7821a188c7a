"""Recalibrated statistics are those of the whole planes, and nothing else about the network changes."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from monai_supmix.engines import RecalibrateBatchNorm
from monai_supmix.networks import CompactUNet


def case(number, planes=1, size=(32, 32)):
    generator = torch.Generator().manual_seed(number)
    return {"image": (torch.rand(planes, 1, *size, generator=generator) * (number + 1) / 8).half()}


def used(network):
    """A network whose statistics and modes are of a training, with one part in evaluation."""
    network.train()
    for seed in range(3):
        network(torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(seed)))
    return network


def test_first_statistics_are_the_means_over_planes():
    network = used(nn.Sequential(nn.BatchNorm2d(1), nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)))
    items = [case(0), case(1, size=(40, 24)), case(2, planes=3)]
    RecalibrateBatchNorm(network, items)()
    planes = [plane.float().numpy() for item in items for plane in item["image"]]
    assert len(planes) == 5
    assert network[0].running_mean.item() == pytest.approx(np.mean([p.mean() for p in planes]), abs=1e-5)
    assert network[0].running_var.item() == pytest.approx(np.mean([p.var(ddof=1) for p in planes]), abs=1e-5)
    assert network[0].momentum == 0.1


def test_weights_and_modes_stay_and_a_second_time_changes_nothing():
    network = used(CompactUNet(in_channels=1, num_classes=2, features=(4, 4, 4, 4, 4, 4)))
    before = copy.deepcopy(network.state_dict())
    recalibrate = RecalibrateBatchNorm(network, [case(n, size=(40, 33)) for n in range(4)], divisor=network.divisor)
    network.eval()
    recalibrate()
    assert not network.training
    once = copy.deepcopy(network.state_dict())
    for name in before:
        assert torch.equal(before[name], once[name]) == ("running" not in name and "num_batches" not in name), name
    recalibrate()
    assert all(torch.equal(once[name], tensor) for name, tensor in network.state_dict().items())


def test_nothing_is_dropped_meanwhile():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.Dropout2d(0.5), nn.Conv2d(8, 4, 3), nn.BatchNorm2d(4)).train()
    network[1].p, dropped = 0.0, network[1].p
    items = [case(n) for n in range(3)]
    RecalibrateBatchNorm(network, items)()
    expected = copy.deepcopy(network[3].state_dict())
    network[1].p = dropped
    RecalibrateBatchNorm(network, items)()
    assert all(torch.equal(expected[name], tensor) for name, tensor in network[3].state_dict().items())
    assert network[1].training


def test_planes_of_a_volume_are_evenly_spaced_and_few():
    volume = torch.arange(10.0).reshape(10, 1, 1, 1).expand(10, 1, 4, 4)
    network = nn.BatchNorm2d(1)
    RecalibrateBatchNorm(network, [{"image": volume}], planes_per_case=3)()
    assert network.running_mean.item() == pytest.approx((1 + 5 + 8) / 3)
    RecalibrateBatchNorm(network, [{"image": volume}], planes_per_case=99)()
    assert network.running_mean.item() == 4.5


def test_a_network_without_it_is_left_alone_and_wrappers_are_seen_through():
    plain = nn.Conv2d(1, 1, 1)
    RecalibrateBatchNorm(plain, [case(0)])()
    inner = nn.BatchNorm2d(1)
    RecalibrateBatchNorm(nn.DataParallel(inner), [case(0)])()
    assert inner.running_mean.item() == pytest.approx(case(0)["image"].float().mean().item(), abs=1e-6)


@pytest.mark.parametrize("arguments", [{"divisor": 0}, {"planes_per_case": 0}])
def test_numbers_below_one_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        RecalibrateBatchNorm(nn.BatchNorm2d(1), [], **arguments)


@pytest.mark.parametrize("size", [(24, 20), (32, 32), (20, 64), (64, 20)])
def test_planes_of_which_a_deep_layer_sees_a_single_value_are_padded(size):
    network = used(CompactUNet(in_channels=1, num_classes=2, features=(4, 4, 4, 4, 4, 4)))
    recalibrate = RecalibrateBatchNorm(network, [case(0, size=size)], divisor=network.divisor)
    recalibrate.check(network)
    recalibrate()
    assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_a_network_that_takes_no_single_plane_is_told_at_once_and_left_alone():
    network = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(1)).eval()
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        RecalibrateBatchNorm(network, [case(0)]).check(network)
    assert not network.training and all(torch.equal(before[k], v) for k, v in network.state_dict().items())


def test_what_is_checked_is_not_changed():
    network = used(CompactUNet(in_channels=1, num_classes=2, features=(4, 4, 4, 4, 4, 4)))
    before = copy.deepcopy(network.state_dict())
    RecalibrateBatchNorm(network, [case(0)], divisor=network.divisor).check(network)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
