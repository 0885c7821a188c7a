"""Items: what a datalist says of each image.

An *item* is a dictionary of plain strings and integers:

* ``image``: path of the image; ``label``: path of its label map, absent when the image is used without one;
* ``case``: its unique name; ``group``: the patient (the unit that must never be on two sides);
* ``slice``: index along the last axis, only when one file holds many independent images;
* ``turns`` and ``mirror``: what brings a picture to the usual view, see `monai_supmix.imageio.usual_view`;
* ``grey``: 1 for a picture that was saved in colour with three equal channels and is read as grey;
* ``values``: the value that each class has in the label file, where these are not 0, 1, 2, ...: ``"0 3 205"``;
* ``labelled_classes``: the classes that were labelled in this case, where others were not: a list of numbers, in files
  of names, too; or what the file beside the label map says when the list is read. Pixels of the others carry the label
  of the background, see `monai_supmix.imageio.partly`;
* ``label_of_slice``: 1 where the label file is of this ``slice`` alone, as a predicted one is;
* ``ignored``: the value of pixels of the label file that are to be ignored, which become 255;
* ``class_names``: the names by which segments of a DICOM label are recognised, only where the label is one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from monai_supmix.datalists.partly import KEY, numbered
from monai_supmix.imageio.labels import is_dicom_file

Item: TypeAlias = dict[str, Any]
SIDES = ("labeled", "unlabeled", "validation", "test")


def prepared(items: Iterable[Item], class_names: Sequence[str], subject: object) -> list[Item]:
    """Items that say of classes what reading their labels takes."""
    return [with_segment_names(item, class_names) for item in numbered(items, class_names, subject)]


def without_label(item: Item) -> Item:
    """An item as it stands in the unlabelled pool.

    Example:
        >>> without_label({"image": "a.png", "label": "a_mask.png", "case": "a", "labelled_classes": [2]})
        {'image': 'a.png', 'case': 'a'}
    """
    return {key: value for key, value in item.items() if key not in ("label", "label_of_slice", KEY)}


def with_segment_names(item: Item, class_names: Sequence[str]) -> Item:
    """An item that knows, if its label is DICOM, the names by which segments are classes.

    Example:
        >>> with_segment_names({"image": "a.png", "label": "a_mask.png", "case": "a"}, ["background", "vessel"])
        {'image': 'a.png', 'label': 'a_mask.png', 'case': 'a'}
    """
    if "label" not in item or not is_dicom_file(Path(item["label"])):
        return item
    return {**item, "class_names": list(class_names)}


def sources(items: Iterable[Mapping[str, Any]]) -> set[tuple[str, int | None]]:
    """The images of items, each once: a labelled one may be in the unlabelled pool as well, without its label.

    Example:
        >>> len(sources([{"image": "a.nii", "label": "m.nii"}, {"image": "a.nii"}, {"image": "a.h5", "slice": 0}]))
        2
    """
    return {(item["image"], item.get("slice")) for item in items}
