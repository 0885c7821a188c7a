"""The processes of one launch, by torchrun, srun or another launcher of ``torch.distributed``, and what they share."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch.distributed as dist

from monai_supmix.errors import InputError

Item = TypeVar("Item")


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


def gather(value: Item) -> list[Item]:
    """The value of each process, in their order.

    Example:
        >>> gather("alone")
        ['alone']
    """
    values: list[Any] = [value] * world_size()
    if len(values) > 1:
        dist.all_gather_object(values, value)
    return values


@contextlib.contextmanager
def agreed() -> Iterator[None]:
    """Let no process go on where one of them has failed: all raise an error, their own or that of the first.

    Example:
        >>> with agreed():
        ...     raise InputError("scan.nii", "is empty", "copy it again")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: scan.nii: is empty: copy it again
    """
    mine: Exception | None = None
    try:
        yield
    except Exception as error:
        mine = error
    shared = mine if mine is None or isinstance(mine, InputError) else RuntimeError(f"{type(mine).__name__}: {mine}")
    errors = [error for error in gather(shared) if error is not None]
    if mine is not None or errors:
        raise mine or errors[0]


def from_first(make: Callable[[], Item]) -> Item:
    """What the first process makes, in all of them, so that they agree and a file server is asked once.

    Args:
        make: called in the first process; its error is raised in all.

    Example:
        >>> from_first(lambda: ["a.nii", "b.nii"])
        ['a.nii', 'b.nii']
    """
    holder: list[Any] = [None]
    with agreed():
        holder[0] = make() if rank() == 0 else None
    if world_size() > 1:
        dist.broadcast_object_list(holder)
    return holder[0]


def read_shard(shard: str | None) -> tuple[int, int]:
    """Read which part of the cases a job is to predict.

    Args:
        shard: ``"i/n"``, the i-th of n parts, counted from 1; ``None`` is all.

    Returns:
        its index from 0, and the number of parts.

    Raises:
        InputError: something else.

    Example:
        >>> read_shard("2/3"), read_shard(None)
        ((1, 3), (0, 1))
    """
    if shard is None:
        return 0, 1
    match = re.fullmatch(r"(\d+)/(\d+)", shard) if isinstance(shard, str) else None
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError("shard", f"is {shard!r}", "give i/n with i from 1 to n, such as 2/8")
    return int(match[1]) - 1, int(match[2])


def share(cases: Sequence[Item], shard: str | None = None, size: Callable[[Item], int] | None = None) -> list[Item]:
    """This process's part of the cases: every n-th of its shard's, which is every n-th of all.

    Args:
        cases: all cases, in the same order in every process.
        shard: see `read_shard`.
        size: what a case takes. Several processes of a launch begin with the largest, so that none of them is left with
            one at the end; which shard a case belongs to does not depend on it.

    Example:
        >>> [share("abcdefgh", f"{index}/3") for index in (1, 2, 3)]
        [['a', 'd', 'g'], ['b', 'e', 'h'], ['c', 'f']]
    """
    index, count = read_shard(shard)
    part = list(cases[index::count])
    if size is not None and world_size() > 1:
        sizes = from_first(lambda: [size(case) for case in part])
        part = [part[k] for k in sorted(range(len(part)), key=lambda k: -sizes[k])]
    return part[rank() :: world_size()]
