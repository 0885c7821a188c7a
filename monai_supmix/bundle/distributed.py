"""Several processes, one for each GPU, started by torchrun (or srun, to predict and to evaluate)."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import ignite.distributed as idist
import torch
import torch.distributed as dist
from torch import nn

from monai_supmix.networks.layout import channels_last_if_2d
from monai_supmix.processes import share, world_size

_logger = logging.getLogger(__name__)
Item = TypeVar("Item")
_STARTED = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}  # what torchrun tells each of its processes
_PATIENCE = timedelta(days=30)  # of a process that has finished its cases before the others


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
    _believe_torchrun()
    device = torch.device(device)
    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) if device.index is None else device.index)
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")


def join_processes() -> None:
    """Join the processes that torchrun or srun has started, to share cases; does nothing where there are none.

    They exchange a few words and no tensors, through Gloo on any device, and wait for each other as long as it takes.
    The first one tells what happens; of the others only warnings are told.

    Example:
        >>> join_processes()  # nobody has started others: nothing happens
    """
    if not dist.is_initialized():
        if os.environ.keys() >= _STARTED:
            _believe_torchrun()
            dist.init_process_group("gloo", timeout=_PATIENCE)
        elif int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
            if torch.cuda.is_available():  # a task may see its own GPU only, which is then the first
                os.environ["SLURM_LOCALID"] = str(int(os.environ["SLURM_LOCALID"]) % torch.cuda.device_count())
            idist.initialize("gloo", timeout=_PATIENCE)
    if idist.get_rank() > 0:  # asked in all processes: Ignite gets to know them together
        logging.getLogger("monai_supmix").setLevel(logging.WARNING)


def _believe_torchrun() -> None:
    """Let Ignite, which believes Slurm within a job, take the local rank of torchrun, of which Slurm knows nothing."""
    if "SLURM_JOB_ID" in os.environ and os.environ.keys() >= _STARTED:
        os.environ["SLURM_LOCALID"] = os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID", "0")


@contextlib.contextmanager
def waiting_for_all() -> Iterator[None]:
    """Wait at the end for the other processes, as long as it takes; alone there is nobody to wait for.

    A barrier of GPUs gives up after ten minutes, which is short for the one that has the largest cases.

    Example:
        >>> with waiting_for_all():
        ...     mask = "done"
    """
    group: Any = dist.new_group(backend="gloo", timeout=_PATIENCE) if world_size() > 1 else None
    try:
        yield
    finally:
        if group is not None:
            dist.barrier(group)
            dist.destroy_process_group(group)


def stop_processes() -> None:
    """Leave the group of processes, if there is one.

    Example:
        >>> stop_processes()  # nothing to leave
        >>> world_size()
        1
    """
    if dist.is_initialized():
        dist.destroy_process_group()


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
    """This process's part of the cases to evaluate.

    Each case is in one part; where there are fewer cases than processes, those left over repeat one, and
    :class:`monai_supmix.metrics.DatasetOverlap` counts it once.

    Args:
        items: all cases, in the same order in every process.

    Returns:
        every ``world_size``-th of them, from the process's own number on.

    Example:
        >>> shard(["a", "b", "c"])
        ['a', 'b', 'c']
    """
    return share(items) or list(items[:1])
