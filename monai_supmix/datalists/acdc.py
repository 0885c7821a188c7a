"""ACDC: short-axis heart MRI of 100 patients, from the publisher's folder or in the packaging of SSL4MIS."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from monai_supmix.datalists.build import build_datalist, fixed_datalist
from monai_supmix.datalists.check import SAME_IMAGE, check_cases
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.draw import order_groups
from monai_supmix.datalists.items import Item
from monai_supmix.datalists.left_out import told_left_out
from monai_supmix.errors import InputError
from monai_supmix.imageio.file_kinds import HDF5_SUFFIXES, NIFTI_SUFFIXES
from monai_supmix.listing import check_folder, find_data_folder, list_files, read_names, visible_files

ACDC_CLASSES = ("background", "right_ventricle", "myocardium", "left_ventricle")
"""Names of the classes, index = label value."""
TRAINING = (
    *(99, 38, 50, 100, 58, 21, 49, 20, 72, 40, 60, 89, 4, 56, 98, 96, 31, 18, 94, 47, 48, 55, 97, 74, 43, 41, 63, 37),
    *(95, 54, 26, 88, 32, 69, 6, 71, 12, 73, 61, 17, 25, 10, 57, 29, 51, 5, 36, 46, 62, 34, 76, 92, 70, 77, 67, 3, 91),
    *(16, 14, 44, 42, 90, 53, 27, 35, 86, 23, 9, 79, 15),
)
"""Numbers of the 70 training patients in the order of SSL4MIS' list: its budgets are the first 3, 7 and 14."""
VALIDATION = (28, 85, 82, 87, 19, 30, 78, 45, 2, 39)
TEST = (11, 13, 84, 33, 93, 22, 68, 24, 83, 81, 80, 1, 7, 66, 8, 65, 75, 64, 59, 52)
COPIES = ("patient074", "patient076")
"""Two patients with the same images in SSL4MIS' packaging, and different labels."""
_LAYOUTS = "patientNNN/patientNNN_frameNN.nii.gz with _gt and Info.cfg, or SSL4MIS' patientNNN_frameNN*.h5"
_PATIENT = re.compile(r"patient\d{3}")


def acdc_datalist(
    dataset_dir: str | Path,
    *,
    num_labeled: int | None = 3,
    labeled_seed: int | None = None,
    labeled_list: Sequence[str] | str | None = None,
    num_val_patients: int = 0,
    unlabeled_pool: str = "rest",
) -> Datalist:
    r"""Make the datalist of ACDC: 70 patients for training, 10 for validation, 20 for the test, by the field's lists.

    A case is one volume, end diastole or end systole, named ``patient099_frame01``; both of a patient are always on
    one side. Two layouts are recognised by their files:

    * the publisher's ``patientNNN/`` with ``Info.cfg``, ``patientNNN_frameNN.nii.gz`` and ``_gt.nii.gz``, perhaps in
      ``training/`` and ``testing/``. The lists divide patients 001 to 100, others are left out;
    * SSL4MIS' ``.h5`` files (``pip install 'monai-supmix[hdf5]'``), training slices one a file.

    Where patients 074 and 076 have the same images, as in SSL4MIS' packaging, 076 is left out.

    Args:
        dataset_dir: the folder, or one that holds it as its only such sub-folder, or a datalist JSON (whose draw
            stands).
        num_labeled: number of labelled *patients*; None takes all.
        labeled_seed: None: the first of the field's list, which are its budgets of 3, 7 and 14; a number: the seed of
            a draw over the training patients.
        labeled_list: names of the labelled patients or cases instead, or a text file of them.
        num_val_patients: how many of the 10 patients set aside serve as validation.
        unlabeled_pool: ``"rest"`` or ``"all"`` (labelled images too, without their labels).

    Returns:
        items with ``phase`` ``"ED"`` or ``"ES"`` where ``Info.cfg`` gives it.

    Raises:
        InputError: no layout is recognised, files are missing, or a draw cannot be made.

    Example:
        >>> import tempfile, nibabel as nib, numpy as np
        >>> root = Path(tempfile.mkdtemp())
        >>> for number in (*TRAINING[:4], TEST[0]):
        ...     folder = root / f"patient{number:03d}"
        ...     folder.mkdir()
        ...     _ = (folder / "Info.cfg").write_text("ED: 1\nES: 8\n")
        ...     for frame in (1, 8):
        ...         for ending in ("", "_gt"):
        ...             voxels = np.full((4, 4, 2), number, np.int16)
        ...             file = folder / f"{folder.name}_frame{frame:02d}{ending}.nii.gz"
        ...             nib.save(nib.Nifti1Image(voxels, np.eye(4)), file)
        >>> datalist = acdc_datalist(root, num_labeled=3)
        >>> len(datalist.labeled), len(datalist.unlabeled), len(datalist.test)
        (6, 2, 2)
    """
    if Path(dataset_dir).suffix == ".json":
        return _from_file(dataset_dir, num_labeled, labeled_list, num_val_patients)
    given = check_folder(dataset_dir)
    root = find_data_folder(given, _is_root)
    if root is None:
        raise InputError(given, "holds no ACDC in a known layout", f"give {_LAYOUTS}")
    items, notes = _hdf5_items(root) if _holds_hdf5(root) else _nifti_items(root)
    notes += _drop_copies(items)
    sides = {
        name: [item for number in numbers for item in items if item["group"] == _name(number)]
        for name, numbers in (("train", TRAINING), ("validation", VALIDATION), ("test", TEST))
    }
    others = sorted({item["group"] for item in items} - {_name(n) for n in (*TRAINING, *VALIDATION, *TEST)})
    if others:
        notes.append(f"{len(others)} patients outside of the field's lists (001 to 100) are left out")
    if not sides["train"]:
        raise InputError(root, "holds none of the 70 training patients", "give the folder of patients 001 to 100")
    return build_datalist(
        sides["train"],
        sides["test"],
        ACDC_CLASSES,
        root,
        labeled_list=_labeled_cases(sides["train"], num_labeled, labeled_seed, labeled_list),
        labeled_seed=labeled_seed or 0,
        num_val_patients=num_val_patients,
        validation_pool=sides["validation"],
        unlabeled_pool=unlabeled_pool,
        notes=notes,
    )


def holds_acdc(folder: Path) -> bool:
    """Tell whether a folder, or one of its sub-folders, holds ACDC in one of the layouts."""
    return find_data_folder(folder, _is_root) is not None


def _is_root(folder: Path) -> bool:
    return _holds_hdf5(folder) or bool(_patient_folders(folder))


def _name(number: int) -> str:
    return f"patient{number:03d}"


def _from_file(
    path: str | Path, num_labeled: int | None, labeled_list: Sequence[str] | str | None, num_val_patients: int
) -> Datalist:
    """A datalist file, whose labelled patients are counted, not its labelled volumes."""
    datalist = fixed_datalist(path, None, labeled_list, num_val_patients)
    patients = len({item["group"] for item in datalist.labeled})
    if num_labeled not in (None, patients):
        problem = f"is {num_labeled}, but {path} holds {patients} labelled patients"
        raise InputError("num_labeled", problem, f"set it to {patients}, or give the data folder instead")
    return datalist


def _labeled_cases(
    train: Sequence[Item], num_labeled: int | None, seed: int | None, named: Sequence[str] | str | None
) -> list[str]:
    """Names of the labelled cases: all of each chosen patient."""
    patients = list(dict.fromkeys(item["group"] for item in train if "label" in item))
    if named is not None:
        names = read_names(Path(named)) if isinstance(named, str) else [str(name) for name in named]
        return [c for name in names for c in ([i["case"] for i in train if i["group"] == name] or [name])]
    count = len(patients) if num_labeled is None else num_labeled
    if not 1 <= count <= len(patients):
        problem = f"is {num_labeled}, and {len(patients)} training patients have labels"
        raise InputError("num_labeled", problem, f"give a number of patients from 1 to {len(patients)}, or null")
    chosen = (patients if seed is None else order_groups(patients, seed))[:count]
    return [item["case"] for patient in chosen for item in train if item["group"] == patient and "label" in item]


def _drop_copies(items: list[Item]) -> list[str]:
    """Remove the second of two patients if its images are the first one's, and say so."""
    first, second = COPIES
    both = [item for patient in COPIES for item in items if item["group"] == patient]
    if {item["group"] for item in both} != set(COPIES):
        return []
    if not any(problem.error.code == SAME_IMAGE for problem in check_cases(both, len(ACDC_CLASSES))):
        return []
    items[:] = [item for item in items if item["group"] != second]
    return [f"{second} holds the same images as {first} with other labels: it is left out"]


def _patient_folders(root: Path) -> list[Path]:
    """The patients' folders of the publisher's layout, in order of their numbers."""
    places = (root, root / "training", root / "testing")
    folders = [path for place in places for path in place.glob("patient[0-9][0-9][0-9]") if path.is_dir()]
    return sorted(folders, key=lambda path: path.name)


def _nifti_items(root: Path) -> tuple[list[Item], list[str]]:
    """Both frames of each patient, as Info.cfg names them."""
    items: list[Item] = []
    unused: list[Path] = []
    for folder in _patient_folders(root):
        files, used = list_files(folder, NIFTI_SUFFIXES), {"Info.cfg", "MANDATORY_CITATION.md"}
        for phase, frame in _frames(folder / "Info.cfg").items():
            case = f"{folder.name}_frame{frame:02d}"
            if case not in files:
                raise InputError(folder / f"{case}.nii.gz", "does not exist", "fetch it from the publisher")
            label = files.get(f"{case}_gt")
            item: Item = {"image": str(files[case]), "case": case, "group": folder.name, "phase": phase}
            items.append(item if label is None else item | {"label": str(label)})
            used |= {files[case].name} | ({label.name} if label else set())
        unused += [path for path in visible_files(folder) if path.name not in used]
    return items, told_left_out([path.name for path in unused], root.name, "neither end diastole nor end systole")


def _frames(info: Path) -> dict[str, int]:
    """The numbers of the frames at end diastole and end systole, from a patient's Info.cfg."""
    entries = dict(line.replace(" ", "").split(":", 1) for line in read_names(info) if ":" in line)
    try:
        return {phase: int(entries[phase]) for phase in ("ED", "ES")}
    except (KeyError, ValueError) as error:
        raise InputError(info, "does not name the frames ED and ES", "fetch it from the publisher") from error


def _holds_hdf5(folder: Path) -> bool:
    """Whether a folder, or its sub-folder ``data``, holds SSL4MIS' files."""
    return any(next(place.glob("patient*_frame*.h5"), None) is not None for place in (folder, folder / "data"))


def _hdf5_items(root: Path) -> tuple[list[Item], list[str]]:
    """Volumes, those of training as the pattern of their slices' files."""
    folder = root / "data" if (root / "data").is_dir() else root
    items: dict[str, Item] = {}
    for stem, path in list_files(folder, HDF5_SUFFIXES).items():
        case, _, number = stem.partition("_slice_")
        if not _PATIENT.match(case):
            continue
        image = str(path.with_name(f"{case}_slice_*{path.suffix}") if number else path)
        if items.get(case, {"image": image})["image"] != image:
            raise InputError(folder, f"holds {case} as a volume and as slices", "keep one of them")
        items[case] = {"image": image, "label": image, "case": case, "group": case[:10]}
    return list(items.values()), []
