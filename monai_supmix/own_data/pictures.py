"""Labelled cases with the outlines of their masks: a mask that is of another image passes every check but the eye's."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_supmix.bundle.trained import IntensityRules
from monai_supmix.data.planes_loading import evenly_spaced
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
        index = int(np.argmax(np.count_nonzero(labels, axis=(1, 2))))
        plane, classes = (enlarged(one, _LONGEST) for one in (show(planes[index]), labels[index]))
        place = f", slice {index + 1} of {len(planes)}" if len(planes) > 1 else ""
        pictures[items[number]["case"] + place] = draw_outline(plane, classes, _LONGEST, planes.spacing)
    about = "Outlines of the masks; of a volume the plane is shown in which they mark most."
    told = f"{len(pictures)} of {counted(len(items), 'labelled case')}: {proposal.name}"
    write_labels_page(path, names, pictures, about, told)
