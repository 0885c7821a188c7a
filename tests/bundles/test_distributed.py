"""What DistributedDataParallel has noted of a network stays true: its memory layout decides which gradients meet."""

import json
import os

import pytest
import torch.distributed as dist
from torch import nn

from monai_supmix import processes
from monai_supmix.bundle import distributed
from monai_supmix.networks import CompactUNet
from tests.engines.toys import trainer
from tests.inferers import cohort_workers as workers


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


def test_the_tasks_of_slurm_share_the_cases(tmp_path):
    results = [tmp_path / str(number) for number in range(2)]
    tasks = [workers.start_task(number, 2, os.getpid(), result) for number, result in enumerate(results)]
    assert workers.finish(*tasks) == [0, 0]
    told = [json.loads(result.read_text(encoding="utf-8")) for result in results]
    assert [part["share"] for part in told] == [["a", "c", "e"], ["b", "d"]]
    assert [part["by size"] for part in told] == [["e", "d", "b"], ["c", "a"]], "the largest first: e, c, d, a, b"
    assert all(part["all"] == [0, 1] for part in told)


def test_a_process_without_a_case_of_its_own_repeats_one(monkeypatch):
    parts = []
    for number in range(3):
        monkeypatch.setattr(processes, "rank", lambda number=number: number)
        monkeypatch.setattr(processes, "world_size", lambda: 3)
        parts.append(distributed.shard(["a", "b"]))
    assert parts == [["a"], ["b"], ["a"]]


@pytest.mark.parametrize("dims", [2, 3])
def test_networks_get_their_layout_before_they_are_wrapped(dims, group, monkeypatch):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    single, several = (CompactUNet(dims, 3, 3, features=(4, 4, 8, 8, 8, 4)) for _ in range(2))
    trainer("fixmatch", network=single, spatial=(32,) * dims)
    assert strides(distributed.distribute(several, "cpu").module) == strides(single)
