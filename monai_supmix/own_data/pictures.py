"""Labelled cases with the outlines of their masks: a mask that is of another image passes every check but the eye's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.bundle.trained import IntensityRules
from monai_supmix.data.planes_loading import evenly_spaced
from monai_supmix.datalists.partly import KEY
from monai_supmix.imageio.cases import load_case
from monai_supmix.imageio.partly import IGNORED
from monai_supmix.imageio.planes import Planes
from monai_supmix.listing import counted
from monai_supmix.own_data.proposal import Proposal
from monai_supmix.report.gallery import brightness
from monai_supmix.report.labels import write_labels_page
from monai_supmix.report.pictures import draw_outline, enlarged

LABELS_NAME = "labels.html"
_MOST, _LONGEST = 24, 320


def write_labels(proposal: Proposal, path: Path) -> None:
    """Write a page of labelled cases, evenly chosen where there are many, of the training side and of the test.

    Args:
        proposal: what was found.
        path: the file; its folder must exist.

    Raises:
        InputError: a file cannot be read any more, or the system refuses to write.
    """
    names = proposal.datalist.class_names
    items = sorted([*proposal.datalist.labeled, *proposal.datalist.test], key=lambda item: item["case"])
    rules = IntensityRules(proposal.intensity_settings, proposal.intensity)
    pictures = {}
    for number in evenly_spaced(len(items), _MOST).tolist():
        image, label = load_case(items[number], len(names))
        assert label is not None  # of a labelled case
        planes, show = Planes(image, proposal.axis), brightness(image, rules)
        labels = planes.view(np.where(label == IGNORED, 0, label))
        index = telling_plane(labels, len(names))
        plane, classes = (enlarged(one, _LONGEST) for one in (show(planes[index]), labels[index]))
        place = f"plane {index + 1} of {len(planes)}" if len(planes) > 1 else ""
        title = _title(items[number], names, place, empty=not labels.any())
        pictures[title] = draw_outline(plane, classes, _LONGEST, planes.spacing)
    about = "Outlines of the masks. Of a volume the plane is shown that has the most classes, and the most of them."
    subtitle = f"{len(pictures)} of {counted(len(items), 'labelled case')}: {proposal.name}"
    write_labels_page(path, names, pictures, about, subtitle)


def _title(item: Mapping[str, Any], names: Sequence[str], place: str, empty: bool) -> str:
    labelled = ", ".join(names[number] for number in item.get(KEY, ()))
    parts = (item["case"], place, f"labelled: {labelled}" if labelled else "", "no class in this mask" if empty else "")
    return ", ".join(part for part in parts if part)


def telling_plane(labels: np.ndarray, num_classes: int) -> int:
    """The plane that shows the most classes, and of such planes the one with most of them; else the middle.

    Args:
        labels: ``(planes, H, W)`` integers, 0 is background.
        num_classes: background included.

    Example:
        >>> labels = np.zeros((5, 1, 4), int)
        >>> labels[1], labels[3, 0, :2] = 1, (1, 2)
        >>> telling_plane(labels, 3), telling_plane(labels * 0, 3)
        (3, 2)
    """
    counts = np.array([np.bincount(plane.ravel(), minlength=num_classes)[1:num_classes] for plane in labels])
    if not counts.any():
        return len(labels) // 2
    return int(np.lexsort((counts.sum(axis=1), (counts > 0).sum(axis=1)))[-1])
