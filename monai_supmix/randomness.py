"""Randomness keyed by what it is for, so that any iteration can be replayed without its past.

Every random draw of a training run is a function of ``(seed, stream, iteration or position)``. Nothing depends
on how many draws came before it, on worker processes, or on where a run was stopped and resumed.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(seed: int, *key: int | str) -> int:
    """Derive a seed from a base seed and a key, the same on every machine and Python version.

    Args:
        seed: the run's seed.
        key: integers and strings that name the draw, for example ``("augment", "labeled", 17)``.

    Returns:
        an integer in ``[0, 2**32)``.

    Example:
        >>> derive_seed(0, "mixing", 3) == derive_seed(0, "mixing", 3)
        True
        >>> derive_seed(0, "mixing", 3) == derive_seed(0, "mixing", 4)
        False
    """
    digest = hashlib.blake2b(repr((seed, *key)).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little")


def seed_generators(seed: int) -> None:
    """Seed the generators of the whole process that code which has none of its own draws from.

    Args:
        seed: for Python, NumPy and torch, in ``[0, 2**32)``.

    Example:
        >>> seed_generators(0)
        >>> first = torch.rand(()), np.random.rand(), random.random()
        >>> seed_generators(0)
        >>> first == (torch.rand(()), np.random.rand(), random.random())
        True
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@contextmanager
def generators_seeded(seed: int) -> Iterator[None]:
    """Seed the same generators for a block, and let them go on afterwards as if it had not been.

    Args:
        seed: for Python, NumPy and torch (those of the host), in ``[0, 2**32)``.

    Example:
        >>> seed_generators(0)
        >>> expected = random.random(), random.random()
        >>> seed_generators(0)
        >>> first = random.random()
        >>> with generators_seeded(7):
        ...     _ = random.random()
        >>> (first, random.random()) == expected
        True
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])
