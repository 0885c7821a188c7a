"""A datalist from what another program names: its labelled files; images beside them are the pool."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.datalists.datalist import Datalist, check_datalist
from monai_supmix.datalists.items import prepared
from monai_supmix.errors import InputError
from monai_supmix.imageio.file_kinds import suffix_of
from monai_supmix.listing import counted, is_companion, visible_files


def given_datalist(
    labeled: Sequence[Mapping[str, Any]], class_names: Sequence[str], validation: Sequence[Mapping[str, Any]] = ()
) -> Datalist:
    """Make a datalist of labelled files, as MONAI Label hands them over.

    The unlabelled pool are the other images in the folders of the labelled ones. Every image counts as a patient of its
    own, unless an item names its ``group``.

    Args:
        labeled: items with ``image`` and ``label``, paths.
        class_names: names of the classes, background first.
        validation: such items that are held out.

    Returns:
        the list, without a test side.

    Raises:
        InputError: an item names no image or no label, or the list fails its checks.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a.nii.gz", "b.nii.gz", "c.nii.gz"):
        ...     (folder / name).touch()
        >>> item = {"image": str(folder / "a.nii.gz"), "label": str(folder / "labels" / "a.nii.gz")}
        >>> datalist = given_datalist([item], ["background", "lesion"])
        >>> [item["case"] for item in datalist.labeled], [item["case"] for item in datalist.unlabeled]
        (['a'], ['b', 'c'])
    """
    for item in (*labeled, *validation):
        if not all(isinstance(item.get(key), str) for key in ("image", "label")):
            remedy = "give {image: path, label: path}"
            raise InputError("train#dataset#data", f"has the item {dict(item)} without image or label", remedy)
    named = [Path(item["image"]) for item in (*labeled, *validation)]
    taken = {_place(Path(item[key])) for item in (*labeled, *validation) for key in ("image", "label")}
    folders = sorted({Path(item["image"]).parent for item in labeled})
    endings = {suffix_of(item["image"]).lower() for item in labeled}
    candidates = [
        path
        for folder in folders
        for path in visible_files(folder)
        if suffix_of(path).lower() in endings and not is_companion(path) and _place(path) not in taken
    ]
    pool = _without_labels(candidates, labeled)
    left_out = len(candidates) - len(pool)
    root = Path(os.path.commonpath([path.parent for path in (*named, *pool)])) if named else Path()
    datalist = Datalist(
        prepared([_item(item, root) for item in labeled], class_names, "train#dataset#data"),
        [_item({"image": str(path)}, root) for path in pool],
        prepared([_item(item, root) for item in validation], class_names, "validate#dataset#data"),
        [],
        list(class_names),
        [
            f"labelled cases were named by the caller; the pool are {len(pool)} other images in their folders",
            *([f"{counted(left_out, 'file')} named like labels of other images left out"] if left_out else []),
        ],
    )
    check_datalist(datalist, "train#dataset#data")
    return datalist


def _without_labels(pool: Sequence[Path], labeled: Sequence[Mapping[str, Any]]) -> list[Path]:
    """The pool without label maps of its images: files named after another one as the given labels are."""
    patterns = {
        (label[: match.start()], label[match.end() :])
        for item in labeled
        for image, label in [(_stem(Path(item["image"])), _stem(Path(item["label"])))]
        if Path(item["label"]).parent == Path(item["image"]).parent
        for match in re.finditer(re.escape(image), label)
        if image != label
    }
    labels = {path.with_name(f"{before}{_stem(path)}{after}") for path in pool for before, after in patterns}
    return [path for path in pool if path.with_name(_stem(path)) not in labels]


def _stem(path: Path) -> str:
    return path.name.removesuffix(suffix_of(path))


def _place(path: Path) -> str:
    return os.path.realpath(path)


def _item(item: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """An item with the names that a datalist needs."""
    path = Path(item["image"])
    case = path.relative_to(root).as_posix().removesuffix(suffix_of(path))
    return {"case": case, "group": case, **item}
