"""Data sets of two folders: images/ and labels/ with files, or folders of a DICOM series, of the same names."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_supmix.datalists.draw import pick_named
from monai_supmix.datalists.items import Item
from monai_supmix.datalists.left_out import left_out_of, named_like_masks, refuse_unread_labels, told_left_out
from monai_supmix.datalists.partly import read_sidecar, refuse_orphan_sidecars
from monai_supmix.datalists.sides import hold_out_test, split_named
from monai_supmix.errors import InputError
from monai_supmix.imageio.dicom import list_dicom_files
from monai_supmix.imageio.file_kinds import LABEL_SUFFIXES, SUFFIXES
from monai_supmix.listing import counted, list_files, normal_form, read_names, shorten


def holds_pairs(folder: Path) -> bool:
    """Tell whether a folder is laid out like this."""
    return (folder / "images").is_dir() and (folder / "labels").is_dir()


def pair_files(root: Path) -> list[Item]:
    """Pair the files and DICOM series of ``images/`` and the files of ``labels/``; each image is its own group.

    Args:
        root: the folder that holds both.

    Returns:
        items in the order of their names; images without a label file have no ``label``. A file ``NAME.json`` beside a
        label may say which classes were labelled in it. What is left out beside them, `left_out_of_pairs` tells.

    Raises:
        InputError: there is no image, a label without one, a label of a type that is not read, or a file that says
            which classes were labelled beside no label.
    """
    images, labels = _list_images(root / "images"), list_files(root / "labels", LABEL_SUFFIXES)
    masks = _masks_among(images, labels)
    images = {name: path for name, path in images.items() if name not in masks}
    refuse_unread_labels(root / "labels", LABEL_SUFFIXES, images)
    refuse_orphan_sidecars(root / "labels", labels)
    if not images:
        remedy = f"give files ending in {', '.join(SUFFIXES)}, or a folder for each DICOM series"
        raise InputError(root / "images", "holds no images", remedy)
    if orphans := [stem for stem in labels if stem not in images]:
        number = counted(len(orphans), "label file has", "label files have")
        free = [stem for stem in images if stem not in labels]
        remedy = f"names must match but for the ending: {_would_match(orphans, free)}, or remove the labels"
        raise InputError(root / "labels", f"{number} no image of the same name: {shorten(orphans)}", remedy)
    items: list[Item] = [{"image": str(path), "case": stem, "group": stem} for stem, path in images.items()]
    for item in items:
        if item["case"] in labels:
            item |= {"label": str(labels[item["case"]]), **read_sidecar(labels[item["case"]])}
    return items


def _list_images(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names without ending, and its sub-folders that hold a DICOM series by theirs."""
    images = list_files(folder, SUFFIXES)
    for series in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        if list_dicom_files(series):
            name = normal_form(series.name)
            if name in images:
                problem = f"both {images[name].name} and the series {series.name} exist"
                raise InputError(folder, problem, "keep one image for each case")
            images[name] = series
    return dict(sorted(images.items()))


def _would_match(labels: Sequence[str], images: Sequence[str]) -> str:
    """What to rename: each label after the image that its name is most like; and the images that are missing.

    Names with other numbers are those of other patients, however alike they are.

    Args:
        labels: those without an image.
        images: those without a label, of which each is the image of one label.

    Example:
        >>> _would_match(["p1_seg", "p2_seg", "p3"], ["p1", "p2", "p4"])
        'rename p1_seg to p1, p2_seg to p2; add the image p3'
    """
    left, renamed, missing = list(images), [], []
    for label in labels:
        same = [image for image in left if re.findall(r"\d+", image) == re.findall(r"\d+", label)]
        if like := difflib.get_close_matches(label, same, n=1, cutoff=0.5):
            renamed.append(f"{label} to {like[0]}")
            left.remove(like[0])
        else:
            missing.append(label)
    remedies = [f"rename {shorten(renamed)}"] if renamed else []
    remedies += [f"add the {'image' if len(missing) == 1 else 'images'} {shorten(missing)}"] if missing else []
    return "; ".join(remedies)


def _masks_among(images: Mapping[str, Path], labels: Mapping[str, Path]) -> set[str]:
    """Images that are named as masks of other ones, unless they have a label of their own."""
    return set(named_like_masks(images)) - labels.keys()


def left_out_of_pairs(root: Path) -> list[str]:
    """Tell of the files in ``images/`` and ``labels/`` that `pair_files` does not use."""
    images, labels = _list_images(root / "images"), list_files(root / "labels", LABEL_SUFFIXES)
    masks = [images[name].name for name in sorted(_masks_among(images, labels))]
    endings = {"images": SUFFIXES, "labels": LABEL_SUFFIXES}
    unread = [line for name, read in endings.items() for line in left_out_of(root / name, read)]
    return [*told_left_out(masks, "images", "named like masks of other images"), *unread]


def split_pairs(
    items: list[Item], root: Path, test_list: Sequence[str] | str | None = None
) -> tuple[list[Item], list[Item], list[str]]:
    """Split items by the first of these that exists: `test_list`, ``train*.txt`` and ``test*.txt``, a draw.

    With one of the two text files the other side is the rest. The draw takes a fifth of the labelled groups,
    always the same, see :func:`monai_supmix.datalists.sides.hold_out_test`.

    Args:
        items: from `pair_files`, with their groups set and labelled classes by number.
        root: the folder, which may hold the text files of one case name a line.
        test_list: names of the test cases, or a text file of them.

    Returns:
        ``(train, test, notes)``.

    Raises:
        InputError: a list is wrong, or there are too few labelled groups for a draw.
    """
    if test_list is not None:
        return split_named(items, test_list)
    train_file, test_file = (_one_list(root, side) for side in ("train", "test"))
    if train_file is None and test_file is None:
        return hold_out_test(items, 0.2, 0, root)
    return _split_by_lists(items, train_file, test_file)


def _split_by_lists(
    items: list[Item], train_file: Path | None, test_file: Path | None
) -> tuple[list[Item], list[Item], list[str]]:
    """Split by lists of names; without one of them that side is the rest, as far as labels allow."""
    if train_file is None:
        return split_named(items, str(test_file))
    listed = pick_named(items, read_names(train_file), train_file, need_label=False)
    names = {item["case"] for item in listed}
    if test_file is None:
        test = [item for item in items if "label" in item and item["case"] not in names]
    else:
        test = pick_named(items, read_names(test_file), test_file)
        if both := sorted(names & {item["case"] for item in test}):
            problem = f"names cases that {train_file.name} names too: {shorten(both)}"
            raise InputError(test_file, problem, "put each case on one side")
    names |= {item["case"] for item in test}
    rest = [item for item in items if item["case"] not in names]
    idle = [item["case"] for item in rest if "label" in item]
    which = counted(len(idle), "labelled image is", "labelled images are")
    notes = [f"{which} in no list and left out: {shorten(sorted(idle))}"] if idle else []
    return listed + [item for item in rest if "label" not in item], test, notes


def _one_list(root: Path, side: str) -> Path | None:
    """Find the one text file of case names of a side, or None."""
    lists = sorted(root.glob(f"{side}*.txt"))
    if len(lists) > 1:
        names = shorten([path.name for path in lists])
        raise InputError(root, f"holds several lists for one side: {names}", f"keep one {side}*.txt")
    return lists[0] if lists else None
