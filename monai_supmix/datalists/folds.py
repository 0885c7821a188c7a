"""Cross-validation: folds of the labelled cases that no patient straddles."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from monai_supmix.datalists.datalist import Datalist, check_datalist
from monai_supmix.datalists.draw import counted_groups, order_groups, patients_known
from monai_supmix.datalists.partly import KEY, classes_without_labels
from monai_supmix.errors import InputError
from monai_supmix.listing import counted, shorten


def split_groups(
    items: Sequence[dict[str, Any]], num_folds: int, seed: int = 0, subject: object = "folds"
) -> list[set[str]]:
    """Divide groups (patients) into folds of about as many items each.

    Large groups are dealt out first, groups of one size in the order of the draw, each to the fold that has the fewest
    items so far: of those in which the same classes were labelled, then of all.

    Args:
        items: labelled items.
        num_folds: how many folds; each gets one group at least.
        seed: of the order of groups of one size.
        subject: what errors are about.

    Returns:
        the groups of each fold.

    Raises:
        InputError: there are fewer groups than folds, or fewer than two folds.

    Example:
        >>> eyes = [{"case": patient + eye, "group": patient} for patient in "abcde" for eye in "LR"]
        >>> folds = split_groups(eyes, 2)
        >>> sorted(map(len, folds)), folds[0] & folds[1]
        ([2, 3], set())
        >>> split_groups(eyes, 6)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: folds: is 6, and the labels are of 5 patients: give 2 to 5
    """
    sizes = Counter(item["group"] for item in items)
    if not 2 <= num_folds <= len(sizes):
        few = "label images of two patients or more" if patients_known(items) else "label two images or more"
        possible = f"give {'2' if len(sizes) == 2 else f'2 to {len(sizes)}'}"
        problem = f"is {num_folds}, and the labels are of {counted_groups(items)}"
        raise InputError(subject, problem, possible if len(sizes) > 1 else few)
    labelled: dict[str, frozenset[int]] = {}
    for item in items:
        labelled[item["group"]] = labelled.get(item["group"], frozenset()) | frozenset(item.get(KEY, ()))
    folds: list[set[str]] = [set() for _ in range(num_folds)]
    # Items and groups, so that no fold stays empty beside a large group: those with the same labelled classes, and all.
    filled: dict[tuple[int, frozenset[int] | None], tuple[int, int]] = defaultdict(lambda: (0, 0))
    for group in sorted(order_groups(sizes, seed), key=lambda group: -sizes[group]):
        kinds = (labelled[group], None)
        least = min(range(num_folds), key=lambda fold: [filled[fold, kind] for kind in kinds])
        folds[least].add(group)
        for kind in kinds:
            filled[least, kind] = (filled[least, kind][0] + sizes[group], filled[least, kind][1] + 1)
    return folds


def without_labels_of(datalist: Datalist) -> str:
    """Say which classes were labelled in no case that is trained on; empty where there is none.

    Example:
        >>> item = {"image": "a.png", "label": "a_mask.png", "case": "a", "group": "a", "labelled_classes": [1]}
        >>> without_labels_of(Datalist([item], [], [], [], ["background", "disc", "cup"]))
        'no case of its training has labels of cup'
    """
    missing = classes_without_labels(datalist.labeled, datalist.class_names)
    return f"no case of its training has labels of {shorten(missing)}" if missing else ""


def fold_datalists(datalist: Datalist, num_folds: int, seed: int = 0, subject: object = "folds") -> list[Datalist]:
    """Make a datalist for each fold: its labelled cases are the test, those of all other folds are trained on.

    The unlabelled pool is the same but for images of the fold's own patients. The list's own test is in none of
    them, its validation in all.

    Args:
        datalist: the list; its labelled cases are divided.
        num_folds: how many folds.
        seed: of the division.
        subject: what errors are about.

    Returns:
        the lists in the order of the folds; together their tests are the labelled cases, each once.

    Raises:
        InputError: there are fewer groups (patients) than folds.

    Example:
        >>> eyes = [{"image": f"{c}.png", "label": f"{c}_mask.png", "case": c, "group": c} for c in "abcd"]
        >>> pool = [{"image": "a2.png", "case": "a2", "group": "a"}, {"image": "z.png", "case": "z", "group": "z"}]
        >>> lists = fold_datalists(Datalist(eyes, pool, [], [], ["background", "vessel"]), 4)
        >>> fold = next(one for one in lists if one.test[0]["case"] == "a")
        >>> len(fold.labeled), [item["case"] for item in fold.unlabeled]  # a2 is of the patient that is judged
        (3, ['z'])
    """
    lists = []
    for number, held in enumerate(split_groups(datalist.labeled, num_folds, seed, subject), 1):
        pool = [item for item in datalist.unlabeled if item["group"] not in held]
        labeled = [item for item in datalist.labeled if item["group"] not in held]
        note = f"fold {number} of {num_folds}: the test are labelled cases that this fold's training does not see"
        left_out = len(datalist.unlabeled) - len(pool)
        verb = "is" if left_out == 1 else "are"
        more = [f"{counted(left_out, 'unlabelled image')} of the test's patients {verb} left out"] if left_out else []
        fold = replace(
            datalist,
            labeled=labeled,
            unlabeled=pool,
            test=[item for item in datalist.labeled if item["group"] in held],
            notes=[*datalist.notes, note, *more],
        )
        if missing := without_labels_of(fold):
            fold = replace(fold, notes=[*fold.notes, missing])
        check_datalist(fold, f"fold {number}")
        lists.append(fold)
    return lists
