"""What masks of DICOM series are also written as: objects of the same patient and study, made from the series' headers.

Unlike the NIfTI mask they carry the patient's name and identifiers. Messages and notes name the folder that the user
gave, never a patient or UID.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pydicom
from pydicom import Dataset

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.dicom import DicomImage
from monai_supmix.imageio.dicom_storage import quiet
from monai_supmix.palette import class_palette

Code = Sequence[str]
"""Value, coding scheme and meaning, such as ``("60046008", "SCT", "Pleural effusion")``."""

MAKER = "MONAI-SupMix"
MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate"),
    *("StudyTime", "ReferringPhysicianName"),
)
"""An object must have these, empty where nothing is known; anonymised series often lack them altogether."""
_MUST_BE_ONE = {
    "FrameOfReferenceUID": "frame of reference",
    "StudyInstanceUID": "study",
    "SOPClassUID": "kind of object",
}


class DicomResults(ABC):
    """Makes masks of DICOM series into DICOM objects of one kind.

    Args:
        wanted: ``True``: of every DICOM series, or it is an error; ``"auto"``: wherever it is possible, that is, where
            the series' headers allow it and nothing is `missing`; ``False``: of none.
        class_names: names of the classes, background first.
        codes: by class name the coded ``category`` and ``type`` of what it is, each a `Code`. Names of other classes
            have no effect.
        weights_sha256: identifies the weights, those of several networks by several hashes.
        missing: packages that are needed and not installed.

    Attributes:
        option: name of the option that asks for these objects.
        words: what they are called.
        nothing_found: what they say where no class was found.
        on: whether any are made.
        notes: why none are made although they are wanted.

    Raises:
        InputError: another value of `wanted`, ``True`` with packages missing, or codes that are none.
    """

    option: ClassVar[str]
    words: ClassVar[str]
    nothing_found: ClassVar[str]

    def __init__(
        self,
        wanted: bool | Literal["auto"],
        class_names: Sequence[str],
        codes: Mapping[str, Mapping[str, Code]] | None = None,
        weights_sha256: str | Sequence[str] = "",
        missing: Sequence[str] = (),
    ) -> None:
        if not isinstance(wanted, bool) and wanted != "auto":
            raise InputError(self.option, f"is {wanted!r}", "use true, false or 'auto'")
        self.required, self.on = wanted is True, wanted is not False and not missing
        self.notes: list[str] = []
        if wanted and missing:
            problem = f"takes {' and '.join(missing)}, which are not installed"
            if self.required:
                raise InputError(self.option, problem, f"pip install 'monai-supmix[dicom]', or {self.remedy}")
            self.notes = [f"no {self.words}s: {self.option} {problem} (pip install 'monai-supmix[dicom]')"]
        self.class_names = list(class_names)
        self.hashes = [weights_sha256] if isinstance(weights_sha256, str) else list(weights_sha256)
        self.codes = _checked(codes or {})

    @property
    def remedy(self) -> str:
        """What to do about a series that makes none."""
        return f"set {self.option} to false to write only the NIfTI mask"

    def check(self, image: CaseImage) -> None:
        """Try the outermost slices of a series without a mask, before time is spent on predicting it.

        Args:
            image: any image; only of a DICOM series, see `monai_supmix.imageio.dicom.read_dicom`, something is asked.

        Raises:
            InputError: it makes no object although it must.
        """
        if self.on and self.required and isinstance(image, DicomImage):
            self._try(np.zeros(image.array.shape, np.uint8), image, sorted({0, image.array.shape[2] - 1}))

    def make(self, mask: np.ndarray, image: CaseImage) -> tuple[Dataset | None, list[str]]:
        """Make the object of a series.

        Args:
            mask: uint8 ``(columns, rows, slices)``, the series' own grid.
            image: the series; of another image there is no object.

        Returns:
            the object, for `write_dicom`; and notes for the reader of the result, among them why there is none.

        Raises:
            InputError: the series makes none although it must.
        """
        if not self.on or not isinstance(image, DicomImage):
            return None, []
        try:
            result = self._try(mask, image, range(mask.shape[2]))
        except InputError as error:
            if self.required:
                raise
            return None, [f"no {self.words}: {error.problem}"]
        return result, [] if mask.any() else [f"no class was found: the {self.words} {self.nothing_found}"]

    def _try(self, mask: np.ndarray, image: DicomImage, slices: Sequence[int]) -> Dataset:
        with quiet():
            headers = self._read_headers(image)
            try:
                return self._build(mask[:, :, list(slices)], [headers[index] for index in slices])
            except (ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
                # The text of these may hold what identifies the patient.
                problem = f"its headers do not make a {self.words} ({type(error).__name__})"
                raise InputError(image.path, problem, self.remedy) from error

    @abstractmethod
    def _build(self, mask: np.ndarray, headers: Sequence[Dataset]) -> Dataset:
        """Make the object.

        Args:
            mask: ``(columns, rows, slices)``.
            headers: of the slices.
        """

    @staticmethod
    def colour(number: int) -> list[int]:
        """Red, green and blue of a class, those of reports."""
        colours = class_palette().tolist()
        return colours[1 + (number - 1) % (len(colours) - 1)]

    def serial_number(self) -> str:
        """The hash of the weights; of several, one over all, because no more than 64 characters fit."""
        joined = "".join(self.hashes)
        return (joined if len(self.hashes) == 1 else hashlib.sha256(joined.encode()).hexdigest()) or "unknown"

    def _read_headers(self, image: DicomImage) -> list[Dataset]:
        """Read the headers of the slices in the order of the volume's last axis, fit to be copied from."""
        thickness = 1.0 if image.spacing is None else image.spacing[2]
        try:
            headers: list[Dataset] = [pydicom.dcmread(file, stop_before_pixels=True) for file in image.files]
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            problem = f"its headers cannot be read by pydicom ({type(error).__name__})"
            raise InputError(image.path, problem, self.remedy) from error
        self._check_identity(image, headers)
        for header in headers:
            for keyword in MAY_BE_EMPTY:
                if keyword not in header:
                    setattr(header, keyword, "")
            if header.PatientSex not in ("M", "F", "O"):
                header.PatientSex = ""
            # As `read_dicom` takes them; highdicom wants orientations equal to the digit, and measures the step itself.
            header.ImageOrientationPatient = headers[0].ImageOrientationPatient
            header.SliceThickness = header.get("SliceThickness") or thickness
            header.pop("SpacingBetweenSlices", None)
        return headers

    def _check_identity(self, image: CaseImage, headers: Sequence[Dataset]) -> None:
        """Raise `InputError` unless the slices can be referred to as slices of one series."""
        for keyword, words in _MUST_BE_ONE.items():
            values = {str(header.get(keyword) or "") for header in headers}
            if values == {""} or len(values) > 1:
                problem = f"its slices {'have no' if values == {''} else 'differ in their'} {words}"
                raise InputError(image.path, f"{problem}, which a {self.words} needs", self.remedy)
        if len({str(header.get("SOPInstanceUID") or "") for header in headers} - {""}) < len(headers):
            problem = f"its slices have no identifiers of their own, which a {self.words} needs"
            raise InputError(image.path, problem, self.remedy)


def write_dicom(made: Dataset, path: Path) -> Path:
    """Write an object whole or not at all.

    Args:
        made: from `DicomResults.make`.
        path: the file, ``.dcm``.

    Returns:
        the file.

    Raises:
        InputError: it cannot be written.
    """
    with quiet(), atomic_write(path) as file:
        made.save_as(file, enforce_file_format=True)
    return path


def _checked(codes: Mapping[str, Mapping[str, Code]]) -> dict[str, Mapping[str, Code]]:
    for name, terms in codes.items():
        fits = isinstance(terms, Mapping) and set(terms) == {"category", "type"} and all(map(_is_code, terms.values()))
        if not fits:
            remedy = 'write {"<class>": {"category": [value, scheme, meaning], "type": [value, scheme, meaning]}}'
            raise InputError("dicom_codes", f"has no coded terms for {name!r}", remedy)
    return dict(codes)


def _is_code(code: Any) -> bool:
    return isinstance(code, (list, tuple)) and len(code) == 3 and all(isinstance(part, str) and part for part in code)
