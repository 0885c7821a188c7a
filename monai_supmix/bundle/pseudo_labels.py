"""Masks of unlabelled images, made by trained networks, as labels of a training."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.bundle.distributed import waiting_for_all
from monai_supmix.bundle.trained import Trained
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.fingerprint import fingerprint
from monai_supmix.files import make_directory, write_json
from monai_supmix.imageio.cases import load_case
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.masks import in_label_values, mask_suffix, write_mask
from monai_supmix.inferers import Inferer
from monai_supmix.inferers.one_case import predict_and_judge
from monai_supmix.inferers.progress import alike, first_of
from monai_supmix.inferers.tensors import input_channels
from monai_supmix.listing import shorten
from monai_supmix.networks import Ensemble
from monai_supmix.processes import agreed, from_first, gather, rank, share
from monai_supmix.weights import common_record

logger = logging.getLogger(__name__)

_MADE_BY = "made_by.json"


def write_pseudo_labels(
    masks: Path, datalist: Datalist, trained: Sequence[Trained], inferer: Inferer, intensity: str | None = None
) -> None:
    """Write what the mean of some networks makes of the unlabelled images, unless it is there.

    Several processes share the images, each with networks of its own. Says how much of each class was found, and what
    inference would warn of.

    Args:
        masks: the folder; ``made_by.json`` in it says of which networks and images its masks are.
        datalist: has the images.
        trained: the networks.
        inferer: predicts an image.
        intensity: what the images' values are, ``None`` by the type of file.

    Raises:
        InputError: an image cannot be read, or does not suit the networks.
    """
    made_by = {
        "weights_sha256": [one.sha256 for one in trained],
        "prediction": {**inferer.settings, "intensity": intensity},
        "data": fingerprint(replace(datalist, labeled=[])),
    }
    note = masks / _MADE_BY
    if from_first(lambda: _are_there(note, made_by)):
        return
    network = Ensemble([one.network for one in trained]).eval()
    record = common_record({one.path: one.record for one in trained})
    values = datalist.label_values()
    pixels = np.zeros(len(datalist.class_names), np.int64)
    case_warnings: dict[str, list[str]] = {}
    with agreed(), waiting_for_all():
        for item in share(datalist.unlabeled):
            image, _ = load_case({key: value for key, value in item.items() if key != "label"}, len(pixels))
            image = fit_channels(image, input_channels(network))
            mask, _, _, case_warnings[item["case"]] = predict_and_judge(image, network, record, inferer, intensity)
            pixels += np.bincount(mask.ravel(order="K"), minlength=len(pixels))
            path = masks / f"{item['case']}_seg{mask_suffix(image)}"
            make_directory(path.parent)
            write_mask(in_label_values(mask, {} if values is None else {"label_values": values}), image, path)
    pixels = np.sum(gather(pixels), axis=0)
    case_warnings = {case: warnings for part in gather(case_warnings) for case, warnings in part.items()}
    if rank() > 0:
        return
    write_json(made_by, note)  # last: it says that all masks are there
    for kind, cases in alike(case_warnings).items():
        logger.warning("pseudo-labels of %s: %s", shorten(cases), first_of(kind, case_warnings[cases[0]]))
    shares = zip(datalist.class_names[1:], pixels[1:] / pixels.sum(), strict=True)
    of_each = ", ".join(f"{100 * part:.2g} % {name}" for name, part in shares)
    logger.info("%d pseudo-labels, %s: %s", len(datalist.unlabeled), of_each, masks)


def _are_there(note: Path, made_by: dict[str, Any]) -> bool:
    """Whether a folder has these masks already; else it is made ready for them."""
    make_directory(note.parent)
    if not note.exists():
        return False
    if json.loads(note.read_text(encoding="utf-8")) == json.loads(json.dumps(made_by)):
        logger.info("the pseudo-labels in %s are there already", note.parent)
        return True
    note.unlink()  # from here on the folder holds masks of both
    return False
