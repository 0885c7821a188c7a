"""The test side of a data set that has none, and the patients behind case names."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.datalists.draw import counted_groups, patients_known, pick_named
from monai_supmix.datalists.partly import KEY
from monai_supmix.errors import InputError
from monai_supmix.listing import counted, shorten
from monai_supmix.randomness import derive_seed

NO_TEST = "none"
_ALL = frozenset({0})  # the background is labelled only where all classes are


def hold_out_test(
    items: Sequence[dict[str, Any]], fraction: float, seed: int, subject: object
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Draw test groups where the data set has no test side of its own.

    Fully labelled groups measure most, so up to half of them are drawn before any that is partly labelled; the other
    half is drawn when no such group is left. Training keeps a fully labelled case if there is one, else a case with
    labels of each class that has any.

    Args:
        items: all items, with labelled classes by number; only groups with a label are drawn.
        fraction: share of those groups, in (0, 1); at least one group, and one is left for training.
        seed: seed of this draw, apart from the one of labelled images.
        subject: what errors are about.

    Returns:
        ``(train, test, notes)``.

    Raises:
        InputError: fewer than two groups have labels, or each is the only one with those of a class.

    Example:
        >>> items = [{"case": name, "group": name, "label": f"{name}.png"} for name in "abcde"]
        >>> items[0][KEY] = items[1][KEY] = [1]
        >>> train, test, notes = hold_out_test(items, 0.2, 0, "data")
        >>> [KEY in item for item in test], notes[0]
        ([False], 'no test set was given: 1 of 5 cases with labels was drawn for it, whole ones first (seed 0)')
    """
    groups: dict[str, list[frozenset[int]]] = {}
    labelled = [item for item in items if "label" in item]
    for item in labelled:
        groups.setdefault(item["group"], []).append(frozenset(item.get(KEY, _ALL)))
    if len(groups) < 2:
        problem = f"has no test set, and {counted_groups(labelled)} with labels to draw one from"
        more = "label images of two or more patients" if patients_known(labelled) else "label two or more images"
        remedy = f"add labelled test images, {more}, or set test_list to none"
        raise InputError(subject, problem, remedy)
    order = sorted(groups, key=lambda group: (derive_seed(seed, "test", group), group))
    held = _draw_test(groups, order, min(max(1, round(fraction * len(groups))), len(groups) - 1))
    if not held:
        unit = "patient" if patients_known(labelled) else "case"
        problem = f"has no test set, and each {unit} is the only one with labels of a class, which training needs"
        raise InputError(subject, problem, f"label classes in more {unit}s, or set test_list to none")
    how = "" if all(classes == [_ALL] * len(classes) for classes in groups.values()) else ", whole ones first"
    drawn = f"{len(held)} of {counted_groups(labelled)} with labels"
    note = f"no test set was given: {drawn} {'was' if len(held) == 1 else 'were'} drawn for it{how} (seed {seed})"
    train = [item for item in items if item["group"] not in held]
    test = [item for item in items if item["group"] in held and "label" in item]
    notes = [note]
    if rest := len(items) - len(train) - len(test):
        verb = "is" if rest == 1 else "are"
        notes.append(f"{counted(rest, 'image')} without a label {verb} left out, of patients of the test")
    return train, test, notes


def _draw_test(groups: Mapping[str, Sequence[frozenset[int]]], order: Sequence[str], number: int) -> set[str]:
    """Draw groups for the test, see `hold_out_test`.

    Args:
        groups: the classes that were labelled in each case of a group, `_ALL` for a fully labelled one.
        order: all groups in the order of the draw.
        number: how many to draw; fewer, or none, where training could not spare them.
    """
    whole = [group for group in order if set(groups[group]) == {_ALL}]
    partly = [group for group in order if set(groups[group]) != {_ALL}]
    half = len(whole) // 2 if partly else len(whole)
    candidates = [*whole[:half], *partly, *whole[half:]]
    left = Counter(itertools.chain.from_iterable(groups.values()))
    every = frozenset().union(*left)
    held: set[str] = set()
    for group in candidates:
        without = left - Counter(groups[group])
        if len(held) < number and (_ALL in without or frozenset().union(*without) == every):
            held.add(group)
            left = without
    return held


def split_named(
    items: Sequence[dict[str, Any]], test_list: Sequence[str] | str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Make the named cases the test side; all others are the training side.

    Args:
        items: all items.
        test_list: case names, or the path of a text file with one name a line; ``"none"``: there is no test.

    Returns:
        ``(train, test, notes)``.

    Raises:
        InputError: see `pick_named`.

    Example:
        >>> split_named([{"case": "a", "label": "a.png"}], "none")
        ([{'case': 'a', 'label': 'a.png'}], [], ['there is no test: all labels can be trained on'])
    """
    if test_list == NO_TEST and not Path(NO_TEST).is_file() and NO_TEST not in {item["case"] for item in items}:
        return list(items), [], ["there is no test: all labels can be trained on"]
    test = pick_named(items, test_list, "test_list")
    return [item for item in items if item not in test], test, []


def group_by_pattern(items: Sequence[dict[str, Any]], pattern: str | None, patients: object = None) -> list[str]:
    r"""Set every item's ``group`` to its patient, from a table or by a rule on the case name.

    Args:
        items: changed in place; they keep their group if there is neither pattern nor table.
        pattern: regular expression searched in the case name; its first group, or else the whole match, is
            the patient. With the flag ``(?i)`` patients' names are in lower case, so that case makes no difference.
        patients: table ``{case: patient}``, used without a pattern.

    Returns:
        notes: that patients are unknown, if so.

    Raises:
        InputError: the pattern is not a regular expression, or a case has no patient.

    Example:
        >>> items = [{"case": "p07_slice3", "group": "p07_slice3"}]
        >>> group_by_pattern(items, r"^(p\d+)_")
        []
        >>> items[0]["group"]
        'p07'
        >>> items = [{"case": "Anna_1"}, {"case": "anna_2"}]
        >>> group_by_pattern(items, "(?i)^[a-z]+"), [item["group"] for item in items]
        ([], ['anna', 'anna'])
    """
    if pattern is None and patients is None:
        return ["patients are unknown: each image is its own group, so one patient may be on several sides"]
    if pattern is None and not isinstance(patients, dict):
        raise InputError("dataset.json", "'patients' is not a table", 'write "patients": {"CASE": "PATIENT", ...}')
    try:
        rule = re.compile(pattern) if pattern is not None else None
    except re.error as error:
        raise InputError("group_pattern", f"is not a regular expression ({error})", "fix it") from error
    unmatched = []
    for item in items:
        if rule is not None:
            match = rule.search(item["case"])
            group = match and (match.group(1) if rule.groups else match.group())
            if group and rule.flags & re.IGNORECASE:
                group = group.casefold()
        else:
            group = patients.get(item["case"]) if isinstance(patients, dict) else None
        if group is None or group == "":
            unmatched.append(item["case"])
        else:
            item["group"] = str(group)
    if unmatched:
        subject = "group_pattern" if rule is not None else "dataset.json"
        raise InputError(subject, f"{len(unmatched)} cases have no patient: {shorten(unmatched)}", "cover all cases")
    return []
