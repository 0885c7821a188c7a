"""The test side of a data set that has none, and the patients behind case names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_supmix.datalists.draw import pick_named
from monai_supmix.errors import InputError
from monai_supmix.listing import counted, shorten
from monai_supmix.randomness import derive_seed

NO_TEST = "none"


def hold_out_test(
    items: Sequence[dict[str, Any]], fraction: float, seed: int, subject: object
) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[str]]:
    """Draw test groups where the data set has no test side of its own.

    Args:
        items: all items; only groups with a label are drawn.
        fraction: share of those groups, in (0, 1); at least one group, and one is left for training.
        seed: seed of this draw, apart from the one of labelled images.
        subject: what errors are about.

    Returns:
        ``(train, test, notes)``.

    Raises:
        InputError: fewer than two groups have labels.
    """
    groups = {item["group"] for item in items if "label" in item}
    if len(groups) < 2:
        problem = f"has no test set, and {counted(len(groups), 'group')} (patients) with labels to draw one from"
        remedy = "add labelled test images, label images of two or more patients, or set test_list to none"
        raise InputError(subject, problem, remedy)
    order = sorted(groups, key=lambda group: (derive_seed(seed, "test", group), group))
    held = set(order[: min(max(1, round(fraction * len(groups))), len(groups) - 1)])
    note = f"no test set was given: {len(held)} of {len(groups)} labelled groups were drawn for it (seed {seed})"
    train = [item for item in items if item["group"] not in held]
    return train, [item for item in items if item["group"] in held and "label" in item], [note]


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
            the patient.
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
