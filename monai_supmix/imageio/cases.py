"""From an item of a datalist to the image and its label map on the file's own grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.partly import check_labelled
from monai_supmix.imageio.reading import read_image, read_label


class Case(NamedTuple):
    """An image and, where there is one, its label map on the same grid.

    Example:
        >>> case = Case(CaseImage.from_array(np.zeros((3, 4, 5), np.uint8)), label=None)
        >>> case.image.channels, case.image.label_shape
        (3, (4, 5))
    """

    image: CaseImage
    label: np.ndarray | None


def load_case(item: Mapping[str, Any], num_classes: int) -> Case:
    """Read the image and the label map that an item names.

    Args:
        item: see :mod:`monai_supmix.datalists.items`; ``slice`` takes one slice of a file that holds many images,
            ``turns`` and ``mirror`` bring a picture to the usual view, ``grey`` takes one of three equal channels,
            ``values`` lists the values that the classes have in the label file, such as ``"0 3 205"``, ``ignored``
            is the value of pixels that are to be ignored, and ``class_names`` are what segments of a DICOM label may be
            called.
        num_classes: label values must be below it.

    Returns:
        the image, and the label map as integers of ``image.label_shape`` (``None`` without a label file), with 255 in
        ignored pixels.

    Raises:
        InputError: a file cannot be read, image and label do not fit together, or the label shows a class that the
            item's ``labelled_classes`` leave out.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> Image.new("RGB", (5, 4)).save(f"{folder}/image.png")
        >>> Image.new("L", (5, 4), 255).save(f"{folder}/mask.png")
        >>> item = {"image": f"{folder}/image.png", "label": f"{folder}/mask.png", "case": "eye"}
        >>> image, label = load_case(item, num_classes=2)
        >>> image.channels, label.shape, label.max()
        (3, (4, 5), np.uint8(1))
    """
    read = _read_files_of_slices if "slice" in item else _read_files
    own = "label_of_slice" in item  # a file of this slice alone, as predicting it gives
    names = item.get("class_names")
    coding = _Coding(num_classes, item.get("values"), item.get("ignored"), None if names is None else tuple(names))
    image, label = read(item["image"], None if own else item.get("label"), coding)
    if "slice" in item:
        index = item["slice"]
        image, label = image.take_slice(index), None if label is None else label[..., index : index + 1]
    if own:
        label = _read_label(item["label"], image, coding)
    if label is not None and "labelled_classes" in item:
        check_labelled(label, item, num_classes)
    if item.get("grey"):
        image = fit_channels(image, 1)
    if image.is_picture:
        image = replace(image, turns=item.get("turns", 0), mirror=item.get("mirror", 0))
    return Case(image, label)


class _Coding(NamedTuple):
    """How label files say which class a pixel has; can be a key, for files are cached by it."""

    num_classes: int
    values: str | None
    ignored: int | None
    class_names: tuple[str, ...] | None


def _read_files(image_file: str, label_file: str | None, coding: _Coding) -> Case:
    image = read_image(image_file)
    return Case(image, None if label_file is None else _read_label(label_file, image, coding))


def _read_label(label_file: str, image: CaseImage, coding: _Coding) -> np.ndarray:
    values = None if coding.values is None else label_values(coding.values)
    return read_label(label_file, image, coding.num_classes, values, coding.ignored, coding.class_names)


def label_values(text: str) -> list[int]:
    """The values that classes have in label files, as items of a datalist list them.

    Raises:
        InputError: the text is no list of different whole numbers.

    Example:
        >>> label_values("0 3 205")
        [0, 3, 205]
    """
    try:
        values = [int(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) < 2 or len(set(values)) < len(values):
        raise InputError("datalist", f"has values={text!r}", "list a different whole number for each class")
    return values


# All slices of a file are read one after the other: decode it once.
_read_files_of_slices = lru_cache(maxsize=2)(_read_files)
