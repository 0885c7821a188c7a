"""Masks of DICOM series as DICOM segmentations, written with highdicom (the extra ``dicom``).

A segmentation belongs to the patient and study of its series: unlike the NIfTI mask it carries the patient's name and
identifiers. Messages and notes name the folder that the user gave, never a patient or UID.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.dicom import DicomImage
from monai_supmix.palette import class_palette
from monai_supmix.version import __version__

if TYPE_CHECKING:
    from highdicom.seg import Segmentation, SegmentDescription
    from pydicom import Dataset

Code = Sequence[str]
"""Value, coding scheme and meaning, such as ``("60046008", "SCT", "Pleural effusion")``."""

_NAME = "MONAI-SupMix"
_PACKAGES = ("highdicom", "pydicom")
_REMEDY = "set dicom_seg to false to write only the NIfTI mask"
_TISSUE = ("85756007", "SCT", "Tissue")  # what DICOM's own examples say where nothing more is known
# A segmentation must have these, empty where nothing is known; anonymised series often lack them altogether.
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName"),
)
_MUST_BE_ONE = {
    "FrameOfReferenceUID": "frame of reference",
    "StudyInstanceUID": "study",
    "SOPClassUID": "kind of object",
}


def has_highdicom() -> bool:
    """Whether the packages of the extra ``dicom`` are installed."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


class DicomSegmentations:
    """Makes masks of DICOM series into segmentations that any DICOM viewer lays over the series.

    One binary segment for each foreground class, numbered as in the mask, with the colour that reports give it; the
    frames of a segment are the slices that hold it, at the place and in the frame of reference of the series' own
    slices.

    Args:
        wanted: ``True``: of every DICOM series, or it is an error; ``"auto"``: wherever it is possible, that is, when
            the extra is installed and the series' headers allow it; ``False``: of none.
        class_names: names of the classes, background first; they label the segments.
        codes: by class name the coded ``category`` and ``type`` of what a segment shows, each a `Code`. Classes that
            are not named get the generic *tissue*; names of other classes have no effect.
        weights_sha256: identifies the weights, those of several networks by several hashes; recorded with the package's
            name and version as the algorithm.

    Attributes:
        on: whether any are made.
        notes: why none are made although they are wanted.

    Raises:
        InputError: another value of `wanted`, ``True`` without the extra, or codes that are none.
    """

    def __init__(
        self,
        wanted: bool | Literal["auto"],
        class_names: Sequence[str],
        codes: Mapping[str, Mapping[str, Code]] | None = None,
        weights_sha256: str | Sequence[str] = "",
    ) -> None:
        if not isinstance(wanted, bool) and wanted != "auto":
            raise InputError("dicom_seg", f"is {wanted!r}", "use true, false or 'auto'")
        self.required, self.on = wanted is True, wanted is not False and has_highdicom()
        self.notes: list[str] = []
        if wanted and not self.on:
            problem = f"takes {' and '.join(_PACKAGES)}, which are not installed"
            if self.required:
                raise InputError("dicom_seg", problem, f"pip install 'monai-supmix[dicom]', or {_REMEDY}")
            self.notes = [f"no DICOM segmentations: dicom_seg {problem} (pip install 'monai-supmix[dicom]')"]
        self.class_names = list(class_names)
        self.hashes = [weights_sha256] if isinstance(weights_sha256, str) else list(weights_sha256)
        self.codes = _checked(codes or {})

    def check(self, image: CaseImage) -> None:
        """Try the outermost slices of a series without a mask, before time is spent on predicting it.

        Args:
            image: any image; only of a DICOM series, see `monai_supmix.imageio.dicom.read_dicom`, something is asked.

        Raises:
            InputError: it makes no segmentation although it must.
        """
        if self.on and self.required and isinstance(image, DicomImage):
            self._build(np.zeros(image.array.shape, np.uint8), image, sample=True)

    def make(self, mask: np.ndarray, image: CaseImage) -> tuple[Segmentation | None, list[str]]:
        """Make the segmentation of a series.

        Args:
            mask: uint8 ``(columns, rows, slices)``, the series' own grid.
            image: the series; of another image there is no segmentation.

        Returns:
            the segmentation, for `write_segmentation`; and notes for the reader of the result, among them why there
            is none.

        Raises:
            InputError: the series makes none although it must.
        """
        if not self.on or not isinstance(image, DicomImage):
            return None, []
        try:
            segmentation = self._build(mask, image)
        except InputError as error:
            if self.required:
                raise
            return None, [f"no DICOM segmentation: {error.problem}"]
        return segmentation, [] if mask.any() else ["no class was found: the DICOM segmentation holds empty frames"]

    def _build(self, mask: np.ndarray, image: DicomImage, sample: bool = False) -> Segmentation:
        import highdicom  # noqa: PLC0415  # takes a second to load and few users need it

        headers = _read_headers(image)
        frames = mask.transpose(2, 1, 0)
        if sample:
            ends = sorted({0, len(headers) - 1})
            headers, frames = [headers[end] for end in ends], frames[ends]
        try:
            with _quiet():
                return highdicom.seg.Segmentation(
                    source_images=headers,
                    pixel_array=np.ascontiguousarray(frames),
                    segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
                    segment_descriptions=self._segments(),
                    series_instance_uid=highdicom.UID(),
                    series_number=1000 + max(0, int(headers[0].get("SeriesNumber") or 0)),
                    sop_instance_uid=highdicom.UID(),
                    instance_number=1,
                    manufacturer=_NAME,
                    manufacturer_model_name="monai-supmix",
                    software_versions=__version__,
                    device_serial_number=self._serial_number(),
                    omit_empty_frames=bool(mask.any()),
                    series_description=f"{_NAME} segmentation",
                    specific_character_set="ISO_IR 192",  # holds the names of every patient, whatever theirs was
                )
        except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
            # The text of these may hold what identifies the patient.
            problem = f"its headers do not make a DICOM segmentation ({type(error).__name__})"
            raise InputError(image.path, problem, _REMEDY) from error

    def _serial_number(self) -> str:
        """The hash of the weights; of several one over all, for no more than 64 characters fit."""
        joined = "".join(self.hashes)
        return (joined if len(self.hashes) == 1 else hashlib.sha256(joined.encode()).hexdigest()) or "unknown"

    def _segments(self) -> list[SegmentDescription]:
        import highdicom  # noqa: PLC0415
        from pydicom.sr.codedict import codes  # noqa: PLC0415

        algorithm = highdicom.AlgorithmIdentificationSequence(
            name="monai-supmix",
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
            source=_NAME,
            parameters={"weights_sha256": ", ".join(self.hashes)},
        )
        segments = []
        colours = class_palette().tolist()
        for number, name in enumerate(self.class_names[1:], start=1):
            terms = self.codes.get(name, {})
            segments.append(
                highdicom.seg.SegmentDescription(
                    segment_number=number,
                    segment_label=name[:64],
                    segmented_property_category=highdicom.sr.CodedConcept(*terms.get("category", _TISSUE)),
                    segmented_property_type=highdicom.sr.CodedConcept(*terms.get("type", _TISSUE)),
                    algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                    algorithm_identification=algorithm,
                    display_color=highdicom.color.CIELabColor.from_rgb(*colours[1 + (number - 1) % (len(colours) - 1)]),
                )
            )
        return segments


def write_segmentation(segmentation: Segmentation, path: Path) -> Path:
    """Write a segmentation whole or not at all.

    Args:
        segmentation: from `DicomSegmentations.make`.
        path: the file, ``.dcm``.

    Returns:
        the file.

    Raises:
        InputError: it cannot be written.
    """
    with _quiet(), atomic_write(path) as file:
        segmentation.save_as(file, enforce_file_format=True)
    return path


def _checked(codes: Mapping[str, Mapping[str, Code]]) -> dict[str, Mapping[str, Code]]:
    for name, terms in codes.items():
        fits = isinstance(terms, Mapping) and set(terms) == {"category", "type"} and all(map(_is_code, terms.values()))
        if not fits:
            remedy = 'write {"<class>": {"category": [value, scheme, meaning], "type": [value, scheme, meaning]}}'
            raise InputError("dicom_codes", f"has no coded terms for {name!r}", remedy)
    return dict(codes)


def _is_code(code: object) -> bool:
    return isinstance(code, (list, tuple)) and len(code) == 3 and all(isinstance(part, str) and part for part in code)


def _read_headers(image: DicomImage) -> list[Dataset]:
    """Read the headers of the slices in the order of the volume's last axis, fit to be copied from."""
    import pydicom  # noqa: PLC0415

    thickness = 1.0 if image.spacing is None else image.spacing[2]
    with _quiet():
        try:
            headers: list[Dataset] = [pydicom.dcmread(file, stop_before_pixels=True) for file in image.files]
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            problem = f"its headers cannot be read by pydicom ({type(error).__name__})"
            raise InputError(image.path, problem, _REMEDY) from error
        _check_identity(image, headers)
        for header in headers:
            for keyword in _MAY_BE_EMPTY:
                if keyword not in header:
                    setattr(header, keyword, "")
            if header.PatientSex not in ("M", "F", "O"):
                header.PatientSex = ""
            # As `read_dicom` takes them; highdicom wants orientations equal to the digit, and measures the step itself.
            header.ImageOrientationPatient = headers[0].ImageOrientationPatient
            header.SliceThickness = header.get("SliceThickness") or thickness
            header.pop("SpacingBetweenSlices", None)
    return headers


def _check_identity(image: CaseImage, headers: Sequence[Dataset]) -> None:
    """Raise `InputError` unless the slices can be referred to as slices of one series."""
    for keyword, words in _MUST_BE_ONE.items():
        found = {str(header.get(keyword) or "") for header in headers}
        if found == {""} or len(found) > 1:
            problem = f"its slices {'have no' if found == {''} else 'differ in their'} {words}"
            raise InputError(image.path, f"{problem}, which a DICOM segmentation needs", _REMEDY)
    if len({str(header.get("SOPInstanceUID") or "") for header in headers} - {""}) < len(headers):
        problem = "its slices have no identifiers of their own, which a DICOM segmentation needs"
        raise InputError(image.path, problem, _REMEDY)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep highdicom and pydicom from telling names and identifiers to the log."""
    loggers = [logging.getLogger(name) for name in _PACKAGES]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
