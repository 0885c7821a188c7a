"""Names of classes, figures and files in plain characters, different wherever the names they stand for are."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SIGNS = {"<": " lt ", ">": " gt ", "=": " eq ", "≤": " lt eq ", "≥": " gt eq ", "\N{MINUS SIGN}": "-"}


def safe_name(name: str) -> str:
    """Make a class name that can stand in a configuration, a file name and a table; signs that compare become words.

    Example:
        >>> safe_name("$ ground glass / GGO"), safe_name("grade <2"), safe_name("ER+")
        ('ground_glass_GGO', 'grade_lt_2', 'ER+')
    """
    spelt = "".join(_SIGNS.get(character, character) for character in name)
    return re.sub(r"[^\w.+-]+", "_", spelt).strip("_")


def casefolded(name: str) -> str:
    """What names have in common that differ in capitals and separators alone; a plus counts, and a minus after a word.

    Example:
        >>> casefolded("Ground-Glass (GGO)"), casefolded("ER-") == casefolded("ER")
        ('ground_glass_ggo', False)
        >>> casefolded("grade<2") == casefolded("grade>2")
        False
    """
    separated = re.sub(r"(?<![^\W_])-|-(?=[^\W_])|[^\w+-]", "_", safe_name(name))
    return re.sub(r"_+", "_", separated).strip("_").casefold()


def plain_names(names: Iterable[str], others: str = ".-") -> list[str]:
    """Names of letters, digits, ``_`` and some other characters, different ones where the names are different.

    Args:
        names: what they stand for.
        others: which other characters may stay.

    Returns:
        one for each name. Where several would be the same, capitals aside, each has its place among all names added.

    Example:
        >>> plain_names(["blood vessel", "grade<2", "grade>2"])
        ['blood_vessel', 'grade_2.1', 'grade_2.2']
    """
    plain = [re.sub(rf"[^\w{re.escape(others)}]+", "_", name) for name in names]
    while len(set(alike := [name.casefold() for name in plain])) < len(alike):
        plain = [f"{name}.{i}" if alike.count(alike[i]) > 1 else name for i, name in enumerate(plain)]
    return plain
