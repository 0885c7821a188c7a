"""Which images belong to one patient, where only their names show it."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Each matches every name; its group is the name without what sets images of one patient apart.
_RULES = {
    "left and right": r"(?i)^(.+?)(?:[_-](?:left|right|od|os|l|r)|(?<=\d)[lr])?$",
    "slices": r"(?i)^(.+?)(?:[_-](?:slice|slc|sl|z|frame)[_-]?\d+)?$",
}


def guess_patients(cases: Sequence[str]) -> tuple[str, str] | None:
    """Find a rule by which names show the patient: pairs of left and right, numbered slices.

    A wrong guess joins images that need not be together, which costs little; without it, a patient could be on
    both sides of the split.

    Args:
        cases: names of all cases.

    Returns:
        a regular expression whose first group is the patient, and what it found; ``None`` if names show nothing.

    Example:
        >>> pattern, found = guess_patients(["a_left", "a_right", "b_left"])
        >>> re.search(pattern, "b_left").group(1), found
        ('b', 'names end in left and right')
        >>> guess_patients(["case_001", "case_002"]) is None
        True
    """
    for what, pattern in _RULES.items():
        groups = {match.group(1) for case in cases if (match := re.search(pattern, case))}
        if 1 < len(groups) < len(cases):
            return pattern, f"names end in {what}"
    return None
