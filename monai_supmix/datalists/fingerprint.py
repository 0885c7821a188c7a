"""The files that a training sees, in a few words each: name, size and content."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.files import sha256
from monai_supmix.imageio.parts import files_of_image

_FILES = ("image", "label")


def fingerprint(datalist: Datalist) -> dict[str, Any]:
    """Say what is trained on, so that another run can tell whether its data are the same.

    Where the files lie does not count. Cases of validation and test are not trained on and not looked at.

    Args:
        datalist: the list that is trained on.

    Returns:
        plain values: the cases of the ``labeled`` and of the ``unlabeled`` side in their order, and under ``files``
        for each case name, size and content of its ``image`` and ``label``, and what else its item says.

    Raises:
        InputError: a file cannot be read.

    Example:
        >>> item = {"image": __file__, "case": "a", "group": "a"}
        >>> data = fingerprint(Datalist([], [item], [], [], ["background", "vessel"]))
        >>> data["unlabeled"], data["files"]["a"]["image"].split(" (")[0]
        (['a'], 'fingerprint.py')
    """
    content = lru_cache(maxsize=None)(_content)  # many slices share one file
    files: dict[str, dict[str, Any]] = {}
    for item in (*datalist.labeled, *datalist.unlabeled):
        facts: dict[str, Any] = {key: content(item[key]) for key in _FILES if key in item}
        facts |= {key: value for key, value in item.items() if key not in (*_FILES, "case", "group")}
        files[item["case"]] = files.get(item["case"], {}) | facts
    sides = {side: [item["case"] for item in getattr(datalist, side)] for side in ("labeled", "unlabeled")}
    return {**sides, "files": files}


def content_sha256(path: Path) -> str:
    """SHA-256 of an image's file, or of all files that it consists of; those of a folder count in any order."""
    digests = [sha256(part) for part in _parts(path)]
    if path.is_dir():
        digests.sort()
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def _content(name: str) -> str:
    path = Path(name)
    size = sum(part.stat().st_size for part in _parts(path))
    return f"{path.name} ({size} bytes, SHA-256 {content_sha256(path)[:32]})"


def _parts(path: Path) -> list[Path]:
    """All files that an image consists of, the named one first."""
    if path.is_dir():  # a DICOM series
        return sorted(file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
    return files_of_image(path)
