"""Which images belong to one patient, where only their names show it."""

from __future__ import annotations

import re
from collections.abc import Sequence

# Each matches every name; its group is the name without what sets images of one patient apart.
_RULES = {
    "begin with a patient's number": r"(?i)^((?:patient|subject|subj|case|pat|sub|pid|pt|p)[_-]?\d+(?=[_-])|.+)",
    "end in left and right": r"(?i)^(.+?)(?:[_-](?:left|right|od|os|l|r)|(?<=\d)[lr])?$",
    "end in slices": r"(?i)^(.+?)(?:[_-](?:slice|slc|sl|z|frame)[_-]?\d+)?$",
}

SUGGESTED = "^(.+?)(?:[_-][^_-]+)?$"


def guess_patients(cases: Sequence[str]) -> tuple[str, str] | None:
    """Find a rule by which names show the patient: a patient's number, pairs of left and right, numbered slices.

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
        >>> re.search(guess_patients(["p08_s0854", "p08_s0855", "p09_s0001"])[0], "p08_s0854").group(1)
        'p08'
        >>> guess_patients(["case_001", "case_002"]) is None
        True
    """
    for what, pattern in _RULES.items():
        groups = {match.group(1) for case in cases if (match := re.search(pattern, case))}
        if 1 < len(groups) < len(cases):
            return pattern, f"names {what}"
    return None


def suggest_pattern(cases: Sequence[str]) -> str | None:
    """Find what may be patients in names that do not say so: a beginning that several names share.

    Such beginnings may as well be hospitals, so this is a suggestion and no guess.

    Args:
        cases: names of all cases.

    Returns:
        a regular expression whose first group is the beginning, everything before the last ``_`` or ``-``; ``None``
        if no two names share one, or all do.

    Example:
        >>> suggest_pattern(["anna_1", "anna_2", "bo_1"])
        '^(.+?)(?:[_-][^_-]+)?$'
        >>> suggest_pattern(["eye_1", "eye_2"]) is None
        True
    """
    groups = beginnings(cases)
    return SUGGESTED if 1 < len(set(groups.values())) < len(cases) else None


def beginnings(cases: Sequence[str]) -> dict[str, str]:
    """What names begin with, by name: all before the last ``_`` or ``-``, else the name."""
    return {case: match.group(1) for case in cases if (match := re.search(SUGGESTED, case))}
