"""Weights of several networks that predict together: which files are meant, and what their records have in common."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.errors import InputError

ENSEMBLE = "ensemble"
"""The folder in a bundle's ``models/`` that holds the weights of several networks."""
_ENDINGS = (".pt", ".safetensors")  # of twins the first counts
_SHARED = {
    "class_names": "classes",
    "intensity": "intensity rules",
    "working": "a working grid",
    "window": "a window",
    "cleaning": "cleaning rules",
    "label_values": "label values",
    "from_configuration": "settings of the configuration",
}
_RANGES = ("size", "spacing", "field_of_view")


def weight_files(named: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Find the files that a user means by files and folders.

    Args:
        named: a file or folder, or several. Of a folder the ``model.pt`` is meant (a training run), else that of every
            folder in it (``O/3_folds``, with all its folds), else the files of weights in it.

    Returns:
        the files, those of a folder in the order of the numbers in their names.

    Raises:
        InputError: there is none, or a fold is missing.

    Example:
        >>> import tempfile
        >>> folds = Path(tempfile.mkdtemp()) / "2_folds"
        >>> for fold in ("fold_1", "fold_2"):
        ...     (folds / fold).mkdir(parents=True)
        ...     (folds / fold / "model.pt").touch()
        >>> [path.relative_to(folds).as_posix() for path in weight_files(folds)]
        ['fold_1/model.pt', 'fold_2/model.pt']
    """
    places = [Path(place) for place in ([named] if isinstance(named, (str, os.PathLike)) else named)]
    files = [file for place in places for file in ([place] if place.is_file() else _files_in(place))]
    if not files:
        raise InputError("ckpt_path", "names no weights", "give files or folders of weights")
    real = [os.path.realpath(file) for file in files]
    for file, path in zip(files, real, strict=True):
        if real.count(path) > 1:
            raise InputError(file, "is named twice", "name each network once")
    return files


def _files_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise InputError(folder, "no weights file has this path", "give the path of a model.pt, or of a folder of them")
    if (folder / "model.pt").is_file():
        return [folder / "model.pt"]
    if folds := _folds_in(folder):
        return folds
    if runs := sorted(_visible(folder.glob("*/model.pt"), folder), key=_by_number):
        return runs
    by_stem = {file.stem: file for ending in reversed(_ENDINGS) for file in _visible(folder.glob(f"*{ending}"), folder)}
    if not by_stem:
        raise InputError(folder, "holds no weights", "give the folder of a training, or one of several such folders")
    return sorted(by_stem.values(), key=_by_number)


def _folds_in(folder: Path) -> list[Path]:
    """The weights of all folds, and of no copy beside them such as ``fold_1_old``; empty where there is no fold."""
    numbers = [int(path.name[5:]) for path in folder.glob("fold_*/") if re.fullmatch(r"fold_\d+", path.name)]
    match = re.fullmatch(r"(\d+)_folds", folder.name)
    if not numbers and not match:
        return []
    count = int(match[1]) if match else max(numbers)
    runs = [folder / f"fold_{number}" / "model.pt" for number in range(1, count + 1)]
    have = sum(run.is_file() for run in runs)
    if have < count:
        problem = f"has the weights of {have} of {count} folds"
        raise InputError(folder, problem, "train the others first, or name the files that you want")
    return runs


def _visible(paths: Iterable[Path], folder: Path) -> list[Path]:
    return [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def _by_number(path: Path) -> list[Any]:
    """Sorts ``fold_10`` behind ``fold_9``."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [int(part) if part.isdecimal() else part for part in parts]


def common_record(records: Mapping[Path, Mapping[str, Any]]) -> dict[str, Any]:
    """The record of several networks that predict together.

    Args:
        records: of each, by its file.

    Returns:
        that of the first. ``trained_on`` has the widest ranges and ``labelled_images`` all: what any of them has seen.

    Raises:
        InputError: two of them mean different things, in classes, intensity, working grid, window or cleaning; or are
            the same.

    Example:
        >>> first, second = ({"class_names": ["background", name], "trained_on": {}} for name in ("vessel", "lesion"))
        >>> common_record({Path("a.pt"): first, Path("b.pt"): second})
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: b.pt: has other classes than a.pt: name networks that were trained alike
    """
    (path, first), *others = records.items()
    contents = {first.get("content_sha256"): path}
    for other, record in others:
        for key, words in _SHARED.items():
            if key == "window" and not (first.get(key) and record.get(key)):
                continue  # weights of earlier versions do not say
            if _plain(record.get(key)) != _plain(first.get(key)):
                kind = words.removeprefix("a ")
                other_kind = f"another {kind}" if words.startswith("a ") else f"other {kind}"
                raise InputError(other, f"has {other_kind} than {path}", "name networks that were trained alike")
        content = record.get("content_sha256")
        if content is not None and content in contents:
            raise InputError(other, f"holds the same weights as {contents[content]}", "name each network once")
        contents[content] = other
    common = {**first, "trained_on": _widest([record.get("trained_on") or {} for record in records.values()])}
    if window := next((record["window"] for record in records.values() if record.get("window")), None):
        common["window"] = window
    if labelled := {digest for record in records.values() for digest in record.get("labelled_images", ())}:
        common["labelled_images"] = sorted(labelled)
    return common


def _plain(value: Any) -> str:
    """As JSON has it: no tuples; no rules are as good as none given."""
    return json.dumps(value or None, sort_keys=True)


def _widest(facts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    if len(facts) == 1:
        return dict(facts[0])
    known = {key: [one[key] for one in facts if one.get(key)] for key in _RANGES}
    return {
        key: [min(low for low, _ in ranges), max(high for _, high in ranges)] for key, ranges in known.items() if ranges
    }
