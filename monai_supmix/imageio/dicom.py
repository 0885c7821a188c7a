"""A folder with one DICOM series as a volume, placed by the positions of its slices.

Messages and notes name the folder that the user gave and counts, never a file, patient or UID: names of DICOM
files are often made of identifiers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from pydicom import Dataset

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import LPS_TO_RAS, CaseImage, check_affine, check_values, voxel_size
from monai_supmix.imageio.dicom_storage import is_dicom, read_header, read_plane, unread_storage
from monai_supmix.listing import counted

_KIND = b"\x02\x00\x02\x00UI"  # of the file meta information, which is little endian: media storage SOP class
# Segmentations, those that are label maps, and structure sets.
_LABELS = tuple(b"1.2.840.10008.5.1.4.1.1." + kind for kind in (b"66.4", b"66.7", b"481.3"))
# Waveforms, presentation states, measurements, reports and key objects, encapsulated documents; raw data,
# registrations and surfaces; plans and records of radiotherapy; protocols and spectra; and what scanners of one make
# keep beside their images.
_WITHOUT_PIXELS = re.compile(
    rb"1\.2\.840\.10008\.5\.1\.4\.1\.1\.((9|11|68|78|88|104|200)\..+|4\.2|66|66\.[12356]|67|90\.1|131"
    rb"|481\.([4-9]|1\d|2[0-5]))"
    rb"|1\.3\.12\.2\.1107\.5\.9\.1"
)
# Positions may deviate from an even grid by this part of a step; rounded positions stay well below it.
_EVEN = 0.1


@dataclass(frozen=True)
class _Slice:
    """What one file says about its slice; vectors in LPS millimetres."""

    file: Path
    series: str
    size: tuple[int, int]  # columns, rows
    unread: str  # why its stored values are not read
    spacing: tuple[float, float]
    directions: np.ndarray  # (2, 3): along columns (first index), along rows (second index)
    position: np.ndarray  # (3,)
    thickness: float
    modality: str
    inverted: bool


@dataclass(frozen=True, eq=False)
class DicomImage(CaseImage):
    """A series as a volume that knows the file and the place of each slice.

    Args:
        files: in the order of the last axis of `array`.
        positions: ``(slices, 3)``, the first voxel of each slice in LPS millimetres as its file has it, which may be a
            little off the even grid of `affine`.
    """

    files: tuple[Path, ...] = ()
    positions: np.ndarray = field(default_factory=lambda: np.empty((0, 3)))

    def take_slice(self, index: int) -> DicomImage:
        """Take one slice with its file."""
        taken = super().take_slice(index)
        assert isinstance(taken, DicomImage)
        span = slice(index, index + 1)
        return replace(taken, files=self.files[span], positions=self.positions[span])


def list_dicom_files(folder: Path) -> list[Path]:
    """The DICOM files of a folder (not below it) that may be slices, sorted by name.

    Segmentations and structure sets are not images, nor are reports and other objects without pixels.
    """
    return _list_files(folder)[0]


def _list_files(folder: Path) -> tuple[list[Path], int]:
    """The files that may be slices, and the number of objects without pixels beside them."""
    kinds = {file: _storage_class(file) for file in folder.iterdir() if file.is_file() and is_dicom(file)}
    without = {file for file, kind in kinds.items() if _WITHOUT_PIXELS.fullmatch(kind)}
    return sorted(file for file, kind in kinds.items() if kind not in _LABELS and file not in without), len(without)


def is_dicom_label(file: Path) -> bool:
    """Whether a DICOM file says at its beginning that it holds a segmentation or a structure set."""
    return _storage_class(file) in _LABELS


def _storage_class(file: Path) -> bytes:
    """What kind of object a DICOM file says at its beginning that it is; empty where it does not."""
    try:
        with file.open("rb") as stream:
            start = stream.read(512)
    except OSError:
        return b""
    kind = start.find(_KIND, 132)
    length, value = kind + len(_KIND), kind + len(_KIND) + 2
    end = value + int.from_bytes(start[length:value], "little")
    return start[value:end].rstrip(b"\0 ") if kind > 0 else b""


def read_dicom(folder: str | Path) -> DicomImage:
    """Read the one DICOM series in a folder. Rescale slope and intercept are applied slice by slice.

    Slices are ordered by position. The third axis of the affine is the mean step between slices, so that it
    is right for a tilted gantry too.

    Args:
        folder: with the files of one series; other kinds of file are ignored, those of DICOM with a note unless they
            are label maps.

    Returns:
        the image; `array` is ``(columns, rows, slices)``, int16 if the values fit.

    Raises:
        InputError: no DICOM, several series, unreadable files, slices that are missing, doubled, or differ in
            size, spacing or orientation, or values stored in a way that is not read (colour, several frames, tables).
    """
    folder = Path(folder)
    files, without_pixels = _list_files(folder)
    other_objects = f"{counted(without_pixels, 'DICOM object')} without pixels, such as reports and presentation states"
    if not files:
        problem = "holds no DICOM slices" + (f", only {other_objects}" if without_pixels else "")
        raise InputError(folder, problem, "give the folder that holds the slices of one series")
    slices = _read_headers(folder, files)
    slices, step = _order(folder, slices)
    first = slices[0]
    notes = [f"{other_objects}: left out"] if without_pixels else []
    if len(slices) == 1:
        thickness = first.thickness if np.isfinite(first.thickness) and first.thickness > 0 else 1.0
        step = step * thickness
        notes.append(f"a single slice: thickness taken as {thickness:g} mm")
    lps = np.eye(4)
    lps[:3, 0] = first.directions[0] * first.spacing[0]
    lps[:3, 1] = first.directions[1] * first.spacing[1]
    lps[:3, 2], lps[:3, 3] = step, first.position
    affine = LPS_TO_RAS @ lps
    check_affine(folder, affine)
    normal = np.cross(*first.directions)
    if np.linalg.norm(step - normal * (step @ normal)) > 1e-2 * np.linalg.norm(step):
        notes.append("slices are shifted steadily (tilted gantry): planes are used as stored, not sheared back")
    if first.modality not in ("", "CT"):
        notes.append(f"modality is {first.modality}, not CT")
    if first.inverted:
        notes.append("viewers show it inverted (MONOCHROME1): stored value x slope + intercept is used")
    image = DicomImage(
        folder,
        "dicom",
        _read_voxels(folder, slices),
        affine=affine,
        spacing=voxel_size(affine),
        notes=tuple(notes),
        files=tuple(part.file for part in slices),
        positions=np.array([part.position for part in slices]),
    )
    check_values(image)
    return image


def _read_headers(folder: Path, files: list[Path]) -> list[_Slice]:
    slices = [read for file in files if (read := _read_header(file)) is not None]
    if unread := next((part.unread for part in slices if part.unread), ""):
        raise InputError(folder, f"holds {unread}", "give the original series, or convert it to .nii.gz")
    if len(slices) < len(files):
        wrong = len(files) - len(slices)
        problem = f"{wrong} of {len(files)} DICOM files are damaged, or are not images with a position"
        raise InputError(folder, problem, "copy the series again, and move out what is not a slice of it")
    series = len({part.series for part in slices})
    if series > 1:
        problem = f"holds {series} series in {len(files)} files"
        raise InputError(folder, problem, "put each series into its own sub-folder and give that folder")
    first = slices[0]
    if any(part.size != first.size for part in slices):
        raise InputError(folder, "its slices differ in size", "move out what is not a slice of the series")
    if any(not np.allclose(part.spacing, first.spacing, rtol=1e-3) for part in slices):
        raise InputError(folder, "its slices differ in pixel spacing", "move out what is not a slice of the series")
    if any(not np.allclose(part.directions, first.directions, atol=1e-3) for part in slices):
        problem = "its slices differ in orientation"
        raise InputError(folder, problem, "give one orientation per folder, without localizers")
    return slices


def _read_header(file: Path) -> _Slice | None:
    """Read what a file says about its slice; None if it is damaged or no placed image."""
    header = read_header(file)
    if header is None:
        return None
    unread = unread_storage(header)
    try:
        directions = _numbers(header, "ImageOrientationPatient", 6).reshape(2, 3)
        position = _numbers(header, "ImagePositionPatient", 3)
        rows_apart, columns_apart = _numbers(header, "PixelSpacing", 2)
        thickness = float(header.get("SliceThickness") or "nan")
    except (ValueError, TypeError):
        if not unread:
            return None
        # Enhanced files say for each frame where it lies; what is wrong with them is that they hold frames.
        directions, position, rows_apart, columns_apart, thickness = np.eye(3)[:2], np.zeros(3), 1, 1, 1
    return _Slice(
        file,
        str(header.get("SeriesInstanceUID", "")),
        (int(header.Columns), int(header.Rows)),
        unread,
        (float(columns_apart), float(rows_apart)),
        directions,
        position,
        thickness,
        str(header.get("Modality") or ""),
        header.get("PhotometricInterpretation") == "MONOCHROME1",
    )


def _numbers(header: Dataset, key: str, count: int) -> np.ndarray:
    """Read an element of `count` finite numbers, else raise ValueError."""
    numbers = np.array(header.get(key), float)
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise ValueError(key)
    return numbers


def _order(folder: Path, slices: list[_Slice]) -> tuple[list[_Slice], np.ndarray]:
    """Sort slices along their normal and check that they are even; return them and the step (LPS, mm)."""
    normal = np.cross(*slices[0].directions)
    slices = sorted(slices, key=lambda part: float(part.position @ normal))
    if len(slices) == 1:
        return slices, normal
    positions = np.array([part.position for part in slices])
    gaps = np.diff(positions @ normal)
    typical = float(np.median(gaps))
    if gaps.min() < 0.01 * typical or typical <= 0:
        problem = f"several slices at one position ({len(slices)} files)"
        raise InputError(folder, problem, "keep one phase or reconstruction per folder")
    step = (positions[-1] - positions[0]) / (len(slices) - 1)
    away = np.linalg.norm(positions - (positions[0] + np.arange(len(slices))[:, None] * step), axis=1)
    if away.max() > _EVEN * typical:
        problem = f"slices are missing or unevenly placed (steps of {gaps.min():.3g} to {gaps.max():.3g} mm)"
        raise InputError(folder, problem, "copy the whole series, or resample it to even slices")
    return slices, step


def _read_voxels(folder: Path, slices: list[_Slice]) -> np.ndarray:
    """Read the slices into one array ``(columns, rows, slices)``."""
    limits = np.iinfo(np.int16)
    volume = np.empty((*slices[0].size, len(slices)), np.int16, order="F")
    for index, part in enumerate(slices):
        try:
            plane = read_plane(part.file).T
        except ValueError as error:
            problem = f"the voxels of {index + 1}. of {len(slices)} slices cannot be read"
            raise InputError(folder, problem, "copy the series again") from error
        if plane.dtype.kind == "f" and volume.dtype != np.float32:
            volume = volume.astype(np.float32, order="F")
        elif volume.dtype == np.int16 and not (limits.min <= plane.min() and plane.max() <= limits.max):
            volume = volume.astype(np.int32, order="F")
        volume[:, :, index] = plane
    return volume
