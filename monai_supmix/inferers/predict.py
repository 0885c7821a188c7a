"""Predict many cases: check them, predict them one after the other, write masks and their records."""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn
from tqdm import tqdm

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.dicom_seg import DicomSegmentations
from monai_supmix.inferers.cohort import Cohort
from monai_supmix.inferers.collecting import CaseRecords
from monai_supmix.inferers.inputs import InputCase, find_inputs, set_view
from monai_supmix.inferers.one_case import CasePrediction
from monai_supmix.inferers.outputs import check_outputs, is_there
from monai_supmix.inferers.progress import CaseProgress
from monai_supmix.inferers.protocol import Inferer
from monai_supmix.inferers.reading import read_cases
from monai_supmix.metrics.calibration import Calibration
from monai_supmix.processes import agreed, from_first, gather, rank, share

logger = logging.getLogger(__name__)

CHECKED_FIRST = 300
"""Up to so many inputs are all read and checked before the first mask is written."""


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


def merged(summaries: Sequence[PredictionSummary]) -> PredictionSummary:
    """The summaries of several processes as one; what all of them note is noted once.

    Example:
        >>> parts = [PredictionSummary(written=[Path("b")], notes=["n"]), PredictionSummary([Path("a")], notes=["n"])]
        >>> [path.name for path in merged(parts).written], merged(parts).notes
        (['a', 'b'], ['n'])
    """
    if len(summaries) == 1:
        return summaries[0]
    lists = ("written", "dicom", "skipped", "failed")
    whole = {name: sorted(entry for part in summaries for entry in getattr(part, name)) for name in lists}
    warnings = dict(sorted(item for part in summaries for item in part.warnings.items()))
    return PredictionSummary(
        **whole, warnings=warnings, notes=list(dict.fromkeys(n for part in summaries for n in part.notes))
    )


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
    weights_sha256: str | Sequence[str] = "",
    settings: Mapping[str, Any] | None = None,
    verify: bool = False,
    shard: str | None = None,
    keep_record: bool = False,
    quality: Calibration | None = None,
) -> PredictionSummary:
    """Predict every case that `inputs` names and write ``<output_dir>/<relative folder>/<stem>_seg.nii.gz``.

    Pictures give ``_seg.png``, DICOM series also ``_seg.dcm`` if that is wanted. Beside each mask lies
    ``<stem>_seg.json`` with the weights' SHA-256, versions, settings, warnings and notes. At most two images are in
    memory: the one being predicted and, where there is plenty of memory, the next one, which is read meanwhile.

    The processes of a launch (``torch.distributed``) share the cases, and so do others that predict into the same
    folder with the same settings: each case is claimed before it is read, see `monai_supmix.inferers.cohort`.

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
        dicom_codes: what their segments show, see `monai_supmix.imageio.dicom_seg.DicomSegmentations`.
        weights_sha256: recorded, and compared with the records of existing masks; of several networks several.
        settings: plain values to record, such as the configuration.
        verify: recognise the images of existing masks by their hash, not by size and time.
        shard: ``"i/n"`` predicts the i-th of n parts of the cases.
        keep_record: also write down what became of each of several cases, for `monai_supmix.inferers.collect`.
        quality: tells what Dice a confidence means, see `monai_supmix.metrics.Calibration`.

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
    output_dir = Path(output_dir)
    segmentations = DicomSegmentations(dicom_seg, record.get("class_names", []), dicom_codes, weights_sha256)
    cases, notes, view_notes = from_first(lambda: _find(inputs, view))
    if any(case.is_dicom for case in cases):
        notes += segmentations.notes
    predict = CasePrediction(
        output_dir, network, record, inferer, segmentations, intensity, probabilities, weights_sha256, settings or {},
        tuple(view_notes), quality,
    )  # fmt: skip
    from_first(lambda: check_outputs(cases, output_dir, predict.maps))
    run = _Run(predict, PredictionSummary(notes=notes), CaseRecords(output_dir), on_error, verify)
    only = None
    with agreed():
        mine = share(cases, shard)
        todo = mine if overwrite else [case for case in mine if run.is_open(case)]
        if on_error == "raise" and len(cases) <= CHECKED_FIRST:
            only = _check_all(todo, predict.check, None if inferer.progress else True)  # None: only on a terminal
        elif on_error == "raise" and rank() == 0:
            more = "each is checked when it is read; the first error ends the run (on_error=skip goes on)"
            logger.info("more than %d inputs: %s", CHECKED_FIRST, more)
    decisive = {**predict.decisive, "view": view, "dicom_seg": segmentations.on, "dicom_codes": dicom_codes}
    with (
        Cohort(output_dir, decisive) as cohort,
        run.records.kept(cohort, cases if keep_record and len(cases) > 1 else ()),
        CaseProgress(cohort, len(todo), shown=inferer.progress) as progress,
    ):

        def open_ones(claimed: Iterable[InputCase], look: bool = True) -> Iterator[InputCase]:
            """What nobody else has finished since we looked."""
            for case in claimed:
                if not look or run.is_open(case):
                    yield case
                else:
                    cohort.release(case)
                    progress.step()

        free = open_ones(cohort.take(todo), look=not overwrite)
        found = read_cases(free, ahead=True) if only is None else ((case, only) for case in free)
        for case, image in itertools.chain(found, read_cases(open_ones(cohort.wait()))):
            run.predict_case(case, image, progress)
            del image  # before the next is read
            cohort.release(case)
            progress.step(failed=len(run.summary.failed))
    return merged(gather(run.summary))


@dataclass
class _Run:
    """What becomes of the cases of one process."""

    predict: CasePrediction
    summary: PredictionSummary
    records: CaseRecords
    on_error: str
    verify: bool

    def is_open(self, case: InputCase) -> bool:
        """Whether a case is to be predicted: neither is its mask there, nor is something wrong with what is there."""
        output_dir = self.predict.output_dir
        with self.reporting(case):
            if not is_there(case, output_dir, self.predict.made_with(case), self.summary.notes, self.verify):
                return True
            self.summary.skipped.append(case.output(output_dir))
            self.records.write(case, "done")
        return False

    def predict_case(self, case: InputCase, image: CaseImage | Exception, progress: CaseProgress) -> None:
        """Predict a case and note what was written."""
        with self.reporting(case):
            if isinstance(image, Exception):
                raise image
            segmentation, warnings, sure = self.predict(case, image)
            self.summary.written.append(case.output(self.predict.output_dir))
            self.summary.dicom += [segmentation] if segmentation is not None else []
            self.records.write(case, "done", warnings=warnings, **sure)
            if warnings:
                self.summary.warnings[case.name] = warnings
                progress.warn(case.name, warnings)

    @contextlib.contextmanager
    def reporting(self, case: InputCase) -> Iterator[None]:
        """With ``on_error="skip"``, note an error of this case instead of raising it."""
        try:
            yield
        except Exception as error:
            known = isinstance(error, InputError)
            subject = error.subject if isinstance(error, InputError) else str(case.path)
            text = str(error) if known else f"{subject}: {type(error).__name__}: {error}"
            self.records.write(case, "failed", problem=text.removeprefix(f"{subject}: "))
            if self.on_error == "raise":
                raise
            self.summary.failed.append((case.name, text))


def _find(inputs: str | Path | Sequence[str | Path], view: str) -> tuple[list[InputCase], list[str], list[str]]:
    """The cases, all notes on them, and those on their view."""
    cases, notes = find_inputs(inputs)
    cases, view_notes = set_view(cases, view)
    return cases, [*notes, *view_notes], view_notes


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
