"""Which training images are labelled and which groups are held out: draws that do not move one another.

Groups are put in an order by a number derived from (seed, group). Labelled images come from its front,
validation groups from its end. So a smaller draw is a part of a larger one, and neither adding images nor
holding out groups changes the rest of the order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.listing import counted, normal_form, read_names, shorten
from monai_supmix.randomness import derive_seed


def patients_known(items: Iterable[Mapping[str, Any]]) -> bool:
    """Whether items have other groups than themselves: else each is its own, and nobody knows the patients."""
    return any(item["group"] != item["case"] for item in items)


def counted_groups(items: Collection[Mapping[str, Any]]) -> str:
    """The number of patients of some items, or of the items themselves where patients are not known, in words.

    Example:
        >>> counted_groups([{"case": "1L", "group": "1"}, {"case": "1R", "group": "1"}])
        '1 patient'
        >>> counted_groups([{"case": "a", "group": "a"}, {"case": "b", "group": "b"}])
        '2 cases'
    """
    return counted(len({item["group"] for item in items}), "patient" if patients_known(items) else "case")


def select_labeled(
    items: Sequence[dict[str, Any]],
    num_labeled: int | None = None,
    seed: int = 0,
    subject: object = "datalist",
) -> list[dict[str, Any]]:
    """Draw labelled images over groups: a group gives a second one only when each has given one.

    Args:
        items: candidates; those without ``label`` are never drawn.
        num_labeled: how many; None takes all that have a label.
        seed: seed of the draw.
        subject: what errors are about.

    Returns:
        the drawn items in the order of the draw: the draw of 2 is the beginning of the draw of 5.

    Raises:
        InputError: there are fewer than asked, or `num_labeled` is below 1.

    Example:
        >>> eyes = [{"case": c + e, "group": c, "label": "m.png"} for c in "123" for e in "LR"]
        >>> [len({item["group"] for item in select_labeled(eyes, n)}) for n in (1, 2, 3, 4)]
        [1, 2, 3, 3]
    """
    by_group: dict[str, list[dict[str, Any]]] = {}
    for item in items:
        if "label" in item:
            by_group.setdefault(item["group"], []).append(item)
    available = sum(map(len, by_group.values()))
    if num_labeled is not None and num_labeled < 1:
        raise InputError("num_labeled", f"is {num_labeled}", "give 1 or more, or null for all")
    if num_labeled is not None and num_labeled > available:
        problem = f"{num_labeled} labelled images are asked for and {available} are available for training"
        raise InputError(subject, problem, f"set num_labeled to {available} or less, or label more images")
    rounds: list[tuple[int, int, dict[str, Any]]] = []
    for rank, group in enumerate(order_groups(by_group, seed)):
        shuffled = sorted(by_group[group], key=lambda item: (derive_seed(seed, "labeled", item["case"]), item["case"]))
        rounds += [(turn, rank, item) for turn, item in enumerate(shuffled)]
    rounds.sort(key=lambda entry: entry[:2])
    return [item for _, _, item in rounds][:num_labeled]


def draw_validation_groups(
    items: Sequence[dict[str, Any]], num_groups: int, seed: int = 0, taken: Collection[str] = ()
) -> set[str]:
    """Draw groups to hold out for validation, from the end of the order that labelled images are drawn by.

    Args:
        items: candidates; groups without any ``label`` are never drawn.
        num_groups: how many; 0 holds out none.
        seed: seed of the draw.
        taken: groups that must not be drawn: those of the test, and of labelled cases named one by one.

    Raises:
        InputError: there are fewer groups than asked, or `num_groups` is negative.

    Example:
        >>> eyes = [{"case": c + e, "group": c, "label": "m.png"} for c in "123" for e in "LR"]
        >>> select_labeled(eyes, 1)[0]["group"] in draw_validation_groups(eyes, 2)
        False
    """
    free = [item for item in items if "label" in item and item["group"] not in taken]
    groups = {item["group"] for item in free}
    if not 0 <= num_groups <= len(groups):
        problem = f"is {num_groups}, and {counted_groups(free)} with labels can be held out"
        raise InputError("num_val_patients", problem, f"give a number from 0 to {len(groups)}")
    return set(order_groups(groups, seed)[len(groups) - num_groups :])


def pick_named(
    items: Sequence[dict[str, Any]], names: Sequence[str | int] | str | int, subject: object, need_label: bool = True
) -> list[dict[str, Any]]:
    """Pick the items of the given case names, in the order of the names.

    Args:
        items: all items.
        names: case names in any Unicode form, a single one, or the path of a text file with one name a line; numbers
            are names as well.
        subject: what errors are about: the key or file that holds the names.
        need_label: whether each of them must have a label.

    Raises:
        InputError: no name is given, a name is given twice, is unknown, or its case has no label.

    Example:
        >>> eyes = [{"case": "1", "label": "1.png"}, {"case": "2", "label": "2.png"}]
        >>> [item["label"] for item in pick_named(eyes, 2, "labeled_list")]
        ['2.png']
    """
    by_case = {item["case"]: item for item in items}
    if isinstance(names, (str, int)):
        single = str(names)
        if not Path(single).is_file() and normal_form(single) not in by_case:
            remedy = f"give a text file, or names such as {shorten(list(by_case), 3)}"
            raise InputError(subject, f"{single} is neither a text file nor the name of a case", remedy)
        names = read_names(Path(single)) if Path(single).is_file() else [single]
    wanted = [normal_form(str(name)) for name in names]
    if not wanted:
        raise InputError(subject, "is empty", "name at least one case")
    if repeated := sorted({name for name in wanted if wanted.count(name) > 1}):
        raise InputError(subject, f"names twice: {shorten(repeated)}", "name each case once")
    if unknown := [name for name in wanted if name not in by_case]:
        problem = f"names {counted(len(unknown), 'unknown case')}: {shorten(unknown)}"
        raise InputError(subject, problem, f"use names such as {shorten(list(by_case), 3)}")
    if bare := [name for name in wanted if need_label and "label" not in by_case[name]]:
        raise InputError(subject, f"names cases without a label file: {shorten(bare)}", "add the label files")
    return [by_case[name] for name in wanted]


def order_groups(groups: Collection[str], seed: int) -> list[str]:
    """Put groups in the order of the draw: by a number derived from the seed and the group's own name."""
    return sorted(groups, key=lambda group: (derive_seed(seed, "labeled", "group", group), group))
