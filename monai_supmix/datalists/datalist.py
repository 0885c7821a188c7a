"""Datalists: which image is labelled, unlabelled, for validation or for the test, and checks that say so.

An *item* is a dictionary of plain strings and integers:

* ``image``: path of the image; ``label``: path of its label map, absent when the image is used without one;
* ``case``: its unique name; ``group``: the patient (the unit that must never be on two sides);
* ``slice``: index along the last axis, only when one file holds many independent images;
* ``turns`` and ``mirror``: what brings a picture to the usual view, see `monai_supmix.imageio.usual_view`;
* ``grey``: 1 for a picture that was saved in colour with three equal channels and is read as grey;
* ``values``: the value that each class has in the label file, where these are not 0, 1, 2, ...: ``"0 3 205"``;
* ``labelled_classes``: the classes that were labelled in this case, where others were not: a list of numbers, in files
  of names, too; or what the file beside the label map says when the list is read. Pixels of the others carry the label
  of the background, see `monai_supmix.imageio.partly`;
* ``label_of_slice``: 1 where the label file is of this ``slice`` alone, as a predicted one is;
* ``ignored``: the value of pixels of the label file that are to be ignored, which become 255;
* ``class_names``: the names by which segments of a DICOM label are recognised, only where the label is one.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from monai_supmix.datalists.draw import draw_validation_groups, patients_known, pick_named, select_labeled
from monai_supmix.datalists.partly import KEY, numbered, partly_labelled, with_sidecars
from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory
from monai_supmix.imageio.cases import label_values
from monai_supmix.imageio.hdf5 import is_there
from monai_supmix.imageio.labels import is_dicom_file
from monai_supmix.listing import below, counted, read_json, shorten

Item: TypeAlias = dict[str, Any]
SIDES = ("labeled", "unlabeled", "validation", "test")
_FILES = ("image", "label")
_REMEDY = "write it with scripts/prepare_data.py"


@dataclass(frozen=True)
class Datalist:
    r"""The four sides of an experiment.

    Args:
        labeled: training items with ``label``.
        unlabeled: training items without ``label``.
        validation: items with ``label`` held out of training, may be empty.
        test: items with ``label`` never seen in training.
        class_names: names of the classes, index = label value.
        notes: what a reader of any figure made with this list must know.
        shared_groups: groups that a published split knowingly puts on two sides; `notes` names them too.
        hidden_labels: label files that the data set happens to have of unlabelled cases, by case. No item names them,
            so that no stream of training can; a monitor of pseudo-labels may look, by
            `monai_supmix.data.hidden_truth`. What is trained does not depend on them: they count for no comparison.

    Example:
        >>> names = ("1L", "2L", "3L")
        >>> items = [{"image": f"{n}.jpg", "label": f"{n}.png", "case": n, "group": n[0]} for n in names]
        >>> datalist = Datalist(items[:1], [], [], items[1:], ["background", "vessel"])
        >>> print(*datalist.describe(), sep="\n")
        labelled 1 (1 patient): 1L
        unlabelled 0
        validation 0
        test 2 (2 patients)
        classes: background, vessel
    """

    labeled: list[Item]
    unlabeled: list[Item]
    validation: list[Item]
    test: list[Item]
    class_names: list[str]
    notes: list[str] = field(default_factory=list)
    shared_groups: list[str] = field(default_factory=list)
    hidden_labels: dict[str, str] = field(default_factory=dict, compare=False)

    def describe(self) -> list[str]:
        """Say in a few lines what the list holds: counts, patients if known, labelled cases, classes and notes."""
        lines, known = [], patients_known(item for side in SIDES for item in getattr(self, side))
        for name, side in zip(("labelled", "unlabelled", "validation", "test"), SIDES, strict=True):
            items = getattr(self, side)
            line = f"{name} {len(items)}"
            if items and known:
                line += f" ({counted(len({item['group'] for item in items}), 'patient')})"
            if side == "labeled" and items:
                line += ": " + shorten(sorted(item["case"] for item in items), 12)
            if side == "unlabeled" and (again := len(sources(items) & sources(self.labeled))):
                line += f"; {again} of them are labelled cases without their labels"
            partly = "" if side == "unlabeled" else partly_labelled(items, self.class_names)
            lines.append(f"{line}; {partly}" if partly else line)
        return [*lines, f"classes: {', '.join(self.class_names)}", *(f"note: {note}" for note in self.notes)]

    def label_values(self) -> list[int] | None:
        """The value that each class has in the label files; ``None`` where these are 0, 1, 2, ... ."""
        values = next((item["values"] for item in self.labeled if "values" in item), None)
        return None if values is None else label_values(values)

    def to_json(self, path: str | Path, folder: str | Path | None = None) -> None:
        """Write the list; files below a folder are written relative to it, others absolute.

        Args:
            path: the JSON file.
            folder: the folder that paths are relative to, which `from_json` must then be told; by default the
                JSON file's own.

        Raises:
            InputError: the file cannot be written.
        """
        path = Path(path)
        folder = path.parent if folder is None else Path(folder)
        record: dict[str, Any] = {
            "class_names": self.class_names,
            "notes": self.notes,
            "shared_groups": self.shared_groups,
        }
        for side in SIDES:
            record[side] = [
                {key: _relative(value, folder) if key in _FILES else value for key, value in item.items()}
                for item in getattr(self, side)
            ]
        record["hidden_labels"] = {case: _relative(label, folder) for case, label in self.hidden_labels.items()}
        make_directory(path.parent)
        with atomic_write(path, text=True) as file:
            file.write(json.dumps(record, indent=1) + "\n")

    @classmethod
    def from_json(cls, path: str | Path, folder: str | Path | None = None) -> Datalist:
        """Read and check a list written by `to_json` or by hand.

        Args:
            path: the JSON file.
            folder: the folder that its paths are relative to; by default the JSON file's own.

        Raises:
            InputError: the file is missing, is not JSON, lacks a key, names a missing file, or fails
                `check_datalist`; or the file beside a label map names other ``labelled_classes``.
        """
        path = Path(path)
        record = read_json(path)
        for key in (*SIDES, "class_names"):
            if not isinstance(record.get(key), list):
                raise InputError(path, f"has no list {key!r}", _REMEDY)
        root = path.resolve().parent if folder is None else Path(folder)
        names = record["class_names"]
        sides = {side: _prepared([_read_item(i, path, root) for i in record[side]], names, path) for side in SIDES}
        sides = {side: items if side == "unlabeled" else with_sidecars(items, names) for side, items in sides.items()}
        items = (item for side in SIDES for item in sides[side])
        named = {item[key] for item in items for key in _FILES if key in item}
        missing = sorted(name for name in named if not is_there(Path(name)))
        if missing:
            remedy = "fix the paths" if folder is None else "set dataset_dir to the folder of the data"
            raise InputError(path, f"names {len(missing)} missing files: {shorten(missing)}", remedy)
        datalist = cls(
            **sides,
            class_names=names,
            notes=list(record.get("notes", [])),
            shared_groups=list(record.get("shared_groups", [])),
            hidden_labels=_read_hidden_labels(record.get("hidden_labels", {}), names, path, root),
        )
        check_datalist(datalist, path)
        return datalist


def build_datalist(
    train: Sequence[Item],
    test: Sequence[Item],
    class_names: Sequence[str],
    subject: object,
    *,
    num_labeled: int | None = None,
    labeled_seed: int | None = 0,
    labeled_list: Sequence[str] | str | None = None,
    num_val_patients: int = 0,
    validation_pool: Sequence[Item] | None = None,
    unlabeled_pool: str = "rest",
    notes: Iterable[str] = (),
    shared_groups: Iterable[str] = (),
) -> Datalist:
    """Draw the labelled and the validation images of a split and check the result.

    Args:
        train: items of the training side; those without ``label`` can only be unlabelled.
        test: items of the test side, all with ``label``.
        class_names: names of the classes, index = label value.
        subject: what errors are about, normally the data folder.
        num_labeled: number of labelled images, drawn over different groups first; None takes all.
        labeled_seed: seed of the draws; None is refused. With one seed a smaller draw is a part of a larger one.
        labeled_list: names of the labelled cases instead of a draw; a string is a name, or a text file with
            one name a line.
        num_val_patients: number of groups held out for validation, with all their images.
        validation_pool: items that the split itself sets aside; validation groups come from here if given,
            otherwise from `train`.
        unlabeled_pool: ``"rest"``: training images that are not labelled; ``"all"``: the labelled ones too,
            without their labels.
        notes: see `Datalist`.
        shared_groups: see `Datalist`.

    Raises:
        InputError: too few images or groups, unknown names, or a list that fails `check_datalist`.
    """
    if labeled_seed is None:
        raise InputError("labeled_seed", "is null, and no list of labelled cases is published", "give a whole number")
    if unlabeled_pool not in ("rest", "all"):
        raise InputError("unlabeled_pool", f"is {unlabeled_pool!r}", "use 'rest' or 'all'")
    notes = list(notes)
    train, test = _prepared(train, class_names, subject), _prepared(test, class_names, subject)
    source = train if validation_pool is None else _prepared(validation_pool, class_names, subject)
    chosen = () if labeled_list is None else pick_named(train, labeled_list, "labeled_list")
    taken = {item["group"] for item in (*test, *chosen)}
    val_groups = draw_validation_groups(source, num_val_patients, labeled_seed, taken)
    validation = [item for item in source if item["group"] in val_groups and "label" in item]
    kept = [item for item in train if item["group"] not in val_groups]
    unused = len(train) - len(kept) - len(validation)
    if validation_pool is None and unused > 0:
        notes.append(f"{unused} images without a label belong to validation patients and are left out")
    labeled = list(chosen) or select_labeled(kept, num_labeled, labeled_seed, subject=subject)
    if labeled_list is not None and num_labeled is not None and num_labeled != len(labeled):
        notes.append(f"labeled_list names {len(labeled)} cases, which overrides num_labeled={num_labeled}")
    drawn = {item["case"] for item in labeled}
    unlabeled = [without_label(item) for item in kept if unlabeled_pool == "all" or item["case"] not in drawn]
    whole = [item for item in kept if "label" in item and KEY not in item and "ignored" not in item]
    hidden = {item["case"]: item["label"] for item in whole if item["case"] not in drawn}
    datalist = Datalist(
        labeled, unlabeled, validation, list(test), list(class_names), notes, sorted(shared_groups), hidden
    )
    check_datalist(datalist, subject)
    return datalist


def _prepared(items: Iterable[Item], class_names: Sequence[str], subject: object) -> list[Item]:
    """Items that say of classes what reading their labels takes."""
    return [with_segment_names(item, class_names) for item in numbered(items, class_names, subject)]


def without_label(item: Item) -> Item:
    """An item as it stands in the unlabelled pool.

    Example:
        >>> without_label({"image": "a.png", "label": "a_mask.png", "case": "a", "labelled_classes": [2]})
        {'image': 'a.png', 'case': 'a'}
    """
    return {key: value for key, value in item.items() if key not in ("label", "label_of_slice", KEY)}


def with_segment_names(item: Item, class_names: Sequence[str]) -> Item:
    """An item that knows, if its label is DICOM, the names by which segments are classes.

    Example:
        >>> with_segment_names({"image": "a.png", "label": "a_mask.png", "case": "a"}, ["background", "vessel"])
        {'image': 'a.png', 'label': 'a_mask.png', 'case': 'a'}
    """
    if "label" not in item or not is_dicom_file(Path(item["label"])):
        return item
    return {**item, "class_names": list(class_names)}


def check_datalist(datalist: Datalist, subject: object) -> None:
    """Raise `InputError` unless every case and every group is on one side only, and cases have names fit for files.

    Args:
        datalist: what to check. A labelled image may be among the unlabelled too (``unlabeled_pool="all"``).
        subject: what errors are about.
    """
    if not datalist.labeled:
        raise InputError(subject, "no labelled image", "label at least one image of the training side")
    if not all(datalist.class_names) or len(set(datalist.class_names)) < max(2, len(datalist.class_names)):
        raise InputError(subject, f"class names are {datalist.class_names}", "give two or more different names")
    for side in ("labeled", "validation", "test"):
        bare = [item["case"] for item in getattr(datalist, side) if "label" not in item]
        if bare:
            raise InputError(subject, f"{len(bare)} {side} cases have no label: {shorten(bare)}", "add the label files")
    if unfit := [item["case"] for side in SIDES for item in getattr(datalist, side) if not _is_fit(item["case"])]:
        problem = f"has the case name {unfit[0]!r}, which is no safe name of a file or line of a list"
        raise InputError(subject, problem, "leave out white space at its ends, line breaks, '..' and a leading '/'")
    _check_cases_once(datalist, subject)
    _check_groups_apart(datalist, subject)


def _check_cases_once(datalist: Datalist, subject: object) -> None:
    """Raise `InputError` for a case, or a file, that is there twice."""
    whole = {"train": datalist.labeled, "validation": datalist.validation, "test": datalist.test}
    whole["unlabeled"] = datalist.unlabeled
    seen_case: dict[str, tuple[str, str]] = {}
    seen_file: dict[tuple[str, int | None], tuple[str, str]] = {}
    for side, items in whole.items():
        for item in items:
            place = (side, item["case"])
            source = (item["image"], item.get("slice"))
            for earlier in (seen_case.get(item["case"]), seen_file.get(source)):
                # unlabeled_pool="all": the very same item, once with and once without its label
                if earlier is None or (earlier == ("train", item["case"]) and side == "unlabeled"):
                    continue
                pair = f"{item['case']} ({side}) and {earlier[1]} ({earlier[0]})"
                raise InputError(subject, f"{pair} are the same case or the same file", "keep one of them")
            seen_case[item["case"]] = seen_file[source] = place


def _check_groups_apart(datalist: Datalist, subject: object) -> None:
    """Raise `InputError` for groups on two sides, unless a published split has them there."""
    train = {item["group"] for item in (*datalist.labeled, *datalist.unlabeled)}
    validation = {item["group"] for item in datalist.validation}
    test = {item["group"] for item in datalist.test}
    shared = ((train & test) | (train & validation) | (validation & test)) - set(datalist.shared_groups)
    if shared:
        number = counted(len(shared), "patient is", "patients are")
        problem = f"{number} on two sides of the split: {shorten(sorted(shared))}"
        raise InputError(subject, problem, "put all images of a patient on one side")


def _is_fit(case: str) -> bool:
    """Whether a case's name stays below a folder as a file, and what it is as a line of a text file."""
    parts = re.split(r"[/\\]", case)
    return case == case.strip() and len(case.splitlines()) == 1 and ".." not in parts and parts[0] != ""


def require_unlabeled(datalist: Datalist, method: str = "this method") -> None:
    """Raise `InputError` when a semi-supervised method is left without unlabelled images.

    Args:
        datalist: the list to train on.
        method: its name, for the message.

    Example:
        >>> require_unlabeled(Datalist([], [], [], [], ["background", "vessel"]), "SupMix")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: datalist: SupMix needs unlabelled images and there are none: ...
    """
    if not datalist.unlabeled:
        remedy = "lower num_labeled, add images without labels, set unlabeled_pool to 'all', or train supervised"
        raise InputError("datalist", f"{method} needs unlabelled images and there are none", remedy)


def fixed_datalist(
    path: str | Path, num_labeled: int | None, labeled_list: Sequence[str] | str | None, num_val_patients: int
) -> Datalist:
    """Read a datalist JSON given in place of a data folder; its draw stands, and other wishes must agree.

    Raises:
        InputError: the file is wrong, or `num_labeled`, `labeled_list` or `num_val_patients` ask for another
            draw.
    """
    datalist = Datalist.from_json(path)
    remedy = "leave the draw to the file, or give the data folder instead"
    if num_labeled is not None and num_labeled != len(datalist.labeled):
        problem = f"is {num_labeled}, but {path} holds {len(datalist.labeled)} labelled images"
        raise InputError("num_labeled", problem, f"set it to {len(datalist.labeled)}, or give the data folder instead")
    if labeled_list is not None:
        raise InputError("labeled_list", f"is given, but {path} has its own labelled images", remedy)
    if num_val_patients not in (0, len({item["group"] for item in datalist.validation})):
        raise InputError("num_val_patients", f"is {num_val_patients}, but {path} has its own validation", remedy)
    return datalist


def sources(items: Iterable[Mapping[str, Any]]) -> set[tuple[str, int | None]]:
    """The images of items, each once: a labelled one may be in the unlabelled pool as well, without its label.

    Example:
        >>> len(sources([{"image": "a.nii", "label": "m.nii"}, {"image": "a.nii"}, {"image": "a.h5", "slice": 0}]))
        2
    """
    return {(item["image"], item.get("slice")) for item in items}


def _relative(name: str, folder: Path) -> str:
    """Write a path relative to `folder` when it lies below it, so that the folder can be moved as a whole.

    A link below the folder counts as what it is called there, not as where it leads.
    """
    path, below = Path(os.path.abspath(name)), Path(os.path.abspath(folder))  # noqa: PTH100  # links stay
    if not path.is_relative_to(below):
        path, below = path.resolve(), below.resolve()
    return path.relative_to(below).as_posix() if path.is_relative_to(below) else str(path)


def _read_item(item: object, subject: Path, folder: Path) -> Item:
    """Check one item of a datalist file and make its paths absolute."""
    if not isinstance(item, dict) or not all(isinstance(item.get(key), str) for key in ("image", "case", "group")):
        raise InputError(subject, f"an item lacks one of the strings image, case, group: {item}", _REMEDY)
    kinds: dict[str, type] = dict.fromkeys(("slice", "label_of_slice", "turns", "mirror", "grey", "ignored"), int)
    kinds |= {KEY: list, "class_names": list}
    for key, value in item.items():
        if not isinstance(value, kinds.get(key, str)):
            raise InputError(subject, f"{item['case']} has {key}={value!r}", _REMEDY)
    return {key: str(below(folder, value)) if key in _FILES else value for key, value in item.items()}


def _read_hidden_labels(labels: object, class_names: Sequence[str], subject: Path, folder: Path) -> dict[str, str]:
    """Check the table of hidden labels in a datalist file, less those partly labelled; the files need not exist."""
    if not isinstance(labels, Mapping) or not all(isinstance(label, str) for label in labels.values()):
        raise InputError(subject, "its 'hidden_labels' is not a table of case and label file", _REMEDY)
    items = [{"case": case, "label": str(below(folder, label))} for case, label in labels.items()]
    return {item["case"]: item["label"] for item in with_sidecars(items, class_names) if KEY not in item}
