"""Predict many cases: check them, predict them one after the other, write masks and their records."""

from __future__ import annotations

import contextlib
import glob
import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import nibabel
import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from monai_supmix.errors import InputError
from monai_supmix.files import make_directory
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.dicom_seg import DicomSegmentations, write_segmentation
from monai_supmix.imageio.masks import in_label_values, mask_suffix, write_json, write_mask
from monai_supmix.inferers.inputs import InputCase, find_inputs, set_view
from monai_supmix.inferers.outputs import check_outputs, is_there, remove_old
from monai_supmix.inferers.protocol import Inferer
from monai_supmix.inferers.reading import read_cases
from monai_supmix.inferers.runtime import OpenVINONetwork
from monai_supmix.inferers.slice_volume import fit_intensity, input_channels
from monai_supmix.inferers.suitability import choose_intensity, suitability_warnings
from monai_supmix.precision import autocast_dtype
from monai_supmix.weights.record import current_versions

logger = logging.getLogger(__name__)


@dataclass
class PredictionSummary:
    """What became of the cases.

    Args:
        written: masks written now.
        dicom: DICOM segmentations written now.
        skipped: masks that were there already, made with the same weights and settings.
        failed: name of the case and its error, only with ``on_error="skip"``.
        warnings: by name of the case, what a reader of its mask should know.
        notes: what was left out when searching.

    Example:
        >>> summary = PredictionSummary(written=[Path("out/a_seg.png")], failed=[("b", "b.png: is empty")])
        >>> len(summary.written), len(summary.skipped), [case for case, _ in summary.failed]
        (1, 0, ['b'])
    """

    written: list[Path] = field(default_factory=list)
    dicom: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def predict_cases(
    inputs: str | Path | Sequence[str | Path],
    output_dir: str | Path,
    network: nn.Module,
    record: Mapping[str, Any],
    inferer: Inferer,
    *,
    intensity: str | None = None,
    overwrite: bool = False,
    on_error: Literal["raise", "skip"] = "raise",
    probabilities: bool = False,
    view: str = "upright",
    dicom_seg: bool | Literal["auto"] = False,
    dicom_codes: Mapping[str, Any] | None = None,
    weights_sha256: str = "",
    settings: Mapping[str, Any] | None = None,
) -> PredictionSummary:
    """Predict every case that `inputs` names and write ``<output_dir>/<relative folder>/<stem>_seg.nii.gz``.

    Pictures give ``_seg.png``, DICOM series also ``_seg.dcm`` if that is wanted. Beside each mask lies
    ``<stem>_seg.json`` with the weights' SHA-256, versions, settings, warnings and notes. At most two images are in
    memory: the one being predicted and, where there is plenty of memory, the next one, which is read meanwhile.

    Args:
        inputs: file, folder, pattern, datalist or several of these, see `find_inputs`.
        output_dir: made if missing.
        network: the network.
        record: the record of the weights: ``intensity`` rules, ``class_names``, ``trained_on``.
        inferer: predicts one image.
        intensity: ``"hu"`` or ``"picture"``, what the inputs' values are; by file type if ``None``.
        overwrite: replace masks that exist. Otherwise they are skipped, and are an error if their record
            is about another image, other weights or settings.
        on_error: ``"raise"``: all inputs are read and checked before the first mask is written, the first
            error ends the run. ``"skip"``: cases with an error are listed in the summary, the others continue.
        probabilities: write ``<stem>_seg_prob_<class>`` for each foreground class too, uint8 in units of
            1/255 (NIfTI readers apply the scale).
        view: how pictures lie, see `set_view`.
        dicom_seg: whether masks of DICOM series are also written as DICOM segmentations, which carry the
            patient's name and identifiers: ``True``, ``"auto"`` (wherever it is possible) or ``False``.
        dicom_codes: what their segments show, see `monai_supmix.imageio.dicom_seg.DicomSegmentations`.
        weights_sha256: recorded, and compared with the records of existing masks.
        settings: plain values to record, such as the configuration.

    Returns:
        what was written, skipped, and failed.

    Raises:
        InputError: nothing to predict, two inputs with one output name, an output folder that cannot be
            written, and with ``on_error="raise"`` whatever is wrong with any input.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("RGB", (8, 8)).save(folder / "eye.png")
        >>> rules = {"picture": {"rule": "percentile_scale"}}
        >>> record = {"intensity": rules, "class_names": ["background", "vessel"], "trained_on": {}}
        >>> network, inferer = nn.Conv2d(3, 2, 1), SliceVolumeInferer()
        >>> summary = predict_cases(folder / "eye.png", folder / "masks", network, record, inferer)
        >>> [path.name for path in summary.written], summary.warnings
        (['eye_seg.png'], {'eye.png': ['all values are 0: the image is blank']})
    """
    if on_error not in ("raise", "skip"):
        raise InputError("on_error", f"is {on_error!r}", "use 'raise' or 'skip'")
    output_dir = Path(output_dir)
    cases, notes = find_inputs(inputs)
    cases, view_notes = set_view(cases, view)
    notes = [*notes, *view_notes]
    segmentations = DicomSegmentations(dicom_seg, record.get("class_names", []), dicom_codes, weights_sha256)
    if any(case.is_dicom for case in cases):
        notes += segmentations.notes
    summary = PredictionSummary(notes=notes)
    mapped = list(record.get("class_names", []))[1:] if probabilities else []
    check_outputs(cases, output_dir, [_map_infix(name) for name in mapped])

    def made_with(case: InputCase) -> dict[str, Any]:
        return {
            "image_sha256": case.sha256(),
            "view": {"turns": case.turns, "mirror": case.mirror},
            "weights_sha256": weights_sha256,
            "inference": {**inferer.settings, "intensity": intensity, "probabilities": probabilities},
            **({"dicom_seg": True} if segmentations.on and case.is_dicom else {}),
            **{key: record[key] for key in ("from_configuration",) if key in record},  # of weights without a record
        }

    todo = []
    for case in cases:
        with _reporting(case, summary, on_error):
            if overwrite or not is_there(case, output_dir, made_with, summary.notes):
                todo.append(case)
            else:
                summary.skipped.append(case.output(output_dir))
    hidden = None if inferer.progress else True  # None: hidden unless on a terminal

    def check(image: CaseImage) -> None:
        image = fit_channels(image, input_channels(network))
        inferer.check(image, network)
        fit_intensity(image, choose_intensity(record, image, intensity)[1])
        segmentations.check(image)

    only = _check_all(todo, check, hidden) if on_error == "raise" else None
    found: Iterable = read_cases(todo, ahead=True) if only is None else zip(todo, [only], strict=True)
    for case, image in tqdm(found, "cases", len(todo), disable=hidden):
        with _reporting(case, summary, on_error):
            if isinstance(image, Exception):
                raise image
            image = fit_channels(image, input_channels(network))  # noqa: PLW2901
            name, rule = choose_intensity(record, image, intensity)
            warnings = suitability_warnings(image, record, name, inferer.axis)
            mask_path = case.output(output_dir)
            make_directory(mask_path.parent)
            with _probability_maps(image, mask_path, record, probabilities) as maps:
                mask = inferer(image, network, rule, maps)
            segmentation, seg_notes = segmentations.make(mask, image)
            sidecar = {
                "image": case.name,
                "class_names": list(record.get("class_names", [])),
                **({"label_values": record["label_values"]} if "label_values" in record else {}),
                **made_with(case),
                "intensity": {"name": name, "rule": record["intensity"][name]},
                "precision": _precision(inferer, network),
                "runtime": network.runtime if isinstance(network, OpenVINONetwork) else "torch",
                "settings": dict(settings or {}),
                "versions": {**current_versions(), "nibabel": nibabel.__version__, "numpy": np.__version__},
                "shape": list(mask.shape),
                "spacing": image.spacing,
                "warnings": warnings,
                "notes": [*image.notes, *(view_notes if image.is_picture else ()), *seg_notes],
            }
            remove_old(case, output_dir)
            # The mask last: wherever this is interrupted, no mask stands beside a record of other weights.
            write_json(sidecar, case.output(output_dir, ".json"))
            if segmentation is not None:
                summary.dicom.append(write_segmentation(segmentation, case.output(output_dir, ".dcm")))
            write_mask(in_label_values(mask, record), image, mask_path)
            summary.written.append(mask_path)
            if warnings:
                summary.warnings[case.name] = warnings
                logger.warning("%s: %s", case.name, "; ".join(warnings))
        del image
    return summary


def _check_all(cases: Sequence[InputCase], check: Callable[[CaseImage], None], hidden: bool | None) -> CaseImage | None:
    """Read and check every case, raising the first error; a single image is returned, to be read no second time."""
    for _, image in tqdm(read_cases(cases), "checking", len(cases), disable=hidden):
        if isinstance(image, Exception):
            raise image
        check(image)
        if len(cases) == 1:
            return image
        del image  # before the next is read: never two images in memory
    return None


@contextlib.contextmanager
def _reporting(case: InputCase, summary: PredictionSummary, on_error: str) -> Iterator[None]:
    """With ``on_error="skip"``, note an error of this case instead of raising it."""
    try:
        yield
    except Exception as error:
        if on_error == "raise":
            raise
        text = str(error) if isinstance(error, InputError) else f"{case.path}: {type(error).__name__}: {error}"
        summary.failed.append((case.name, text))


@contextlib.contextmanager
def _probability_maps(
    image: CaseImage, mask_path: Path, record: Mapping[str, Any], wanted: bool
) -> Iterator[np.ndarray | None]:
    """Give an array ``(classes, *shape)`` on disk; write its foreground maps when the block ends well."""
    stem = mask_path.name.removesuffix(mask_suffix(image))
    for old in mask_path.parent.glob(f"{glob.escape(stem)}_prob_*"):  # of the mask that is replaced
        old.unlink()
    if not wanted:
        yield None
        return
    names = list(record["class_names"])
    temporary = mask_path.with_name(f".{mask_path.name[:100]}.{os.getpid()}.prob")
    try:
        maps = np.memmap(temporary, np.uint8, "w+", shape=(*image.label_shape, len(names)), order="F")
        yield np.moveaxis(maps, -1, 0)
        for index, name in enumerate(names[1:], start=1):
            path = mask_path.with_name(f"{stem}{_map_infix(name)}{mask_suffix(image)}")
            write_mask(maps[..., index], image, path, slope=1 / 255)
    finally:
        temporary.unlink(missing_ok=True)


def _map_infix(class_name: str) -> str:
    """What the name of a class's probability map has before its ending."""
    return "_prob_" + re.sub(r"[^\w-]+", "_", class_name)


def _precision(inferer: Inferer, network: nn.Module) -> str:
    """Number format of the forward pass, which may differ between machines and change single pixels."""
    if isinstance(network, OpenVINONetwork):
        return str(network.precision).removeprefix("torch.")
    device = inferer.device or next((parameter.device for parameter in network.parameters()), "cpu")
    return str(autocast_dtype(inferer.amp, device) or torch.float32).removeprefix("torch.")
