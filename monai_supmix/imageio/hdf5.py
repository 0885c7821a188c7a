"""HDF5 files of the semi-supervised literature: ``image`` and ``label``, slices first, without a place in the world."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.errors import InputError, first_line
from monai_supmix.imageio.case_image import CaseImage, check_values
from monai_supmix.imageio.file_kinds import HDF5_SUFFIXES, check_file

# Columns run to the left and rows to the back, so that planes in the usual view are the slices as they are stored.
_AS_STORED = np.diag([-1.0, -1.0, 1.0, 1.0])
_SEVERAL = "*"


def is_hdf5(path: str | Path) -> bool:
    """Whether a path, or a pattern of paths, names HDF5 files by its ending.

    Example:
        >>> is_hdf5("a_slice_*.h5"), is_hdf5("a.nii.gz")
        (True, False)
    """
    return Path(path).suffix.lower() in HDF5_SUFFIXES


def read_hdf5(path: str | Path, dataset: str = "image") -> CaseImage:
    """Read one dataset as a volume: a volume ``(slices, rows, columns)``, or one slice ``(rows, columns)``.

    SSL4MIS packs training volumes with each slice in a file of its own. A pattern such as
    ``patient003_frame01_slice_*.h5`` is the volume made of them, in the order of their numbers.

    Args:
        path: ``.h5`` or ``.hdf5``; ``*`` in its name stands for the slices' numbers.
        dataset: ``"image"`` or ``"label"``.

    Returns:
        the volume ``(columns, rows, slices)``. Its ``spacing`` is None, for none is stored, and its affine only says
        that planes are seen as stored.

    Raises:
        InputError: h5py is not installed, no file, or one that is damaged, lacks the dataset or differs in size.

    Example:
        >>> read_hdf5("patient003_frame01_slice_*.h5")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: patient003_frame01_slice_*.h5: matches no file: check the path
    """
    path = Path(path)
    files = files_of(path)
    slices: list[np.ndarray] = []
    for file in files:
        check_file(file)
        values = _read_dataset(file, dataset)
        if len(files) > 1 and (values.ndim != 2 or values.shape != (slices or [values])[0].shape):
            raise InputError(file, f"its '{dataset}' has the shape {values.shape}, no slice of {path.name}", "fix it")
        slices.append(values)
    stack = np.stack(slices) if slices[0].ndim == 2 else slices[0]
    array = stack.T  # (columns, rows, slices); a view
    file_shape = array.shape if len(files) > 1 or slices[0].ndim == 3 else array.shape[:2]
    image = CaseImage(path, "hdf5", array, affine=_AS_STORED.copy(), file_shape=file_shape, notes=("spacing unknown",))
    check_values(image)
    return image


def files_of(pattern: Path) -> list[Path]:
    """The files of a pattern of slices in the order of the numbers that stand for its ``*``.

    A path without one, one of another type, whose name may have a ``*``, and a file that is there are their own.

    Raises:
        InputError: no file matches.
    """
    if _SEVERAL not in pattern.name or not is_hdf5(pattern) or pattern.exists():
        return [pattern]
    before, after = pattern.name.split(_SEVERAL, 1)
    rule = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    files = pattern.parent.iterdir() if pattern.parent.is_dir() else ()
    numbered = [(int(match[1]), file) for file in files if (match := rule.fullmatch(file.name))]
    if not numbered:
        raise InputError(pattern, "matches no file", "check the path")
    return [file for _, file in sorted(numbered)]


def is_there(path: Path) -> bool:
    """Whether a file, or a file of a pattern, exists.

    Example:
        >>> is_there(Path(__file__)), is_there(Path("patient003_frame01_slice_*.h5"))
        (True, False)
    """
    try:
        return all(file.exists() for file in files_of(path))
    except InputError:
        return False


def _read_dataset(file: Path, name: str) -> np.ndarray:
    try:
        import h5py  # noqa: PLC0415  # an extra
    except ImportError as error:
        remedy = "pip install 'monai-supmix[hdf5]'"
        raise InputError(file, "takes the package h5py, which is not installed", remedy, code="no-h5py") from error
    try:
        with h5py.File(file, "r") as content:
            data: Any = content.get(name)
            values = None if data is None else np.asarray(data)
    except (OSError, RuntimeError, ValueError) as error:  # h5py's words for damage of every kind
        raise InputError(file, f"cannot be read ({first_line(error)})", "copy or export it again") from error
    if values is None:
        raise InputError(file, f"holds no dataset '{name}'", "give files with the datasets image and label")
    if values.ndim not in (2, 3) or values.size == 0 or values.dtype.kind not in "iuf":
        problem = f"its '{name}' is {values.dtype} of shape {values.shape}"
        raise InputError(file, problem, "give slices (rows, columns) or volumes (slices, rows, columns)")
    return values
