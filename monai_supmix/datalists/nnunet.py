"""Data sets in nnU-Net's layout, versions 1 and 2: imagesTr, labelsTr, imagesTs, labelsTs, dataset.json."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.datalists.build import build_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import Item
from monai_supmix.datalists.left_out import left_out_of, refuse_unread_labels, told_left_out
from monai_supmix.datalists.partly import numbered, read_sidecar, refuse_ambiguous_numbers, refuse_orphan_sidecars
from monai_supmix.datalists.sides import group_by_pattern, hold_out_test, split_named
from monai_supmix.errors import InputError
from monai_supmix.imageio.file_kinds import SUFFIXES
from monai_supmix.listing import check_folder, counted, list_files, read_json, shorten

IGNORE = "ignore"
"""What nnU-Net calls the label of pixels to ignore."""
_LARGEST = 65535  # a mask has 16 bits
_LAYOUT = "use nnU-Net's layout: imagesTr/CASE_0000.nii.gz, labelsTr/CASE.nii.gz, dataset.json"


def nnunet_datalist(
    dataset_dir: str | Path,
    class_names: Sequence[str] | None = None,
    test_list: Sequence[str] | str | None = None,
    group_pattern: str | None = None,
    *,
    test_fraction: float = 0.2,
    split_seed: int = 0,
    classes: Mapping[int, str] | None = None,
    **draw: Any,
) -> Datalist:
    """Make a datalist from a folder in nnU-Net's layout.

    Images of imagesTr without a label file are the unlabelled pool. A file ``CASE.json`` beside a label may say which
    classes were labelled in it (``labelled_classes``); pixels with the value of dataset.json's label ``ignore`` are
    ignored. The test set is the first of these that exists: the cases of `test_list`; the images of imagesTs that have
    a file in labelsTs; a fixed draw of `test_fraction` of the labelled patients, with all their images, fully labelled
    patients first (:func:`monai_supmix.datalists.sides.hold_out_test`).

    Args:
        dataset_dir: the folder.
        class_names: names of the classes if there is no dataset.json; dataset.json's ``labels`` override
            it.
        test_list: names of the test cases (without ``_0000`` and ending), or a text file of them.
        group_pattern: regular expression found in the case name; its first group, or else the whole match, is
            the patient. Without it dataset.json may hold ``"patients": {case: patient}``; without both each
            image is its own group, and a note says so.
        test_fraction: share of the patients drawn for the test if none is given.
        classes: names of the classes by their values in label files, the background first, over those of dataset.json.
        split_seed: seed of that draw; it is apart from the draw of labelled images, which never moves the
            test set.
        draw: `num_labeled`, `labeled_seed`, `labeled_list`, `num_val_patients`, `unlabeled_pool`, `notes` of
            `build_datalist`.

    Returns:
        the drawn list; items hold the patient as group, as far as it is known.

    Raises:
        InputError: a folder or file is missing or contradicts another one.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> for name in ("imagesTr/a_0000", "labelsTr/a", "imagesTr/b_0000", "imagesTs/c_0000", "labelsTs/c"):
        ...     (root / name).parent.mkdir(exist_ok=True)
        ...     (root / f"{name}.nii.gz").touch()
        >>> datalist = nnunet_datalist(root, class_names=["background", "lesion"])
        >>> [[item["case"] for item in side] for side in (datalist.labeled, datalist.unlabeled, datalist.test)]
        [['a'], ['b'], ['c']]
    """
    root = check_folder(dataset_dir)
    record = read_json(root / "dataset.json") if (root / "dataset.json").exists() else {}
    if classes is None and record:
        classes = read_classes(record, root / "dataset.json")
    if classes is not None:
        class_names = list(classes.values())
    if class_names is None:
        raise InputError(root / "dataset.json", "does not exist", "write it; its labels name the classes")
    notes = list(draw.pop("notes", ()))
    endings = read_endings(record, root / "dataset.json")
    items = _pair(root, "Tr", endings)
    tests = _pair(root, "Ts", endings)
    if not items:
        with_ending = f" ending in {endings[0]}, the file_ending of dataset.json" if "file_ending" in record else ""
        raise InputError(root / "imagesTr", f"holds no images{with_ending}", _LAYOUT)
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        notes += left_out_of(root / name, endings)
    notes += group_by_pattern([*items, *tests], group_pattern, record.get("patients"))
    ignored = read_ignored(record, root / "dataset.json")
    for item in [*items, *tests]:
        if classes is not None and list(classes) != list(range(len(classes))):
            item["values"] = " ".join(map(str, classes))
        if ignored is not None and ignored not in (classes or ()):
            item["ignored"] = ignored
    refuse_ambiguous_numbers([*items, *tests])
    items, tests = (numbered(side, class_names, root) for side in (items, tests))

    bare = [item["image"] for item in tests if "label" not in item]
    notes += told_left_out(bare, "imagesTs", "no label in labelsTs")
    tests = [item for item in tests if "label" in item]
    if test_list is not None:
        items, tests, more = split_named([*items, *tests], test_list)
    elif tests:
        more = []
    else:
        items, tests, more = hold_out_test(items, test_fraction, split_seed, root)
    return build_datalist(items, tests, class_names, root, notes=[*notes, *more], **draw)


def read_endings(record: dict[str, Any], subject: object) -> tuple[str, ...]:
    """Read the ending of a data set's files from its dataset.json; without ``file_ending`` all that are read.

    Raises:
        InputError: images of that ending are not read.

    Example:
        >>> read_endings({"file_ending": "nii.gz"}, "dataset.json")
        ('.nii.gz',)
    """
    ending = record.get("file_ending")
    if ending is None:
        return SUFFIXES
    ending = f".{str(ending).lower().lstrip('.')}"
    if ending not in SUFFIXES:
        raise InputError(subject, f"file_ending is {record['file_ending']!r}", f"use one of {', '.join(SUFFIXES)}")
    return (ending,)


def read_classes(record: dict[str, Any], subject: object) -> dict[int, str]:
    """Read the classes of a dataset.json, ``{"0": "background", ...}`` or ``{"background": 0, ...}``.

    Args:
        record: the file's contents.
        subject: its path, for errors.

    Returns:
        names by their values in label files, the smallest first: 0, the background.

    Raises:
        InputError: labels are missing or are regions, a value is no whole number up to 65535 or there twice, or none
            is 0. The label ``ignore`` is no class.

    Example:
        >>> read_classes({"labels": {"0": "background", "1": "vessel"}}, "dataset.json")
        {0: 'background', 1: 'vessel'}
        >>> read_classes({"labels": {"background": 0, "spleen": 9, "liver": 5}}, "dataset.json")
        {0: 'background', 5: 'liver', 9: 'spleen'}
    """
    labels = record.get("labels")
    remedy = "give each class a number of its own, 0 being the background"
    if not isinstance(labels, dict) or not labels:
        raise InputError(subject, "has no 'labels'", remedy)
    by_value: dict[int, str] = {}
    for name, number in _named_values(labels):
        if name == IGNORE:
            continue
        if isinstance(number, (list, tuple)):
            raise InputError(subject, f"label {name!r} is a region", "give each pixel one class")
        if not str(number).isdigit() or int(number) in by_value or int(number) > _LARGEST:
            raise InputError(subject, f"label {name!r} has the value {number!r}", remedy)
        by_value[int(number)] = name
    if 0 not in by_value or len(by_value) < 2:
        raise InputError(subject, f"label values are {sorted(by_value)}", remedy)
    return dict(sorted(by_value.items()))


def read_ignored(record: dict[str, Any], subject: object) -> int | None:
    """Read the value of nnU-Net's label ``ignore`` from a dataset.json.

    Args:
        record: the file's contents.
        subject: its path, for errors.

    Returns:
        the value of pixels to ignore; ``None`` without such a label.

    Raises:
        InputError: the value is no whole number, or that of a class.

    Example:
        >>> read_ignored({"labels": {"background": 0, "vessel": 1, "ignore": 2}}, "dataset.json")
        2
    """
    values = dict(_named_values(record.get("labels")))
    value = values.get(IGNORE)
    others = {str(number) for name, number in values.items() if name != IGNORE}
    if value is not None and (not str(value).isdigit() or str(value) in others):
        raise InputError(subject, f"label {IGNORE!r} has the value {value!r}", "give it one above those of the classes")
    return None if value is None else int(value)


def _named_values(labels: object) -> Iterator[tuple[str, Any]]:
    """Names and values of either version of dataset.json."""
    for key, value in labels.items() if isinstance(labels, dict) else ():
        yield (value, key) if isinstance(value, str) and key.isdigit() else (key, value)


def _pair(root: Path, side: str, endings: Sequence[str]) -> list[Item]:
    """Pair images{side} with labels{side}; the channel suffix ``_0000`` is not part of a case name."""
    labels = list_files(root / f"labels{side}", endings)
    images = list_files(root / f"images{side}", endings)
    named = {stem.removesuffix("_0000"): path for stem, path in images.items()}
    refuse_unread_labels(root / f"labels{side}", endings, named)
    refuse_orphan_sidecars(root / f"labels{side}", labels)
    numbered = set(images) & set(labels)  # a file whose very name has a label is a case, whatever number it ends in
    items: dict[str, Item] = {}
    for stem, path in images.items():
        case, _, channel = stem.rpartition("_")
        if channel.isdigit() and channel != "0000" and f"{case}_0000" in images and stem not in numbered:
            raise InputError(path, "is a second channel of its case", "give one channel per image, CASE_0000")
        if channel != "0000" or stem in numbered:
            case = stem
        items[case] = {"image": str(path), "case": case, "group": case}
        if case in labels:
            items[case] |= {"label": str(labels[case]), **read_sidecar(labels.pop(case))}
    if labels:
        number = counted(len(labels), "label file has", "label files have")
        problem = f"{number} no image in images{side}: {shorten(list(labels))}"
        raise InputError(root / f"labels{side}", problem, f"names must match but for _0000: {_LAYOUT}")
    return list(items.values())
