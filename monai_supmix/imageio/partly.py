"""What a label map does not say: classes that were not labelled in a case, and pixels that are to be ignored.

Where a class is missing from a case's labels its pixels carry the label of the background, so that *background* there
means "background or a missing class".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from monai_supmix.errors import InputError

IGNORED = 255
"""Value of pixels of a label map that are to be ignored; never a class."""


def labelled_mask(item: Mapping[str, Any], num_classes: int) -> np.ndarray:
    """Which classes are labelled in a case.

    Args:
        item: of a datalist; its ``labelled_classes``, where it has any, are the numbers of these classes.
        num_classes: number of classes, background included.

    Returns:
        bool ``(C,)``. The background is labelled only where all classes are.

    Raises:
        InputError: there is no such class.

    Example:
        >>> labelled_mask({"case": "a", "labelled_classes": [2]}, num_classes=3)
        array([False, False,  True])
        >>> labelled_mask({"case": "b"}, num_classes=3)
        array([ True,  True,  True])
    """
    classes = item.get("labelled_classes")
    if classes is None:
        return np.ones(num_classes, dtype=bool)
    if not all(isinstance(number, int) and 0 <= number < num_classes for number in classes):
        problem = f"{item['case']} has labelled_classes={classes}"
        raise InputError("datalist", problem, f"list numbers of classes, 1 to {num_classes - 1}")
    mask = np.isin(np.arange(num_classes), classes)
    mask[0] = mask[1:].all()
    return mask


def check_labelled(label: np.ndarray, item: Mapping[str, Any], num_classes: int) -> None:
    """Raise `InputError` when a label map shows a class that its item says is not labelled in it.

    Args:
        label: class numbers; `IGNORED` is none.
        item: its item of a datalist.
        num_classes: number of classes, background included.

    Example:
        >>> check_labelled(np.array([[0, 1]]), {"label": "a.png", "case": "a", "labelled_classes": [2]}, num_classes=3)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: a.png: shows class 1, which its labelled_classes leave out: ...
    """
    shown = np.bincount(label.ravel(), minlength=num_classes)[:num_classes] > 0
    wrong = np.flatnonzero(shown[1:] & ~labelled_mask(item, num_classes)[1:]) + 1
    if wrong.size:
        remedy = "add the class, or remove it from the label map"
        raise InputError(item["label"], f"shows class {wrong[0]}, which its labelled_classes leave out", remedy)
