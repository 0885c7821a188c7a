"""Which images belong to one patient, where only their names show it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

_BEGINS, _SIDES, _SLICES = "begin with a patient's number", "end in left and right", "end in slices"
_PEOPLE = "patient|participant|volunteer|subject|child|subj|case|pat|sub|pid|pt|p"
_NUMBER = rf"(?:{_PEOPLE})[\s_-]?\d+(?=[\s_-])"
_ENDS = {
    _SIDES: r"(?:[\s_-](?:left|right|od|os|l|r)|(?<=\d)[lr])",
    _SLICES: r"(?:[\s_-](?:slice|slc|sl|z|frame)[\s_-]?\d+)",
}
_RULES = (_BEGINS, _SLICES, _SIDES)

SUGGESTED = "(?i)^(.+?)(?:[_-][^_-]+)?$"


def guess_patients(cases: Sequence[str]) -> tuple[str, str] | None:
    """Find a rule by which names show the patient: a patient's number, pairs of left and right, numbered slices.

    A wrong guess joins images that need not be together, which costs little; without it, a patient could be on
    both sides of the split. So those rules are taken together that join the most images, but not all. Names of patients
    that differ in case alone are one.

    Args:
        cases: names of all cases.

    Returns:
        a regular expression whose first group is the patient, and what it found; ``None`` if names show nothing.

    Example:
        >>> pattern, reason = guess_patients(["a_left", "a_right", "b_left"])
        >>> re.search(pattern, "b_left").group(1), reason
        ('b', 'names end in left and right')
        >>> re.search(guess_patients(["p08_s0854", "p08_s0855", "p09_s0001"])[0], "p08_s0854").group(1)
        'p08'
        >>> guess_patients(["p01_1", "p01_2", "eye7_left", "eye7_right"])[1]
        "names begin with a patient's number or end in left and right"
        >>> guess_patients(["case_001", "case_002"]) is None
        True
    """
    counts: dict[tuple[str, ...], int] = {}
    for rules in (some for number in (1, 2, 3) for some in itertools.combinations(_RULES, number)):
        pattern = _pattern(rules)
        joined = len({match.group(1).casefold() for case in cases if (match := re.search(pattern, case))})
        if 1 < joined < len(cases):
            counts[rules] = joined
    if not counts:
        return None
    best = min(counts, key=lambda rules: counts[rules])  # of equal ones that with the fewest rules
    return _pattern(best), f"names {' or '.join(best)}"


def _pattern(rules: Sequence[str]) -> str:
    """Matches every name; the group is the patient's number, or the name without the ends that these rules know."""
    begin = f"{_NUMBER}|" if _BEGINS in rules else ""
    ends = [end for rule, end in _ENDS.items() if rule in rules]
    rest = f".+?(?=(?:{'|'.join(ends)})*$)" if ends else ".+"  # in any order
    return f"(?i)^({begin}{rest})"


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
        '(?i)^(.+?)(?:[_-][^_-]+)?$'
        >>> suggest_pattern(["eye_1", "eye_2"]) is None
        True
    """
    groups = beginnings(cases)
    return SUGGESTED if 1 < len(set(groups.values())) < len(cases) else None


def beginnings(cases: Sequence[str]) -> dict[str, str]:
    """What names begin with, in lower case, by name: all before the last ``_`` or ``-``, else the name."""
    return {case: match.group(1).casefold() for case in cases if (match := re.search(SUGGESTED, case))}
