"""From a folder to a datalist: its layout, classes, patients and split."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from monai_supmix.datalists.build import build_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.folders import holds_pairs, left_out_of_pairs, pair_files, split_pairs
from monai_supmix.datalists.items import SIDES
from monai_supmix.datalists.left_out import left_out_of
from monai_supmix.datalists.nnunet import nnunet_datalist, read_classes
from monai_supmix.datalists.partly import numbered, refuse_ambiguous_numbers
from monai_supmix.datalists.sides import NO_TEST, group_by_pattern
from monai_supmix.errors import InputError
from monai_supmix.imageio.file_kinds import LABEL_SUFFIXES, SUFFIXES
from monai_supmix.listing import check_folder, counted, find_data_folder, list_files, read_json, shorten
from monai_supmix.naming import safe_name
from monai_supmix.own_data.choice import Choice
from monai_supmix.own_data.classes import Classes, classes_from_values, listed, split_labels
from monai_supmix.own_data.patients import beginnings, guess_patients, suggest_pattern

_REMEDY = "give imagesTr and labelsTr (nnU-Net's layout), or images and labels with files of the same names"

_FEW = 2  # tested cases or patients that are no measurement


@dataclass(frozen=True)
class Found:
    """What a folder holds, judged only by names and label values.

    Args:
        root: the folder of the data.
        layout: its layout in words.
        datalist: all labelled training cases, all unlabelled ones, and the test.
        channel: what dataset.json calls the image's channel, such as ``"CT"``; empty if it does not.
        patients_known: whether it is known which images belong to one patient.
        choices: classes, patients and split.
        warnings: what to look at before training.
    """

    root: Path
    layout: str
    datalist: Datalist
    channel: str
    patients_known: bool
    choices: list[Choice]
    warnings: list[str]


def _what_is_there(folder: Path) -> str:
    """What a folder holds, for who has to lay it out."""
    folders = sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    if "images" in folders and "labels" not in folders and len(folders) > 1:
        return f"there is images, and no labels: is it {shorten([name for name in folders if name != 'images'])}?"
    if not folders:
        return "there is no folder in it"
    return f"there is the folder {folders[0]}" if len(folders) == 1 else f"there are the folders {shorten(folders)}"


def find_cases(
    data: str | Path,
    class_names: Sequence[str] | None = None,
    group_pattern: str | None = None,
    test_list: str | None = None,
    labels: str | None = None,
) -> Found:
    """Make a datalist of a folder in nnU-Net's layout, or of one with ``images/`` and ``labels/``.

    Args:
        data: the folder, or one that holds it as its only such sub-folder.
        class_names: names of the classes, over those of dataset.json.
        group_pattern: regular expression that finds the patient in a case name, over any guess.
        test_list: text file with the names of the test cases, over the layout's own test side; ``"none"`` for no test.
        labels: the label values that are classes, with their names: ``"0=background,5=liver"``, over dataset.json.

    Raises:
        InputError: the layout is not known, something in it contradicts itself, or there are too few labels.
    """
    given = check_folder(data, "give the folder of the data set")
    root = find_data_folder(given, lambda folder: _is_nnunet(folder) or holds_pairs(folder))
    if root is None:
        raise InputError(given, "is not laid out as a data set", f"{_REMEDY} ({_what_is_there(given)})")
    root = root.resolve()
    if _is_nnunet(root) and holds_pairs(root):
        raise InputError(root, "holds both imagesTr and images", "keep one of the layouts")
    record = read_json(root / "dataset.json") if (root / "dataset.json").exists() else {}
    classes = _classes(root, record, class_names, labels)
    names = classes.names
    by_value = classes.by_value() if labels is not None else None
    make = partial(_from_nnunet, by_value) if _is_nnunet(root) else partial(_from_pairs, classes.values)

    given_test = _given_test(root, test_list)
    guess: tuple[str, str] | None = None
    notes: list[str] = []
    if group_pattern is None and "patients" not in record:
        guess, notes = _guess(make(root, record, names, None, test_list, []), fixed=given_test is not None)
    datalist = make(root, record, names, guess[0] if guess else group_pattern, test_list, notes)
    if classes.values is not None:
        datalist = _with_values(datalist, classes.values)

    patients_known = True
    warnings = list(classes.warnings)
    if guess is not None:
        patients, why = f"group_pattern `{guess[0]}`", guess[1]
    elif group_pattern is not None:
        patients, why = f"group_pattern `{group_pattern}`", "as asked for"
    elif "patients" in record:
        patients, why = "as listed", "dataset.json has a table of them"
    else:
        patients_known, patients = False, "each image its own"
        why, alike = _unknown_patients(datalist)
        warnings += alike
    choices = [
        Choice("classes", classes.table(), f"{classes.why}; masks will hold {listed(sorted(classes.by_value()))}"),
        Choice("patients", patients, why),
        _split(datalist, given_test, patients_known),
    ]
    channels = record.get("channel_names") or record.get("modality") or {}
    channel = str(channels.get("0", "")) if isinstance(channels, dict) else ""
    layout = "nnU-Net layout" if _is_nnunet(root) else "images/ and labels/"
    warnings += _few_tested(datalist, patients_known)
    return Found(root, layout, datalist, channel, patients_known, choices, warnings)


def _is_nnunet(folder: Path) -> bool:
    return (folder / "imagesTr").is_dir()


def _classes(root: Path, record: dict[str, Any], given: Sequence[str] | None, labels: str | None) -> Classes:
    """Classes by the first that knows them: the user, dataset.json, the label files."""
    if labels is not None:
        if given is not None:
            raise InputError("--labels", "says what --class_names say as well", "leave one of them out")
        return split_labels(labels)
    listed = None
    if record and ("labels" in record or _is_nnunet(root)):
        listed = _listed_classes(read_classes(record, root / "dataset.json"))
    if given is not None:
        if listed is not None and len(listed.names) != len(given):
            problem = f"names {len(given)} classes, and {root / 'dataset.json'} has {len(listed.names)}"
            raise InputError("--class_names", problem, "give as many, or leave it out")
        return Classes(list(given), "as asked for", None if listed is None else listed.values)
    if listed is not None:
        return listed
    folders, endings = (("labelsTr", "labelsTs"), SUFFIXES) if _is_nnunet(root) else (("labels",), LABEL_SUFFIXES)
    files = [path for name in folders for path in list_files(root / name, endings).values()]
    if not files:
        below = sum(map(_count_below, (root / name for name in folders)))
        images = root / ("imagesTr" if _is_nnunet(root) else "images")
        if not any(not path.name.startswith(".") for path in images.iterdir()):
            raise InputError(images, "is empty", "put the images there, and label some of them")
        problem, remedy = "holds no label file", "label some of the images"
        if below:
            problem, remedy = f"holds label files in sub-folders only ({below})", "put all into one folder"
        elif left_out := [line for name in folders for line in left_out_of(root / name, endings)]:
            problem, remedy = f"holds no label file that is read: {left_out[0]}", "convert them, for example to .png"
        raise InputError(root / folders[0], problem, remedy)
    classes = classes_from_values(files)
    option = "--class_names" if classes.values is None else "--labels"
    return classes._replace(why=f"{classes.why}; {option} gives them other names")


def _listed_classes(by_value: Mapping[int, str]) -> Classes:
    """Classes as dataset.json lists them; values with gaps become a table, as `--labels` gives one."""
    names, values = [safe_name(name) for name in by_value.values()], list(by_value)
    if values == list(range(len(values))):
        return Classes(names, "dataset.json names them")
    return Classes(names, "dataset.json names them", values)


def _with_values(datalist: Datalist, values: Sequence[int]) -> Datalist:
    """Every item says which values the classes have in label files, an unlabelled one as well: a draw may swap them."""
    sides: dict[str, Any] = {side: _valued(getattr(datalist, side), values) for side in SIDES}
    refuse_ambiguous_numbers(item for items in sides.values() for item in items)
    return replace(datalist, **sides)


def _valued(items: Iterable[Mapping[str, Any]], values: Sequence[int]) -> list[dict[str, Any]]:
    text = " ".join(map(str, values))
    return [{**item, "values": text} for item in items]


def _count_below(folder: Path) -> int:
    """Number of image files in the sub-folders of a folder."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    visible = (path for path in files if not any(part.startswith(".") for part in path.parts))
    return sum(1 for path in visible if len(path.parts) > 1 and path.name.lower().endswith(tuple(SUFFIXES)))


def _from_nnunet(
    by_value: Mapping[int, str] | None,
    root: Path,
    record: dict[str, Any],
    names: list[str],
    group_pattern: str | None,
    test_list: str | None,
    notes: list[str],
) -> Datalist:
    datalist = nnunet_datalist(root, names, test_list, group_pattern, classes=by_value, notes=notes)
    return replace(datalist, class_names=names)


def _from_pairs(
    values: Sequence[int] | None,
    root: Path,
    record: dict[str, Any],
    names: list[str],
    group_pattern: str | None,
    test_list: str | None,
    notes: list[str],
) -> Datalist:
    items = pair_files(root)
    if values is not None:
        items = _valued(items, values)
        refuse_ambiguous_numbers(items)
    items = numbered(items, names, root)
    notes = [*notes, *left_out_of_pairs(root), *group_by_pattern(items, group_pattern, record.get("patients"))]
    train, test, more = split_pairs(items, root, test_list)
    return build_datalist(train, test, names, root, notes=[*notes, *more])


def _guess(datalist: Datalist, fixed: bool) -> tuple[tuple[str, str] | None, list[str]]:
    """Patients by the names of cases, with a note; a guess never overrides a given split."""
    guess = guess_patients([item["case"] for side in SIDES for item in getattr(datalist, side)])
    if guess is None:
        return None, []
    pattern, reason = guess
    train, test = (
        {match.group(1).casefold() for item in items if (match := re.search(pattern, item["case"]))}
        for items in ([*datalist.labeled, *datalist.unlabeled], datalist.test)
    )
    if fixed and (both := sorted(train & test)):
        problem = f"{reason}, as if {counted(len(both), 'patient')} were on both sides of the split: {shorten(both)}"
        return None, [f"{problem}; if they are, the test figures are too good"]
    return guess, [f"patients are taken from the names: {reason}"]


def _unknown_patients(datalist: Datalist) -> tuple[str, list[str]]:
    """Why each image is its own patient, and a warning where names that begin alike are on both sides of the split."""
    train, test = (
        beginnings([item["case"] for item in items])
        for items in ([*datalist.labeled, *datalist.unlabeled], datalist.test)
    )
    pattern = suggest_pattern([*train, *test])
    if pattern is None:
        return "nothing distinguishes them: if one patient has several images, give --group_pattern", []
    remedy = f"give --group_pattern '{pattern}'"
    why = (
        f"names begin alike ({shorten(_shared([*train.values(), *test.values()]), 3)}): if these are patients, {remedy}"
    )
    if not (both := sorted({*train.values()} & {*test.values()})):
        return why, []
    cases = [next(case for case, begin in side.items() if begin == both[0]) for side in (train, test)]
    problem = f"names that begin alike ({shorten(both, 3)}) are on both sides of the split, such as {shorten(cases, 2)}"
    return why, [f"{problem}: if these are patients, the test figures will be too good: {remedy}"]


def _few_tested(datalist: Datalist, patients_known: bool) -> list[str]:
    """A warning where so few are tested that their figures say little about others."""
    number = len({item["group"] for item in datalist.test})
    if not 0 < number <= _FEW:
        return []
    tested = counted(number, "patient" if patients_known else "case")
    problem = f"the test is {tested}: its figures are an example, no measurement"
    return [f"{problem}; label more, or train on all labels with --test_list none"]


def _shared(groups: Sequence[str]) -> list[str]:
    """Those that occur twice or more, in their order."""
    return [group for group, count in Counter(groups).items() if count > 1]


def _given_test(root: Path, test_list: str | None) -> str | None:
    """What says which cases are the test; ``None`` if nothing does and they are drawn."""
    if test_list == NO_TEST:
        return "as asked for: all labels are trained on, and nothing measures the result"
    if test_list is not None:
        return f"{test_list} names the test cases"
    if _is_nnunet(root):
        return "labelsTs is the test" if list_files(root / "labelsTs", SUFFIXES) else None
    lists = [*root.glob("train*.txt"), *root.glob("test*.txt")]
    return f"as {' and '.join(path.name for path in lists)} say" if lists else None


def _split(datalist: Datalist, given_test: str | None, patients_known: bool) -> Choice:
    sides = {"labelled": datalist.labeled, "unlabelled": datalist.unlabeled, "test": datalist.test}
    value = ", ".join(f"{len(items)} {side}" for side, items in sides.items())
    of = "patients" if patients_known else "cases"
    drawn = f"no test set is there: a fifth of the labelled {of} is drawn for it, always the same"
    return Choice("split", value, given_test or drawn)
