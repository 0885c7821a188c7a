"""What DistributedDataParallel has noted of a network stays true: its memory layout decides which gradients meet."""

import pytest
import torch.distributed as dist
from torch import nn

from monai_supmix.bundle import distributed
from monai_supmix.networks import CompactUNet
from tests.engines.toys import trainer


@pytest.fixture
def group(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/group", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def strides(network):
    return {name: parameter.stride() for name, parameter in network.named_parameters()}


def test_the_trainer_leaves_the_layout_of_a_wrapped_network_alone(group):
    wrapped = nn.parallel.DistributedDataParallel(CompactUNet(2, 3, 3, features=(4, 4, 8, 8, 8, 4)))
    before = strides(wrapped)
    trainer("fixmatch", network=wrapped)
    assert strides(wrapped) == before


@pytest.mark.parametrize("dims", [2, 3])
def test_networks_get_their_layout_before_they_are_wrapped(dims, group, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    single, several = (CompactUNet(dims, 3, 3, features=(4, 4, 8, 8, 8, 4)) for _ in range(2))
    trainer("fixmatch", network=single, spatial=(32,) * dims)
    assert strides(distributed.distribute(several, "cpu").module) == strides(single)
