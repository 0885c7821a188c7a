"""Training on several processes, one for each GPU, started by torchrun."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import nn

from monai_supmix.networks.layout import channels_last_if_2d

_logger = logging.getLogger(__name__)
Item = TypeVar("Item")
_STARTED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # what torchrun tells each of its processes


def start_processes(device: torch.device | str, expected: bool = False) -> None:
    """Join the processes that torchrun has started; does nothing where it has started none.

    Args:
        device: this process's device; GPUs talk through NCCL, CPUs through Gloo.
        expected: say so where there are none to join, as with ``multi_gpu_train.json``.

    Example:
        >>> start_processes("cpu")  # torchrun has started none: nothing happens
    """
    if not dist.is_initialized() and not os.environ.keys() >= _STARTED:
        if expected:
            _logger.warning("one process trains alone: torchrun has started no others (torchrun --nproc_per_node=N)")
        return
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def stop_processes() -> None:
    """Leave the group of processes, if there is one.

    Example:
        >>> stop_processes()  # nothing to leave
        >>> world_size()
        1
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def rank() -> int:
    """This process's number, 0 for a single one.

    Example:
        >>> rank(), world_size()
        (0, 1)
    """
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """The number of processes.

    Example:
        >>> world_size()
        1
    """
    return dist.get_world_size() if dist.is_initialized() else 1


def distribute(module: nn.Module | None, device: torch.device | str) -> nn.Module | None:
    """Move a module to its device and, among several processes, keep it the same on all of them.

    Batch statistics are taken over all GPUs (SyncBatchNorm; CPUs lack it, there each process keeps its own). Buffers
    are not broadcast before a forward: an iteration runs two forwards before its backward, and a broadcast between
    them would overwrite what the backward of the first one needs.

    Args:
        module: a network or discriminator; ``None`` stays ``None``.
        device: this process's device.

    Returns:
        the module itself in a single process, wrapped by DistributedDataParallel among several.

    Example:
        >>> network = nn.Conv2d(1, 2, 1)
        >>> distribute(network, "cpu") is network, distribute(None, "cpu")  # a single process
        (True, None)
    """
    if module is None:
        return None
    device = torch.device(device)
    module.to(device)
    if world_size() == 1:
        return module
    channels_last_if_2d(module)  # before the wrapping, see there
    if device.type == "cuda":
        module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    devices = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(module, device_ids=devices, broadcast_buffers=False)


def shard(items: Sequence[Item]) -> list[Item]:
    """This process's part of the cases to evaluate, of equal size everywhere.

    Cases that fill up the last round are repeated; :class:`monai_supmix.metrics.DatasetOverlap` counts them once.

    Args:
        items: all cases, in the same order in every process.

    Returns:
        every ``world_size``-th of them, from the process's own number on.

    Example:
        >>> shard(["a", "b", "c"])
        ['a', 'b', 'c']
    """
    rounds = -(-len(items) // world_size())
    return [items[(number * world_size() + rank()) % len(items)] for number in range(rounds)]
