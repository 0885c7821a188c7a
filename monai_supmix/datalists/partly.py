"""Partly labelled cases of a datalist: which classes were labelled in them, by name or number, and what to tell."""

from __future__ import annotations

import difflib
import glob
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.listing import normal_form, read_json, shorten, stem_of, visible_files
from monai_supmix.naming import casefolded

KEY = "labelled_classes"
"""Of an item, and of the file beside a label map: the classes that were labelled; without it all were."""


def sidecar_of(label: Path) -> Path:
    """The file beside a label map that may say which classes were labelled in it.

    Example:
        >>> sidecar_of(Path("labels/a.nii.gz")).name
        'a.json'
    """
    return label.with_name(stem_of(label.name) + ".json")


def has_mask(path: Path) -> bool:
    """Whether a file is the `sidecar_of` another one.

    Example:
        >>> has_mask(Path("labels/a.json"))
        False
    """
    if path.suffix != ".json":
        return False
    return any(sidecar_of(other) == path and other != path for other in path.parent.glob(f"{glob.escape(path.stem)}.*"))


def read_sidecar(label: Path) -> dict[str, Any]:
    """What the file beside a label map adds to its item: nothing where there is none, or it is about other things.

    Raises:
        InputError: the file is no JSON object, or its key is misspelt.
    """
    path = sidecar_of(label)
    try:
        record = read_json(path) if path.is_file() else {}
    except InputError as error:
        problem = f"{error.problem}, and a file of this name says which classes were labelled in {label.name}"
        raise InputError(path, problem, f'write {{"{KEY}": ["NAME", ...]}}, or give the file another name') from error
    if KEY in record:
        return {KEY: record[KEY]}
    if alike := difflib.get_close_matches(KEY, record, n=1, cutoff=0.65):  # `label_values` of a prediction is no such
        raise InputError(path, f"has the key {alike[0]!r}", f"write {KEY!r}")
    return {}


def refuse_orphan_sidecars(folder: Path, labels: Mapping[str, Path]) -> None:
    """Raise `InputError` for a file that says which classes were labelled and belongs to no label map.

    The case that it was meant for would pass for a fully labelled one.

    Args:
        folder: a folder of labels.
        labels: by name, the label maps in it.
    """
    for path in visible_files(folder):
        if path.suffix.lower() != ".json" or has_mask(path) or not _tells_classes(path):
            continue
        bare = [stem for stem, label in labels.items() if not sidecar_of(label).exists()]
        like = difflib.get_close_matches(normal_form(path.stem), bare, n=1, cutoff=0.5)
        such = f", such as {like[0]}.json" if like else ""
        remedy = f"give it the name of the label file that it is about{such}, or remove it"
        raise InputError(path, f"tells {KEY}, and no label file has this name", remedy)


def _tells_classes(path: Path) -> bool:
    """Whether a file has the key, or a misspelt one; one that is no JSON object is about other things."""
    try:
        return bool(difflib.get_close_matches(KEY, read_json(path), n=1, cutoff=0.65))
    except InputError:
        return False


def numbered(items: Iterable[Mapping[str, Any]], class_names: Sequence[str], subject: object) -> list[dict[str, Any]]:
    """Items whose labelled classes are numbers, in order; where all classes are labelled nothing is said of them.

    Args:
        items: items of a datalist; ``labelled_classes`` is a list of names or numbers. The background need not be
            among them.
        class_names: names of the classes, index = number.
        subject: what errors are about.

    Raises:
        InputError: an unknown class, or no class at all.

    Example:
        >>> item = {"case": "a", "label": "a.png", "labelled_classes": ["cup"]}
        >>> numbered([item], ["background", "disc", "cup"], "list.json")[0]["labelled_classes"]
        [2]
        >>> numbered([{**item, "labelled_classes": ["left cup"]}], ["background", "disc", "left_cup"], "list.json")
        [{'case': 'a', 'label': 'a.png', 'labelled_classes': [2]}]
        >>> numbered([{**item, "labelled_classes": ["cap"]}], ["background", "disc", "cup"], "list.json")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: list.json: a lists the labelled class 'cap', which is no class: use ...
    """
    return [_numbered(dict(item), class_names, subject) if KEY in item else dict(item) for item in items]


def _numbered(item: dict[str, Any], class_names: Sequence[str], subject: object) -> dict[str, Any]:
    listed = item.pop(KEY)
    if "label" not in item:
        return item
    if not isinstance(listed, list):
        problem = f"{item['case']} has {KEY}={listed!r}, which is no list"
        raise InputError(subject, problem, _what_to_list(item, class_names))
    numbers = set()
    for entry in listed:
        number = _number_of(entry, class_names)
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < len(class_names):
            problem = f"{item['case']} lists the labelled class {entry!r}, which is no class"
            raise InputError(subject, problem, _what_to_list(item, class_names))
        numbers.add(number)
    numbers.discard(0)
    if not numbers:
        raise InputError(subject, f"{item['case']} has no labelled class", "name one, or leave out its label")
    return item if len(numbers) == len(class_names) - 1 else {**item, KEY: sorted(numbers)}


def _number_of(entry: Any, class_names: Sequence[str]) -> Any:
    """The number of a class, by its name, in the spelling of the label files' makers or in that of a bundle."""
    if not isinstance(entry, str) or entry in class_names:
        return class_names.index(entry) if entry in class_names else entry
    alike = [number for number, name in enumerate(class_names) if casefolded(name) == casefolded(entry)]
    return alike[0] if len(alike) == 1 else entry


def _what_to_list(item: Mapping[str, Any], class_names: Sequence[str]) -> str:
    """What may be listed; classes that only have the names of their values can be given better ones."""
    use = f"use {shorten([str(name) for name in class_names[1:]], 8)}"
    values = str(item.get("values", " ".join(map(str, range(len(class_names)))))).split()
    if not _values_have_gaps(item):
        use = f"{use}, or numbers from 1 to {len(class_names) - 1}"
    if len(class_names) < 2 or list(class_names[1:]) != [f"label_{value}" for value in values[1:]]:
        return use
    return f"{use}; or name the classes when a bundle is made (labels {values[0]}=background,{values[1]}=NAME,...)"


def with_sidecars(items: Iterable[Mapping[str, Any]], class_names: Sequence[str]) -> list[dict[str, Any]]:
    """Items of a list that was written some time ago, with what the files beside their label maps say by now.

    Args:
        items: items with labelled classes by number.
        class_names: names of the classes, index = number.

    Raises:
        InputError: an item and its file contradict each other, or the file is as no `read_sidecar` is.

    Example:
        >>> import tempfile
        >>> label = Path(tempfile.mkdtemp(), "a.png")
        >>> _ = sidecar_of(label).write_text('{"labelled_classes": ["cup"]}', encoding="utf-8")
        >>> with_sidecars([{"case": "a", "label": str(label)}], ["background", "disc", "cup"])[0]["labelled_classes"]
        [2]
    """
    return [_with_sidecar(dict(item), class_names) for item in items]


def _with_sidecar(item: dict[str, Any], class_names: Sequence[str]) -> dict[str, Any]:
    said = read_sidecar(Path(item["label"])) if "label" in item else {}
    if KEY not in said:
        return item
    refuse_ambiguous_numbers([item])
    place = sidecar_of(Path(item["label"]))
    (now,) = numbered([{**item, **said}], class_names, place)
    if KEY in item and item[KEY] != now.get(KEY):
        listed = shorten([class_names[number] for number in item[KEY]], 8)
        remedy = "make them agree, or write the datalist again"
        raise InputError(place, f"names other {KEY} than the datalist, which has {listed}", remedy)
    return now


def refuse_ambiguous_numbers(items: Iterable[Mapping[str, Any]]) -> None:
    """Raise `InputError` where a file beside a label map lists numbers, and the values of classes have gaps.

    A number could then be meant as a value or as the place in the list of classes, and both may exist.

    Args:
        items: items of a datalist with ``values``.
    """
    for item in items:
        if "label" not in item or not _values_have_gaps(item):
            continue
        label = Path(item["label"])
        listed = read_sidecar(label).get(KEY)
        numbers = [entry for entry in listed if isinstance(entry, int)] if isinstance(listed, list) else []
        if numbers:
            values = f"the values of the classes in label files ({item['values']})"
            problem = f"lists the number {numbers[0]}, and {values} have gaps"
            raise InputError(sidecar_of(label), problem, "list names of classes instead of numbers")


def _values_have_gaps(item: Mapping[str, Any]) -> bool:
    """Whether the values of the classes in label files are others than 0, 1, 2, ... ."""
    values = item.get("values")
    return values is not None and values != " ".join(map(str, range(len(values.split()))))


def classes_without_labels(labeled: Iterable[Mapping[str, Any]], class_names: Sequence[str]) -> list[str]:
    """Names of the classes that were labelled in none of some cases.

    Args:
        labeled: labelled items, with labelled classes by number.
        class_names: names of the classes, index = number.

    Example:
        >>> items, names = [{"case": "a", "labelled_classes": [1]}, {"case": "b"}], ["background", "disc", "cup"]
        >>> classes_without_labels(items[:1], names), classes_without_labels(items, names)
        (['cup'], [])
    """
    every = range(1, len(class_names))
    labelled = {number for item in labeled for number in item.get(KEY, every)}
    return [class_names[number] for number in every if number not in labelled]


def refuse_unlearnable(labeled: Iterable[Mapping[str, Any]], class_names: Sequence[str], subject: object) -> None:
    """Raise `InputError` for a class that was labelled in no training case.

    Background may be such a class in every case then, so that a network learns nothing that tells the two apart, and
    its masks would show the class anywhere.

    Args:
        labeled: the labelled training items, with labelled classes by number.
        class_names: names of the classes, index = number.
        subject: what the error is about.

    Example:
        >>> refuse_unlearnable([{"case": "a", "labelled_classes": [1]}], ["background", "disc", "cup"], "DATA")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: DATA: no training case has labels of cup, and nothing else tells it from the ...
    """
    if missing := classes_without_labels(labeled, class_names):
        it = "it" if len(missing) == 1 else "them"
        problem = f"no training case has labels of {shorten(missing)}, and nothing else tells {it} from the background"
        remedy = (
            f"train on a case where {it} {'was' if it == 'it' else 'were'} labelled, or remove {it} from the classes"
        )
        raise InputError(subject, problem, remedy)


def partly_labelled(items: Iterable[Mapping[str, Any]], class_names: Sequence[str]) -> str:
    """Say how many cases lack which class.

    Args:
        items: items with labelled classes by number.
        class_names: names of the classes, index = number.

    Returns:
        a few words, empty where all are labelled.

    Example:
        >>> items = [{"case": "a", "labelled_classes": [1]}, {"case": "b"}, {"case": "c"}]
        >>> partly_labelled(items, ["background", "disc", "cup"])
        '1 of 3 partly labelled: 1 lacks cup'
    """
    items = list(items)
    partly = [item[KEY] for item in items if KEY in item]
    lacking = Counter(number for labelled in partly for number in range(1, len(class_names)) if number not in labelled)
    by_class = [f"{count} {'lacks' if count == 1 else 'lack'} {class_names[c]}" for c, count in sorted(lacking.items())]
    return f"{len(partly)} of {len(items)} partly labelled: {', '.join(by_class)}" if partly else ""
