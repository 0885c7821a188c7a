"""NIfTI volumes: read with every check that keeps a mask from being silently wrong."""

from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.spatialimages import HeaderDataError

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage, check_affine, check_values, voxel_size
from monai_supmix.imageio.payload import open_payload, read_array

_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 0.001}  # xyzt_units: unknown, metre, millimetre, micrometre
_DTYPES = {np.dtype(code) for code in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")}
_COLOUR = {128, 2304}  # RGB24, RGBA32
_LARGEST_OFFSET = 1 << 26  # extensions before the voxels are small; more is a damaged header
_LARGEST_CODE = 5  # of sform and qform: unknown, scanner, aligned, Talairach, MNI 152, other template
_EXPORT = "export it again"

_silent = logging.Logger("nibabel header checks", logging.CRITICAL + 1)


def read_nifti(path: str | Path) -> CaseImage:
    """Read a NIfTI-1 or NIfTI-2 file (``.nii``, ``.nii.gz``), 2D or 3D.

    The file is read to its end, so that its gzip checksum is verified, which nibabel does not do. The affine is the one
    that nibabel takes (the sform, else the qform, else only voxel sizes), converted to millimetres.

    Args:
        path: the file.

    Returns:
        the image, voxels as stored; `CaseImage.notes` says what had to be assumed.

    Raises:
        InputError: not NIfTI, damaged, truncated, several volumes, colour or complex voxels, NaN or infinite
            values, or an affine that places nothing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder) / "scan.nii.gz"
        ...     nib.save(nib.Nifti1Image(np.zeros((4, 3, 2), np.int16), np.diag([1.0, 1.0, 5.0, 1.0])), file)
        ...     image = read_nifti(file)
        >>> image.array.shape, image.spacing, image.notes
        ((4, 3, 2), (1.0, 1.0, 5.0), ('units unknown: taken as mm',))
    """
    path = Path(path)
    compressed = path.name.lower().endswith(".gz")
    size = path.stat().st_size
    with path.open("rb") as file:
        if (file.read(2) == b"\x1f\x8b") != compressed:
            problem = "is named .gz but is not gzip" if compressed else "is gzip but not named .gz"
            raise InputError(path, problem, f"rename or {_EXPORT}")
        file.seek(0)
        stream = open_payload(file, compressed)
        try:
            header = _read_header(stream, path)
            stream.read(int(header["vox_offset"]) - header.template_dtype.itemsize)
            # extensions; they may name the patient and are never passed on
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(path, f"is damaged or truncated ({error})", f"copy or {_EXPORT}") from error
        return read_voxels(header, stream, path, size, compressed)


def read_voxels(
    header: nib.Nifti1Header, stream: io.BufferedIOBase, path: Path, size: int, compressed: bool
) -> CaseImage:
    """Read the voxels that a header announces.

    Args:
        header: from `parse_header`.
        stream: at the first voxel.
        path: the file, for messages.
        size: bytes of the file that holds the voxels.
        compressed: whether it is compressed.

    Raises:
        InputError: as `read_nifti`.
    """
    shape, notes = _shape(header, path)
    dtype = _dtype(header, path)
    affine = _affine(header, path, shape, notes)
    slope, inter = _scaling(header, path)
    array = read_array(stream, shape, dtype, path=path, stored_bytes=size, compressed=compressed)
    file_shape = tuple(header.get_data_shape())
    image = CaseImage(
        path, "nifti", array, slope, inter, affine, voxel_size(affine), header, file_shape, tuple(notes)
    )  # fmt: skip
    check_values(image)
    return image


def _read_header(stream: io.BufferedIOBase, path: Path) -> nib.Nifti1Header:
    """Read the header as it is, unrepaired, and refuse what nibabel would refuse."""
    block = stream.read(4)
    size = {struct.pack(order + "i", n): n for order in "<>" for n in (348, 540)}.get(block)
    if size is None:
        raise InputError(path, "is not a NIfTI file", "give .nii, .nii.gz or another supported image")
    block += stream.read(size - 4)
    if len(block) < size:
        raise InputError(path, "is truncated within its header", f"copy or {_EXPORT}")
    if is_pair(block):
        raise InputError(path, "is the header of a .hdr/.img pair", "name it .hdr, beside its .img file")
    header = parse_header(block, path)
    if not size <= header["vox_offset"] <= _LARGEST_OFFSET:
        raise InputError(path, "its NIfTI header is damaged (vox_offset)", f"copy or {_EXPORT}")
    return header


def is_pair(block: bytes) -> bool:
    """Whether these bytes are the header of a NIfTI image whose voxels are in a file of their own."""
    return block[344:348] == b"ni1\0" or block[4:8] == b"ni2\0"


def parse_header(block: bytes, path: Path) -> nib.Nifti1Header:
    """Take a header as it is, unrepaired, and refuse what nibabel would refuse.

    Args:
        block: its 348 or 540 bytes.
        path: the file, for the message.

    Raises:
        InputError: it is damaged.
    """
    header = (nib.Nifti1Header if len(block) == 348 else nib.Nifti2Header)(block, check=False)
    try:
        header.copy().check_fix(logger=_silent, error_level=40)
    except HeaderDataError as error:
        raise InputError(path, f"its NIfTI header is damaged ({error})", f"copy or {_EXPORT}") from error
    return header


def _shape(header: nib.Nifti1Header, path: Path) -> tuple[tuple[int, int, int], list[str]]:
    """Find the three spatial sizes; further dimensions must be single."""
    count = int(header["dim"][0])
    sizes = [int(n) for n in header["dim"][1 : count + 1]]
    text = " x ".join(str(n) for n in sizes)
    if count < 2 or min(sizes) < 1:
        raise InputError(path, f"has no 2D or 3D image (dimensions {text})", "give one image or volume per file")
    if any(n > 1 for n in sizes[3:]):
        problem = f"has {count} dimensions ({text}), several volumes or channels"
        raise InputError(path, problem, "give one 3D volume per file")
    notes = [f"{count} dimensions, those after the third of size 1"] if count > 3 else []
    x, y, z = (*sizes[:3], 1)[:3]
    return (x, y, z), notes


def _dtype(header: nib.Nifti1Header, path: Path) -> np.dtype:
    code = int(header["datatype"])
    if code in _COLOUR:
        raise InputError(path, "holds colour voxels (RGB), grey values are expected", "convert it to grey values")
    dtype = header.get_data_dtype()
    if dtype.newbyteorder("=") not in _DTYPES:
        problem = f"holds voxels of type {dtype.name}, which is not supported"
        raise InputError(path, problem, "convert it to integers or 32-bit floating point")
    return dtype


def _scaling(header: nib.Nifti1Header, path: Path) -> tuple[float, float]:
    """Slope and intercept; a slope of zero or NaN means that values are not scaled."""
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise InputError(path, f"its scaling is damaged ({error})", _EXPORT) from error
    return (1.0, 0.0) if slope is None else (slope, inter)


def _affine(header: nib.Nifti1Header, path: Path, shape: tuple[int, int, int], notes: list[str]) -> np.ndarray:
    """The affine in millimetres; appends to `notes` what had to be assumed."""
    remedy = "fix the header, for example by exporting the image again"
    for size, n in zip(header["pixdim"][1:4], shape, strict=True):
        if size == 0 and n == 1:
            notes.append("an axis of one voxel has no voxel size: taken as 1")
        elif not np.isfinite(size) or (size <= 0 and n > 1):
            raise InputError(path, f"a voxel size (pixdim) is {size:g}", remedy)
    _check_forms(header, path, remedy)
    fixed = header.copy()
    fixed.check_fix(logger=_silent, error_level=100)
    try:
        affine = np.array(fixed.get_best_affine(), float)
    except ValueError as error:
        raise InputError(path, f"its qform is damaged ({error})", remedy) from error
    check_affine(path, affine)
    if _is_unit_sform(fixed, affine):
        affine = np.array(fixed.get_qform(), float)
        check_affine(path, affine)
        notes.append("the sform has steps of 1 against the qform's voxel sizes: the qform is used")
    elif fixed["sform_code"] != 0 and fixed["qform_code"] != 0:
        shift = _disagreement(fixed, affine, shape)
        if not shift <= 0.1 * min(voxel_size(affine)):
            notes.append("qform and sform place the image differently: sform is used, check left and right")
    elif fixed["sform_code"] == 0 and fixed["qform_code"] == 0:
        notes.append("neither qform nor sform: orientation assumed as stored (first axis to the left)")
    steps = np.array(voxel_size(affine))
    if not np.allclose(steps, fixed["pixdim"][1:4], rtol=1e-3):
        notes.append("pixdim and affine give different voxel sizes: those of the affine are used")
    unit = int(header["xyzt_units"]) & 7
    factor = _MILLIMETRES.get(unit)
    if unit == 0 or factor is None:
        notes.append("units unknown: taken as mm")
    elif factor != 1:
        notes.append(f"converted from {'metres' if factor > 1 else 'micrometres'} to mm")
    affine[:3] *= factor or 1.0
    return affine


def _is_unit_sform(header: nib.Nifti1Header, affine: np.ndarray) -> bool:
    """Whether the sform holds only directions, in steps of 1, where qform and pixdim have voxel sizes (as in ACDC)."""
    sizes = np.asarray(header["pixdim"][1:4], float)
    if header["sform_code"] == 0 or header["qform_code"] == 0 or (sizes <= 0).any() or np.allclose(sizes, 1):
        return False
    try:
        other = header.get_qform()
    except ValueError:
        return False
    return np.allclose(voxel_size(affine), 1) and np.allclose(other[:3, :3], affine[:3, :3] * sizes, atol=1e-3)


def _check_forms(header: nib.Nifti1Header, path: Path, remedy: str) -> None:
    """Refuse what nibabel would silently set right: odd codes become 0, odd qfacs 1, which mirrors."""
    for name in ("qform_code", "sform_code"):
        if not 0 <= header[name] <= _LARGEST_CODE:
            raise InputError(path, f"its {name} is {int(header[name])}, which has no meaning", remedy)
    qfac = float(header["pixdim"][0])
    if header["qform_code"] != 0 and not (qfac >= 0 or qfac == -1):
        raise InputError(path, f"its qform is damaged (qfac is {qfac:g})", remedy)


def _disagreement(header: nib.Nifti1Header, affine: np.ndarray, shape: tuple[int, int, int]) -> float:
    """How far the qform moves a corner of the image from where `affine` puts it; NaN if it is damaged."""
    try:
        other = header.get_qform()
    except ValueError:
        return float("nan")
    return float(corner_distance(affine, other, shape))


def corner_distance(first: np.ndarray, second: np.ndarray, shape: tuple[int, ...]) -> float:
    """Largest distance between where two affines put the eight corners of a volume.

    Args:
        first: ``(4, 4)``.
        second: ``(4, 4)``.
        shape: ``(X, Y, Z)``.

    Example:
        >>> corner_distance(np.eye(4), np.diag([1.0, 1.0, 2.0, 1.0]), (4, 4, 3))
        2.0
    """
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    return float(np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max())
