"""CHASE_DB1: 28 fundus photographs of 14 children, two observers, in the publisher's flat layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_supmix.datalists.build import build_datalist, fixed_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import Item
from monai_supmix.datalists.left_out import told_left_out
from monai_supmix.errors import InputError
from monai_supmix.listing import check_folder, find_data_folder, shorten, visible_files

CHASE_CLASSES = ("background", "vessel")
CHASE_CHILDREN = tuple(f"{number:02d}" for number in range(1, 15))
OBSERVERS = {"first": "1stHO", "second": "2ndHO"}
_REMEDY = "put the publisher's files, Image_01L.jpg to Image_14R.jpg and their _1stHO and _2ndHO masks, there"


def chase_datalist(
    dataset_dir: str | Path,
    observer: str = "first",
    split: str = "patient",
    *,
    num_labeled: int | None = 2,
    labeled_seed: int = 0,
    labeled_list: Sequence[str] | str | None = None,
    num_val_patients: int = 0,
    unlabeled_pool: str = "rest",
) -> Datalist:
    """Make the datalist of CHASE_DB1.

    Args:
        dataset_dir: the folder with the files, or one that holds it as its only such sub-folder, or a
            datalist JSON (whose own observer, split and draw stand).
        observer: whose vessel masks are the truth, ``"first"`` (the field's usual choice) or ``"second"``
            (whose class ratio the paper states).
        split: ``"patient"``: children 01-10 for training (20 images), 11-14 for the test (8 images);
            ``"paper"``: the paper's 23 / 5, the first 23 images in order and the last 5, with child 12 on
            both sides.
        num_labeled: number of labelled images, eyes of different children first; None takes all.
        labeled_seed: seed of the draw of labelled images and validation children.
        labeled_list: names of the labelled cases (``"Image_01L"``) instead of a draw, or a text file of them.
        num_val_patients: number of training children held out for validation, with both eyes.
        unlabeled_pool: ``"rest"`` or ``"all"`` (labelled images too, without their labels).

    Returns:
        items with the child's number as group. Masks of images used without a label need not exist.

    Raises:
        InputError: a missing folder, image or needed mask, or a draw that cannot be made.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for case in (f"Image_{child}{eye}" for child in CHASE_CHILDREN for eye in "LR"):
        ...     for name in _files_of(case):
        ...         (folder / name).touch()
        >>> datalist = chase_datalist(folder, num_labeled=2)
        >>> len(datalist.labeled), len(datalist.unlabeled), len(datalist.test)
        (2, 18, 8)
    """
    if Path(dataset_dir).suffix == ".json":
        return fixed_datalist(dataset_dir, num_labeled, labeled_list, num_val_patients)
    if observer not in OBSERVERS:
        raise InputError("observer", f"is {observer!r}", "use 'first' or 'second'")
    if split not in ("patient", "paper"):
        raise InputError("split", f"is {split!r}", "use 'patient' or 'paper'")
    folder = find_data_folder(check_folder(dataset_dir), _has_images)
    if folder is None:
        raise InputError(dataset_dir, "holds no CHASE_DB1 images (Image_01L.jpg and so on)", _REMEDY)

    items: list[Item] = [
        {
            "image": str(folder / f"Image_{child}{eye}.jpg"),
            "label": str(folder / f"Image_{child}{eye}_{OBSERVERS[observer]}.png"),
            "case": f"Image_{child}{eye}",
            "group": child,
        }
        for child in CHASE_CHILDREN
        for eye in "LR"
    ]
    _require_files([item["image"] for item in items], folder)
    shared: list[str] = []
    notes = [f"truth: {observer} observer"]
    known = {name for item in items for name in _files_of(item["case"])}
    extra = [path for path in visible_files(folder) if path.name not in known and path.suffix in (".jpg", ".png")]
    notes += told_left_out(extra, folder.name, "no part of CHASE_DB1")
    if split == "paper":
        train, test = items[:23], items[23:]
        shared = sorted({item["group"] for item in train} & {item["group"] for item in test})
        notes.append(f"split 'paper' (23/5) has child {', '.join(shared)} in both training and test")
    else:
        train, test = items[:20], items[20:]
    datalist = build_datalist(
        train,
        test,
        CHASE_CLASSES,
        folder,
        num_labeled=num_labeled,
        labeled_seed=labeled_seed,
        labeled_list=labeled_list,
        num_val_patients=num_val_patients,
        unlabeled_pool=unlabeled_pool,
        notes=notes,
        shared_groups=shared,
    )
    used = (*datalist.labeled, *datalist.validation, *datalist.test)
    _require_files([item["label"] for item in used], folder)
    return datalist


def _files_of(case: str) -> list[str]:
    return [f"{case}.jpg", *(f"{case}_{name}.png" for name in OBSERVERS.values())]


def _require_files(paths: Sequence[str], folder: Path) -> None:
    """Raise `InputError` naming the first few missing files and their number."""
    missing = [Path(path).name for path in paths if not Path(path).is_file()]
    if missing:
        raise InputError(folder, f"{len(missing)} of {len(paths)} files are missing: {shorten(missing)}", _REMEDY)


def holds_chase(folder: Path) -> bool:
    """Tell whether a folder, or one of its sub-folders, holds images of CHASE_DB1."""
    return find_data_folder(folder, _has_images) is not None


def _has_images(folder: Path) -> bool:
    return any(folder.glob("Image_[01][0-9][LR].jpg"))
