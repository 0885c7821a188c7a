"""Predict many cases: find and check them, share them among processes, and sum up what became of them."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from torch import nn
from tqdm import tqdm

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.dicom_seg import DicomSegmentations
from monai_supmix.imageio.rtstruct import StructureSets
from monai_supmix.inferers.case_run import CaseRun
from monai_supmix.inferers.cohort import Cohort
from monai_supmix.inferers.collecting import CaseRecords, has_records
from monai_supmix.inferers.inputs import InputCase, find_inputs, set_view
from monai_supmix.inferers.one_case import CasePrediction
from monai_supmix.inferers.outputs import among_inputs, check_outputs
from monai_supmix.inferers.progress import CaseProgress
from monai_supmix.inferers.protocol import Inferer
from monai_supmix.inferers.reading import read_cases
from monai_supmix.inferers.summary import PredictionSummary, merged
from monai_supmix.metrics.calibration import Calibration
from monai_supmix.processes import agreed, from_first, gather, rank, share

logger = logging.getLogger(__name__)

CHECKED_FIRST = 300
"""Up to so many inputs are all read and checked before the first mask is written."""


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
    rtstruct: bool | Literal["auto"] = False,
    dicom_codes: Mapping[str, Any] | None = None,
    weights_sha256: str | Sequence[str] = "",
    settings: Mapping[str, Any] | None = None,
    verify: bool = False,
    shard: str | None = None,
    keep_record: bool = False,
    quality: Calibration | None = None,
    readers: int = 1,
) -> PredictionSummary:
    """Predict every case that `inputs` names and write ``<output_dir>/<relative folder>/<stem>_seg.nii.gz``.

    Pictures give ``_seg.png``, DICOM series also ``_seg.dcm`` and ``_seg_rtstruct.dcm`` if these are wanted. Beside
    each mask lies ``<stem>_seg.json`` with the weights' SHA-256, versions, settings, warnings and notes. In memory
    are the image that is being predicted and, where there is plenty of memory, the next one or `readers` next ones,
    read meanwhile.

    The processes of a launch (``torch.distributed``) share the cases, and so do others that predict into the same
    folder with the same settings: each case is claimed before it is read, see `monai_supmix.inferers.cohort`. Those of
    a launch begin with the largest files.

    Args:
        inputs: file, folder, pattern, datalist or several of these, see `find_inputs`.
        output_dir: made if missing.
        network: the network.
        record: the record of the weights: ``intensity`` rules, ``class_names``, ``trained_on``.
        inferer: predicts one image.
        intensity: ``"hu"`` or ``"picture"``, what the inputs' values are; by file type if ``None``.
        overwrite: replace masks that exist. Otherwise they are skipped, and are an error if their record
            is about another image, other weights or settings.
        on_error: ``"raise"``: all inputs are read and checked before the first mask is written, more than
            `CHECKED_FIRST` of them as their turn comes; the first error ends the run. ``"skip"``: cases with an error
            are listed in the summary, the others continue.
        probabilities: write ``<stem>_seg_prob_<class>`` for each foreground class too, uint8 in units of
            1/255 (NIfTI readers apply the scale).
        view: how pictures lie, see `set_view`.
        dicom_seg: whether masks of DICOM series are also written as DICOM segmentations, which carry the
            patient's name and identifiers: ``True``, ``"auto"`` (wherever it is possible) or ``False``.
        rtstruct: likewise, whether they are also written as DICOM structure sets, the contours of radiotherapy.
        dicom_codes: what their segments show, see `monai_supmix.imageio.dicom_results.DicomResults`.
        weights_sha256: recorded, and compared with the records of existing masks; of several networks several.
        settings: plain values to record, such as the configuration.
        verify: recognise the images of existing masks by their hash, not by size and time.
        shard: ``"i/n"`` predicts the i-th of n parts of the cases.
        keep_record: also write down what became of each of several cases, or of a single one where there are such
            records, for `monai_supmix.inferers.collect`.
        quality: tells what Dice a confidence means, see `monai_supmix.metrics.Calibration`.
        readers: so many images are read ahead, each in a thread, while one is predicted, as far as memory allows; with
            more than 1, masks are also written meanwhile.

    Returns:
        what was written, skipped, and failed by all processes of the launch.

    Raises:
        InputError: nothing to predict, two inputs with one output name, an output folder that cannot be
            written or is being written to with other settings, and with ``on_error="raise"`` whatever is wrong with
            any input.

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
    if isinstance(readers, bool) or not isinstance(readers, int) or readers < 1:
        raise InputError("readers", f"is {readers!r}", "give the number of images to read ahead, at least 1")
    output_dir = Path(output_dir)
    described = (record.get("class_names", []), dicom_codes, weights_sha256)
    dicom = (DicomSegmentations(dicom_seg, *described), StructureSets(rtstruct, *described))
    cases, notes, view_notes = from_first(lambda: _find(inputs, view))
    if any(case.is_dicom for case in cases):
        notes += [note for results in dicom for note in results.notes]
    predict = CasePrediction(
        output_dir, network, record, inferer, dicom, intensity, probabilities, weights_sha256, settings or {},
        tuple(view_notes), quality,
    )  # fmt: skip
    from_first(lambda: check_outputs(cases, output_dir, predict.maps))
    notes += among_inputs(cases, output_dir)
    run = CaseRun(predict, PredictionSummary(notes=notes), CaseRecords(output_dir), on_error, verify)
    only = None
    with agreed():
        mine = share(cases, shard, _size)
        todo = mine if overwrite else [case for case in mine if run.is_open(case)]
        if on_error == "raise" and len(cases) <= CHECKED_FIRST:
            only = _check_all(todo, predict.check, None if inferer.progress else True)  # None: only on a terminal
        elif on_error == "raise" and rank() == 0:
            more = "each is checked when it is read; the first error ends the run (on_error=skip goes on)"
            logger.info("more than %d inputs: %s", CHECKED_FIRST, more)
    with_dicom = {results.option: results.on for results in dicom}
    decisive = {**predict.decisive, "view": view, **with_dicom, "dicom_codes": dicom_codes}
    with (
        Cohort(output_dir, decisive) as cohort,
        run.records.kept(cohort, cases if keep_record and (len(cases) > 1 or has_records(output_dir)) else ()),
        CaseProgress(cohort, len(todo), shown=inferer.progress) as progress,
    ):
        run.work_through(todo, cohort, progress, only, readers, look=not overwrite)
    return merged(gather(run.summary))


def _find(inputs: str | Path | Sequence[str | Path], view: str) -> tuple[list[InputCase], list[str], list[str]]:
    """The cases, all notes on them, and those on their view."""
    cases, notes = find_inputs(inputs)
    cases, view_notes = set_view(cases, view)
    return cases, [*notes, *view_notes], view_notes


def _size(case: InputCase) -> int:
    """Bytes of a case; one that cannot be read is told of when its turn comes."""
    with contextlib.suppress(InputError):
        return case.stamp()["bytes"]
    return 0


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
