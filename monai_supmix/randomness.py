"""Randomness keyed by what it is for, so that any iteration can be replayed without its past.

Every random draw of a training run is a function of ``(seed, stream, iteration or position)``. Nothing depends
on how many draws came before it, on worker processes, or on where a run was stopped and resumed.
"""

from __future__ import annotations

import hashlib


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
