"""Datalists: which image is labelled, unlabelled, for validation or for the test, and checks that say so."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_supmix.datalists.draw import patients_known
from monai_supmix.datalists.items import SIDES, Item, prepared, sources
from monai_supmix.datalists.partly import KEY, partly_labelled, with_sidecars
from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory
from monai_supmix.imageio.cases import label_values
from monai_supmix.imageio.hdf5 import is_there
from monai_supmix.listing import below, counted, is_text, read_json, shorten

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
        lines, with_patients = [], patients_known(item for side in SIDES for item in getattr(self, side))
        for name, side in zip(("labelled", "unlabelled", "validation", "test"), SIDES, strict=True):
            items = getattr(self, side)
            line = f"{name} {len(items)}"
            if items and with_patients:
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
        sides = {side: prepared([_read_item(i, path, root) for i in record[side]], names, path) for side in SIDES}
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
            which = counted(len(bare), f"{side} case has", f"{side} cases have")
            raise InputError(subject, f"{which} no label: {shorten(bare)}", "add the label files")
    if unfit := [item["case"] for side in SIDES for item in getattr(datalist, side) if not _is_fit(item["case"])]:
        problem = f"has the case name {unfit[0]!r}, which is no safe name of a file or line of a list"
        remedy = "leave out white space at its ends, line breaks, '..', a leading '/' and what is not UTF-8"
        raise InputError(subject, problem, remedy)
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
    is_line = case == case.strip() and len(case.splitlines()) == 1 and is_text(case)
    return is_line and ".." not in parts and parts[0] != ""


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
