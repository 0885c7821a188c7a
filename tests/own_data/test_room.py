"""A network of many classes has a channel for each before its output, and is otherwise the template's."""

import pytest
import torch

from monai_supmix.networks import CompactUNet
from monai_supmix.own_data.room import roomy

TEMPLATE = {"_target_": "monai_supmix.networks.CompactUNet", "features": [16, 32, 32, 64, 64, 16], "patch_size": 2}


@pytest.mark.parametrize("num_classes", [2, 16, 17, 42, 105])
def test_the_last_level_has_a_channel_for_each_class(num_classes):
    wide = roomy(TEMPLATE, num_classes)
    assert wide["features"][:-1] == TEMPLATE["features"][:-1]
    assert wide["features"][-1] >= max(num_classes, 16)
    assert wide["features"][-1] < num_classes + 16
    assert {key: wide[key] for key in ("_target_", "patch_size")} == {
        key: TEMPLATE[key] for key in wide if key[0] != "f"
    }
    network = CompactUNet(2, 1, num_classes, features=wide["features"], patch_size=2)
    assert network(torch.rand(1, 1, 64, 64)).shape == (1, num_classes, 64, 64)


def test_few_classes_and_other_networks_leave_it_as_it_is():
    other = {"_target_": "monai_supmix.networks.EncoderDecoder", "encoder_name": "resnet18"}
    assert roomy(TEMPLATE, 4) == TEMPLATE
    assert roomy(other, 42) == other
