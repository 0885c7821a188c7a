"""From one image of many to its mask, its record, and what else is written beside them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from torch import nn

from monai_supmix.data.intensity_fitting import fit_intensity
from monai_supmix.files import make_directory, write_json
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.dicom_results import DicomResults, write_dicom
from monai_supmix.imageio.masks import in_label_values, write_mask
from monai_supmix.inferers.confidence import least_sure, predict_with_confidence, predicted_dice
from monai_supmix.inferers.filling import blank
from monai_supmix.inferers.inputs import InputCase
from monai_supmix.inferers.outputs import DICOM_ENDINGS, remove_old
from monai_supmix.inferers.probability_maps import ProbabilityMaps, map_infixes, map_paths, remove_maps
from monai_supmix.inferers.protocol import Inferer
from monai_supmix.inferers.runtime import OpenVINONetwork
from monai_supmix.inferers.suitability import (
    choose_intensity,
    cleaning_warnings,
    edge_warnings,
    suitability_warnings,
)
from monai_supmix.inferers.tensors import device_of, input_channels
from monai_supmix.metrics.calibration import Calibration
from monai_supmix.precision import autocast_dtype
from monai_supmix.weights.record import current_versions

Written = tuple[list[Path], list[str], dict[str, Any]]
"""The DICOM results, if any were written, what a reader of the mask should know, and what tables say of it:
`least_sure` and the volumes."""


def predict_and_judge(
    image: CaseImage,
    network: nn.Module,
    record: Mapping[str, Any],
    inferer: Inferer,
    intensity: str | None = None,
    maps: np.ndarray | None = None,
) -> tuple[np.ndarray, Sequence[float | None] | None, str, list[str]]:
    """Predict an image, and tell where the mask is not to be trusted.

    Args:
        image: the image, with the network's channels.
        network: the network.
        record: the record of the weights.
        inferer: predicts it.
        intensity: what the image's values are, ``None`` by the type of file.
        maps: filled with probabilities if given, see :func:`monai_supmix.inferers.predict_with_confidence`.

    Returns:
        the mask, the confidence of each class, the name of the intensity rule, and a sentence for each warning.
    """
    class_names = list(record["class_names"])
    name, rule = choose_intensity(record, image, intensity)
    warnings = suitability_warnings(image, record, name, inferer.axis)
    uncleaned = blank(image) if inferer.settings.get("cleaning") else None
    mask, sure = predict_with_confidence(inferer, image, network, rule, len(class_names), maps, uncleaned)
    warnings += edge_warnings(mask, image, inferer.settings.get("working"), inferer.axis)
    if uncleaned is not None:
        warnings += cleaning_warnings(uncleaned, mask, class_names)
    return mask, sure, name, warnings


@dataclass(frozen=True)
class CasePrediction:
    """Predicts single cases and writes what belongs to each, for `monai_supmix.inferers.predict_cases`.

    Args:
        output_dir: the folder for the masks.
        network: the network.
        record: the record of the weights.
        inferer: predicts one image.
        dicom: make DICOM segmentations and structure sets.
        intensity: what the inputs' values are.
        probabilities: whether to write a map for each foreground class.
        weights_sha256: the weights.
        settings: plain values to record.
        view_notes: what was done with the view of pictures.
        quality: tells what Dice a confidence means.
    """

    output_dir: Path
    network: nn.Module
    record: Mapping[str, Any]
    inferer: Inferer
    dicom: Sequence[DicomResults]
    intensity: str | None
    probabilities: bool
    weights_sha256: str | Sequence[str]
    settings: Mapping[str, Any]
    view_notes: tuple[str, ...]
    quality: Calibration | None = None

    @property
    def maps(self) -> list[str]:
        """What the names of the probability maps have before their ending."""
        return map_infixes(self.class_names) if self.probabilities else []

    def map_paths(self, case: InputCase) -> list[Path]:
        """Where the probability maps of a case lie, if they are wanted."""
        return map_paths(case.output(self.output_dir), self.class_names) if self.probabilities else []

    @property
    def class_names(self) -> list[str]:
        """Names of the classes, background first."""
        return list(self.record.get("class_names", []))

    @property
    def decisive(self) -> dict[str, Any]:
        """What decides the masks of all cases, in plain values."""
        return {
            "weights_sha256": self.weights_sha256,
            "inference": {**self.inferer.settings, "intensity": self.intensity, "probabilities": self.probabilities},
            # of weights without a record
            **{key: self.record[key] for key in ("from_configuration",) if key in self.record},
        }

    def made_with(self, case: InputCase) -> dict[str, Any]:
        """What decides the mask of a case beside its image, in plain values."""
        with_dicom = {results.option: True for results in self.dicom if results.on and case.is_dicom}
        return {"view": {"turns": case.turns, "mirror": case.mirror}, **self.decisive, **with_dicom}

    def check(self, image: CaseImage) -> None:
        """Raise `InputError` for an image that cannot be predicted, without predicting it."""
        image = fit_channels(image, input_channels(self.network))
        self.inferer.check(image, self.network)
        fit_intensity(image, choose_intensity(self.record, image, self.intensity)[1])
        for results in self.dicom:
            results.check(image)

    def __call__(self, case: InputCase, image: CaseImage) -> Callable[[], Written]:
        """Predict a case.

        Args:
            case: the case.
            image: its image, as read.

        Returns:
            writes the results when called, and needs none of the image's values for it.
        """
        network, record, inferer = self.network, self.record, self.inferer
        image = fit_channels(image, input_channels(network))
        mask_path = case.output(self.output_dir)
        make_directory(mask_path.parent)
        maps = ProbabilityMaps(image, mask_path, self.class_names) if self.probabilities else None
        with contextlib.ExitStack() as failing:
            if maps is not None:
                failing.callback(maps.close)
            filled = None if maps is None else maps.array
            mask, sure, name, warnings = predict_and_judge(image, network, record, inferer, self.intensity, filled)
            objects = {results.option: results.make(mask, image) for results in self.dicom}
            failing.pop_all()
        confidence = None if sure is None else dict(zip(self.class_names[1:], sure[1:], strict=True))
        volumes = class_volumes(mask, self.class_names, image)
        predicted, quality_notes = predicted_dice(confidence, self.quality, inferer.settings)
        dicom_notes = [note for _, notes in objects.values() for note in notes]
        image = replace(
            image, array=np.broadcast_to(np.uint8(0), image.array.shape)
        )  # where it lies, without its values

        def write() -> Written:
            sidecar = {
                "image": case.name,
                "class_names": self.class_names,
                **({"label_values": record["label_values"]} if "label_values" in record else {}),
                "image_sha256": case.sha256(),
                "image_stamp": case.stamp(),
                **self.made_with(case),
                "intensity": {"name": name, "rule": record["intensity"][name]},
                "precision": _precision(inferer, network),
                "runtime": network.runtime if isinstance(network, OpenVINONetwork) else "torch",
                "settings": dict(self.settings),
                "versions": {**current_versions(), "nibabel": nibabel.__version__, "numpy": np.__version__},
                "shape": list(mask.shape),
                "spacing": image.spacing,
                "volumes_ml": volumes,
                "confidence": confidence,
                **({} if predicted is None else {"predicted": predicted}),
                "warnings": warnings,
                "notes": [*image.notes, *(self.view_notes if image.is_picture else ()), *dicom_notes, *quality_notes],
            }
            remove_old(case, self.output_dir)
            remove_maps(mask_path)
            if maps is not None:
                with contextlib.closing(maps):
                    maps.write(image)
            # The mask last: wherever this is interrupted, no mask stands beside a record of other weights.
            write_json(sidecar, case.output(self.output_dir, ".json"))
            dicom = [
                write_dicom(result, case.output(self.output_dir, DICOM_ENDINGS[option]))
                for option, (result, _) in objects.items()
                if result is not None
            ]
            write_mask(in_label_values(mask, record), image, mask_path)
            return dicom, warnings, {**least_sure(confidence, predicted), "volumes_ml": volumes}

        return write


def class_volumes(mask: np.ndarray, class_names: Sequence[str], image: CaseImage) -> dict[str, float] | None:
    """Millilitres of each class in the mask of a volume.

    Args:
        mask: numbers of the classes.
        class_names: the background first, which is left out.
        image: where it lies.

    Returns:
        by name of the class; ``None`` for pictures, and for a single plane, whose thickness says nothing of what it
        cuts.

    Example:
        >>> image = CaseImage.from_array(np.zeros((10, 10, 5), np.int16), np.diag([1.0, 2.0, 5.0, 1.0]))
        >>> class_volumes(np.ones((10, 10, 5), np.uint8), ["background", "liver", "spleen"], image)
        {'liver': 5.0, 'spleen': 0.0}
    """
    if image.is_picture or image.spacing is None or image.affine is None or 1 in mask.shape:
        return None
    counts = np.zeros(len(class_names), np.int64)
    for plane in np.moveaxis(mask, -1, 0):  # one after the other: counting copies to 64 bits
        counts += np.bincount(plane.ravel(), minlength=len(class_names))
    # the determinant also holds where axes are not perpendicular (tilted gantry)
    voxel = abs(float(np.linalg.det(image.affine[:3, :3]))) / 1000
    return {name: round(count * voxel, 6) for name, count in zip(class_names[1:], counts[1:].tolist(), strict=True)}


def _precision(inferer: Inferer, network: nn.Module) -> str:
    """Number format of the forward pass, which may differ between machines and change single pixels."""
    if isinstance(network, OpenVINONetwork):
        return str(network.precision).removeprefix("torch.")
    device = inferer.device or device_of(network)
    return str(autocast_dtype(inferer.amp, device) or torch.float32).removeprefix("torch.")
