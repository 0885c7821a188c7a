"""Class names, from the values that label files hold or from what a user says."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.reading import read_label
from monai_supmix.listing import shorten

_MOST = 64  # more values than this are not classes
_REMEDY = "number the classes 0, 1, 2, ..., or name all of them: --class_names background,NAME,NAME"


def split_names(text: str) -> list[str]:
    """Read class names as they are given on the command line.

    Args:
        text: two or more different names with commas between them, the background's first.

    Raises:
        InputError: fewer than two, an empty one, or one twice.

    Example:
        >>> split_names("background, ground glass")
        ['background', 'ground_glass']
    """
    names = [safe_name(part) for part in text.split(",")]
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        remedy = "give two or more different names with commas between them, the background's first"
        raise InputError("--class_names", f"is {text!r}", remedy)
    return names


def safe_name(name: str) -> str:
    """Make a class name that can stand in a configuration, a file name and a table.

    Example:
        >>> safe_name("$ ground glass / GGO")
        'ground_glass_GGO'
    """
    return re.sub(r"[^\w.+-]+", "_", name).strip("_")


def names_from_values(labels: Iterable[Path]) -> tuple[list[str], str]:
    """Name the classes after the values that label files hold: background, label_1, label_2, ...

    Files that cannot be read are passed over; the check of all cases reports them.

    Args:
        labels: the label files.

    Returns:
        the names, index = label value, and what was found.

    Raises:
        InputError: the values are not classes: some are missing in between, only 0 is there, or none can be read.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.fromarray(np.array([[0, 255]], np.uint8)).save(path)
        >>> names_from_values([path])
        (['background', 'label_1'], 'the label files hold 0 and 255')
    """
    found: dict[int, Path] = {}
    mask_files, refused = True, None
    for path in labels:
        try:
            values = _values(read_label(path))
        except InputError as error:
            refused = refused or error
            continue
        mask_files &= set(values) <= {0, 1} or set(values) <= {0, 255}
        for value in values:
            found.setdefault(value, path)
    if not found:
        raise refused or InputError("labels", "holds no label file", "label some of the images")
    values = sorted(found)
    if values == [0]:
        raise InputError(next(iter(found.values())).parent, "holds label files that are 0 everywhere", _REMEDY)
    text = f"{shorten([str(value) for value in values[:-1]], 8)} and {values[-1]}"
    if mask_files:
        return ["background", "label_1"], f"the label files hold {text}"
    if values != list(range(len(values))) or len(values) > _MOST:
        odd = next((value for index, value in enumerate(values) if value != index), values[-1])
        raise InputError(found[odd], f"holds the label value {odd}, and all label files hold {text}", _REMEDY)
    return ["background", *(f"label_{value}" for value in values[1:])], f"the label files hold {text}"


def _values(label: np.ndarray) -> Sequence[int]:
    """The different values of a label map, slice by slice: the sorted copy of a volume is eight times its size."""
    return sorted({int(value) for index in range(label.shape[-1]) for value in np.unique(label[..., index])})
