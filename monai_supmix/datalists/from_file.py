"""The datalist of a bundle that brings its own split: a JSON file in the bundle, the images elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_supmix.datalists.build import build_datalist, fixed_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import without_label
from monai_supmix.errors import InputError
from monai_supmix.listing import check_folder


def listed_datalist(
    dataset_dir: str | Path,
    datalist_file: str | Path,
    *,
    num_labeled: int | None = None,
    labeled_seed: int = 0,
    labeled_list: Sequence[str] | str | None = None,
    num_val_patients: int = 0,
    unlabeled_pool: str = "rest",
) -> Datalist:
    """Draw a datalist from a file that says which cases there are, with which labels, on which side.

    The file's test side and classes stand. Its labelled cases are those that a draw can take: by default all
    of them, and those not taken join the unlabelled pool. What it sets aside for validation is used when
    `num_val_patients` asks for some.

    Args:
        dataset_dir: the folder that the file's paths are relative to; or another datalist JSON, whose draw
            stands.
        datalist_file: the file, written by `Datalist.to_json` with this folder.
        num_labeled: see `monai_supmix.datalists.build.build_datalist`, as all arguments below.
        labeled_seed: seed of the draws.
        labeled_list: names of the labelled cases instead of a draw.
        num_val_patients: number of patients held out for validation.
        unlabeled_pool: ``"rest"`` or ``"all"``.

    Returns:
        the drawn list, with the file's test side, classes and notes.

    Raises:
        InputError: a file or folder is missing, the file fails its checks, or a draw cannot be made.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a.jpg", "b.jpg", "c.jpg", "mask.png"):
        ...     (folder / name).touch()
        >>> mask = folder / "mask.png"
        >>> items = [{"image": folder / f"{n}.jpg", "label": mask, "case": n, "group": n} for n in "abc"]
        >>> Datalist(items[:2], [], [], items[2:], ["background", "vessel"]).to_json(folder / "list.json", folder)
        >>> datalist = listed_datalist(folder, folder / "list.json", num_labeled=1)
        >>> len(datalist.labeled), len(datalist.unlabeled), datalist.test[0]["case"]
        (1, 1, 'c')
    """
    if Path(dataset_dir).suffix == ".json":
        return fixed_datalist(dataset_dir, num_labeled, labeled_list, num_val_patients)
    path = Path(datalist_file)
    if not path.is_file():
        raise InputError(path, "does not exist", "set bundle_root to the folder of the bundle")
    listed = Datalist.from_json(path, check_folder(dataset_dir))
    return build_datalist(
        [*listed.labeled, *map(without_label, listed.unlabeled)],  # masks of the pool are no truth
        listed.test,
        listed.class_names,
        path,
        num_labeled=num_labeled,
        labeled_seed=labeled_seed,
        labeled_list=labeled_list,
        num_val_patients=num_val_patients,
        validation_pool=listed.validation or None,
        unlabeled_pool=unlabeled_pool,
        notes=listed.notes,
        shared_groups=listed.shared_groups,
    )
