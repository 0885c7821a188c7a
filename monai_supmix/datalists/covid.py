"""COVID-19 CT in three forms: MedSeg's NIfTI files, folders of pictures and labels, nnU-Net's layout."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib

from monai_supmix.datalists.build import build_datalist, fixed_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.folders import holds_pairs, left_out_of_pairs, pair_files, split_pairs
from monai_supmix.datalists.items import Item
from monai_supmix.datalists.nnunet import nnunet_datalist
from monai_supmix.datalists.partly import numbered
from monai_supmix.datalists.sides import group_by_pattern, split_named
from monai_supmix.errors import InputError
from monai_supmix.imageio.file_kinds import NIFTI_SUFFIXES, PICTURE_SUFFIXES, suffix_of
from monai_supmix.imageio.reading import read_image
from monai_supmix.imageio.usual_view import LYING, lies_on_its_side
from monai_supmix.listing import check_folder, find_data_folder, list_files

COVID_CLASSES = ("background", "ground_glass", "consolidation", "pleural_effusion")
"""Names of the classes, index = label value."""
_FORMS = {
    "medseg": "tr_im.nii.gz and tr_mask.nii.gz",
    "pictures": "folders images and labels with files of the same names",
    "nnunet": "imagesTr, labelsTr and dataset.json",
}


def covid_datalist(
    dataset_dir: str | Path,
    *,
    num_labeled: int | None = None,
    labeled_seed: int = 0,
    labeled_list: Sequence[str] | str | None = None,
    num_val_patients: int = 0,
    unlabeled_pool: str = "rest",
    form: str = "auto",
    test_list: Sequence[str] | str | None = None,
    group_pattern: str | None = None,
    view: str = "auto",
) -> Datalist:
    """Make the datalist of COVID-19 CT images, or of any CT data set in one of the forms.

    * ``"medseg"``: ``tr_im.nii.gz`` and ``tr_mask.nii.gz``, 100 independent slices in one file. In document
      order 70 % are for training, 10 % are set aside (validation, unused unless `num_val_patients` asks for
      some), 20 % the test.
    * ``"pictures"``: ``images/`` and ``labels/`` with files of the same names (pictures or NIfTI), and
      ``train*.txt`` and ``test*.txt`` with one name a line. With one of the lists the other side is the rest,
      with none the test is drawn as below. Images without a label file are unlabelled training images.
    * ``"nnunet"``: nnU-Net's layout, see `monai_supmix.datalists.nnunet.nnunet_datalist`.

    Without a test set of its own, one fifth of the labelled patients is drawn for it, always the same.

    Args:
        dataset_dir: the folder, or one that holds it as its only such sub-folder, or a datalist JSON (whose
            draw stands).
        num_labeled: number of labelled images (volumes, if files are volumes); None takes all.
        labeled_seed: seed of the draw of labelled images and validation patients.
        labeled_list: names of the labelled cases instead of a draw, or a text file of them. Cases are named
            after their files, MedSeg's slices ``slice_000`` to ``slice_099``.
        num_val_patients: number of patients held out of training for validation.
        unlabeled_pool: ``"rest"`` or ``"all"`` (labelled images too, without their labels).
        form: ``"auto"`` recognises the form by the names present.
        test_list: names of the test cases, over any other rule, or a text file of them.
        group_pattern: regular expression that finds the patient in a case name; without it each image is its
            own group, and a note says so.
        view: of pictures: ``"upright"``; ``"lying"``, as the 8-bit packaging of the MedSeg slices is: its items
            get ``turns`` and ``mirror``; ``"auto"`` judges by the brightness of spine and front over the
            pictures.

    Returns:
        the drawn list; items hold the patient as group, as far as it is known.

    Raises:
        InputError: no form is recognised, files are missing, or a draw cannot be made.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for place, count in (("images", 12), ("labels", 10)):
        ...     (folder / place).mkdir()
        ...     for number in range(count):
        ...         (folder / place / f"{number:02d}.nii.gz").touch()
        >>> datalist = covid_datalist(folder, num_labeled=3, view="upright")
        >>> len(datalist.labeled), len(datalist.unlabeled), len(datalist.test)
        (3, 7, 2)
    """
    if Path(dataset_dir).suffix == ".json":
        return fixed_datalist(dataset_dir, num_labeled, labeled_list, num_val_patients)
    if form not in ("auto", *_FORMS):
        raise InputError("form", f"is {form!r}", f"use auto, {', '.join(_FORMS)}")
    if view not in ("auto", "upright", "lying"):
        raise InputError("view", f"is {view!r}", "use auto, upright or lying")
    given = check_folder(dataset_dir)
    root = find_data_folder(given, lambda path: bool(_forms_of(path)))
    forms = _forms_of(root) if root is not None else []
    if root is None or (form != "auto" and form not in forms):
        wanted = "; or ".join(_FORMS.values()) if form == "auto" else _FORMS[form]
        raise InputError(given, f"is not laid out as {'a known form' if form == 'auto' else form}", f"give {wanted}")
    if form == "auto" and len(forms) > 1:
        raise InputError(root, f"holds several forms: {', '.join(forms)}", "name one with form")
    draw: dict[str, Any] = {
        "num_labeled": num_labeled,
        "labeled_seed": labeled_seed,
        "labeled_list": labeled_list,
        "num_val_patients": num_val_patients,
        "unlabeled_pool": unlabeled_pool,
    }
    match forms[0] if form == "auto" else form:
        case "medseg":
            return _medseg(root, test_list, group_pattern, draw)
        case "pictures":
            return _pictures(root, test_list, group_pattern, view, draw)
        case _:
            return nnunet_datalist(root, COVID_CLASSES, test_list, group_pattern, **draw)


def _forms_of(folder: Path) -> list[str]:
    """Tell which forms a folder's names look like."""
    signs = {
        "medseg": any(folder.glob("tr_im.nii*")),
        "pictures": holds_pairs(folder),
        "nnunet": (folder / "imagesTr").is_dir(),
    }
    return [form for form, present in signs.items() if present]


def _medseg(
    root: Path, test_list: Sequence[str] | str | None, group_pattern: str | None, draw: dict[str, Any]
) -> Datalist:
    """Slices in document order: 70 % for training, 10 % set aside, 20 % for the test."""
    image, mask = (_one_file(root, stem) for stem in ("tr_im", "tr_mask"))
    shapes = []
    for path in (image, mask):
        try:
            header: Any = nib.load(path)  # reads the header only
            shapes.append(header.shape)
        except (OSError, ValueError, EOFError, zlib.error, nib.filebasedimages.ImageFileError) as error:
            raise InputError(path, f"cannot be read ({error})", "fetch the file again") from error
    if shapes[0] != shapes[1] or len(shapes[0]) != 3:
        problem = f"has the shape {shapes[1]} and {image.name} {shapes[0]}"
        raise InputError(mask, problem, "give two files of one three-dimensional shape")
    count = int(shapes[0][2])
    items: list[Item] = [
        {
            "image": str(image),
            "label": str(mask),
            "case": f"slice_{i:03d}",
            "group": f"slice_{i:03d}",
            "slice": i,
        }
        for i in range(count)
    ]
    notes = group_by_pattern(items, group_pattern)
    if test_list is not None:
        train, test, more = split_named(items, test_list)
        return build_datalist(train, test, COVID_CLASSES, root, notes=[*notes, *more], **draw)
    end_train, end_validation = count * 7 // 10, count * 8 // 10
    train, aside, test = items[:end_train], items[end_train:end_validation], items[end_validation:]
    notes.append(f"split in document order: {len(train)} training, {len(aside)} set aside, {len(test)} test slices")
    return build_datalist(train, test, COVID_CLASSES, root, validation_pool=aside, notes=notes, **draw)


def _pictures(
    root: Path,
    test_list: Sequence[str] | str | None,
    group_pattern: str | None,
    view: str,
    draw: dict[str, Any],
) -> Datalist:
    """Pairs of images/ and labels/, brought to the usual view."""
    items = numbered(pair_files(root), COVID_CLASSES, root)
    notes = [*left_out_of_pairs(root), *group_by_pattern(items, group_pattern), *_set_view(items, view)]
    train, test, more = split_pairs(items, root, test_list)
    return build_datalist(train, test, COVID_CLASSES, root, notes=[*notes, *more], **draw)


def _set_view(items: list[Item], view: str) -> list[str]:
    """Mark pictures that lie on their side; volumes carry their own orientation."""
    pictures = [item for item in items if suffix_of(item["image"]).lower() in PICTURE_SUFFIXES]
    if not pictures:
        return []
    lying = view == "lying"
    if view == "auto":
        sample = pictures[:: max(1, len(pictures) // 24)]
        lying = lies_on_its_side([read_image(item["image"]).array.mean(axis=0) for item in sample])
    if not lying:
        return []
    for item in pictures:
        item.update(LYING)
    how = "judged from the pictures" if view == "auto" else "as given"
    return [f"pictures lie on their side ({how}) and are brought to the usual axial view"]


def _one_file(root: Path, stem: str) -> Path:
    """Find stem.nii.gz or stem.nii."""
    files = list_files(root, NIFTI_SUFFIXES)
    if stem not in files:
        raise InputError(root / f"{stem}.nii.gz", "does not exist", "fetch it from the publisher")
    return files[stem]
