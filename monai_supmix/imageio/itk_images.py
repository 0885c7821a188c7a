"""NRRD and MetaImage volumes: ITK tells their geometry, the voxels are read and verified here.

ITK reads a damaged compressed MetaImage without an error and with other voxels, and some damaged NRRD files
too, so that the stream is decompressed here, its checksum verified and its length compared with the header.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import LPS_TO_RAS, CaseImage, check_affine, check_values, voxel_size
from monai_supmix.imageio.payload import open_payload, read_array

_INTEGERS = ("char", "short", "int", "long", "long_long")
_DAMAGED = "copy or export it again"
_NO_SCALING = {"elementtointensityfunctionslope": 1, "elementtointensityfunctionoffset": 0}
_META_NUMBERS = {
    *_NO_SCALING,
    *("ndims", "dimsize", "offset", "origin", "position", "elementspacing", "elementsize"),
    *("transformmatrix", "orientation", "rotation", "centerofrotation"),
}
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 0.001}
_MILLIMETRES |= {"millimeter": 1.0, "centimeter": 10.0, "meter": 1000.0, "micrometer": 0.001, "micron": 0.001}


@dataclass(frozen=True)
class _Payload:
    """Where the voxels are, how they are stored, notes about the header, and millimetres in its unit of length."""

    file: Path
    offset: int
    compressed: bool
    big_endian: bool
    notes: tuple[str, ...] = ()
    order_told: bool = True
    millimetres: float = 1.0


def read_itk(path: str | Path) -> CaseImage:
    """Read a NRRD (``.nrrd``) or MetaImage (``.mha``, ``.mhd``) volume, 2D or 3D, raw or compressed.

    Args:
        path: the file.

    Returns:
        the image, voxels as stored, affine in RAS+ millimetres.

    Raises:
        InputError: not such a file, damaged, truncated, several channels, unusual encodings, NaN or infinite
            values, or directions that place nothing.
    """
    import itk  # noqa: PLC0415  # takes a second to load and most users never need it

    path = Path(path)
    is_nrrd = path.name.lower().endswith(".nrrd")
    payload = _find_nrrd(path) if is_nrrd else _find_meta(path)
    reader = itk.NrrdImageIO.New() if is_nrrd else itk.MetaImageIO.New()
    reader.SetFileName(str(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError as error:
        raise InputError(path, "its header cannot be read", _DAMAGED) from error
    count = int(reader.GetNumberOfDimensions())
    sizes = [int(reader.GetDimensions(axis)) for axis in range(count)]
    if reader.GetNumberOfComponents() != 1:
        problem = f"holds {reader.GetNumberOfComponents()} values per voxel, grey values are expected"
        raise InputError(path, problem, "give one grey volume per file")
    if count not in (2, 3) or min(sizes) < 1:
        problem = f"has {count} dimensions ({' x '.join(map(str, sizes))})"
        raise InputError(path, problem, "give one 2D or 3D volume per file")
    dtype = _numpy_type(reader, payload.big_endian, path)
    if dtype.itemsize > 1 and not payload.order_told:
        raise InputError(path, "does not give the byte order of its voxels (endian)", "save it again")
    affine = _affine(reader, count, payload.millimetres)
    check_affine(path, affine)
    array = _voxels(payload, (*sizes, 1)[:3], dtype, path)
    image = CaseImage(
        path, "itk", array, 1.0, 0.0, affine, voxel_size(affine), None, tuple(sizes), payload.notes
    )  # fmt: skip
    check_values(image)
    return image


def _affine(reader: Any, count: int, millimetres: float) -> np.ndarray:
    """The affine in RAS+ millimetres; ITK takes the numbers of the header as they are."""
    lps = np.eye(4)
    for axis in range(count):
        lps[:count, axis] = np.array(reader.GetDirection(axis)) * reader.GetSpacing(axis)
        lps[axis, 3] = reader.GetOrigin(axis)
    lps[:count] *= millimetres
    return LPS_TO_RAS @ lps


def _voxels(payload: _Payload, shape: tuple[int, ...], dtype: np.dtype, path: Path) -> np.ndarray:
    """The voxels, read to the end of their file."""
    try:
        stored = payload.file.stat().st_size - payload.offset
        with payload.file.open("rb") as file:
            file.seek(payload.offset)
            stream = open_payload(file, payload.compressed)
            return read_array(stream, shape, dtype, path=path, stored_bytes=stored, compressed=payload.compressed)
    except (OSError, zlib.error) as error:
        raise InputError(path, f"its voxels cannot be read ({error})", _DAMAGED) from error


def _numpy_type(reader: Any, big_endian: bool, path: Path) -> np.dtype:
    try:
        name = str(reader.GetComponentTypeAsString(reader.GetComponentType()))
        size = int(reader.GetComponentSize())
    except RuntimeError as error:
        raise InputError(path, "its header does not give the type of its voxels", _DAMAGED) from error
    if name in ("float", "double"):
        kind = "f"
    elif name.removeprefix("unsigned_") in _INTEGERS:
        kind = "u" if name.startswith("unsigned_") else "i"
    else:
        problem = f"holds voxels of type {name}, which is not supported"
        raise InputError(path, problem, "convert it to integers or 32-bit floating point")
    return np.dtype(f"{'>' if big_endian else '<'}{kind}{size}")


def _find_nrrd(path: Path) -> _Payload:
    """Find the voxels of a NRRD file."""
    with path.open("rb") as file:
        if not file.readline(64).startswith(b"NRRD000"):
            raise InputError(path, "is not a NRRD file", "give .nrrd, .nii.gz or another supported image")
        fields: dict[str, str] = {}
        while (line := file.readline(1 << 16)).strip():
            if b"\0" in line:
                raise InputError(path, "its header is damaged", _DAMAGED)
            key, _, value = line.decode("latin-1").partition(":")
            fields[key.strip().lower().replace(" ", "")] = value.strip().lower()
        if not line:
            raise InputError(path, "is truncated within its header", _DAMAGED)
        offset = file.tell()
    unusual = [key for key in ("datafile", "lineskip", "byteskip") if key in fields]
    encoding = fields.get("encoding", "")
    if unusual or encoding not in ("raw", "gzip", "gz"):
        problem = f"stores its voxels in an unusual way ({unusual[0] if unusual else f'encoding {encoding}'})"
        raise InputError(path, problem, "save it as one .nrrd file, raw or gzip-compressed")
    notes = (
        () if "space" in fields else ("no anatomical space given: orientation assumed as left, posterior, superior",)
    )
    order_told = fields.get("endian") in ("big", "little")
    units = re.findall('"([^"]*)"', fields.get("spaceunits", "") or fields.get("units", ""))
    millimetres, unit_notes = _length_unit(units, path)
    notes = (*notes, *unit_notes)
    return _Payload(path, offset, encoding != "raw", fields.get("endian") == "big", notes, order_told, millimetres)


def _find_meta(path: Path) -> _Payload:
    """Find the voxels of a MetaImage file."""
    fields, offset = read_meta_header(path)
    place = fields["elementdatafile"]
    _check_numbers(fields, path)
    _check_storage(fields, place, path)
    file_path, offset = (path, offset) if place.upper() == "LOCAL" else (path.parent / place, 0)
    if not file_path.is_file():
        raise InputError(path, f"its voxel file {place} is missing", "put both files into one folder")
    placed = {"transformmatrix", "orientation", "rotation", "anatomicalorientation"} & fields.keys()
    notes = () if placed else ("no directions given: orientation assumed as left, posterior, superior",)
    if not {"elementspacing", "elementsize"} & fields.keys():
        notes = (*notes, "no voxel size given: taken as 1 mm")
    big_endian = _flag(fields, "binarydatabyteordermsb", "elementbyteordermsb")
    unit = fields.get("distanceunits", "?").strip('"').lower()
    millimetres, unit_notes = _length_unit([] if unit == "?" else [unit], path)
    notes = (*notes, *unit_notes)
    compressed = _flag(fields, "compresseddata")
    return _Payload(file_path, offset, compressed, big_endian, notes, millimetres=millimetres)


def read_meta_header(path: Path) -> tuple[dict[str, str], int]:
    """Read the header of a MetaImage file.

    Returns:
        its fields by their names in lower case, the last of which is ``elementdatafile``, and where it ends.

    Raises:
        InputError: it is none, or is damaged.
    """
    fields: dict[str, str] = {}
    with path.open("rb") as file:
        while "elementdatafile" not in fields:
            line = file.readline(1 << 16)
            key, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
            if not equals:
                problem = "is not a MetaImage file" if not fields else "is damaged or truncated within its header"
                raise InputError(path, problem, "give .mha, .mhd, .nii.gz or another supported image")
            fields[key.strip().lower()] = value.strip()
        return fields, file.tell()


def _flag(fields: dict[str, str], *keys: str) -> bool:
    """Whether any of these is true, as MetaIO looks at them."""
    return any(fields.get(key, "").lower()[:1] in ("t", "1") for key in keys)


def _check_storage(fields: dict[str, str], place: str, path: Path) -> None:
    """Raise `InputError` for voxels that are not stored as they are, in one place."""
    for key, neutral in _NO_SCALING.items():
        if any(float(value) != neutral for value in fields.get(key, "").split()):
            problem = f"scales its voxels ({key} {fields[key]}), which is not read"
            raise InputError(path, problem, "save the scaled values, for example as .nii.gz")
    scattered = place.upper().startswith("LIST") or "%" in place
    if scattered or not _flag(fields, "binarydata") or fields.get("headersize", "0") != "0":
        remedy = "save it as one .mha file, raw or compressed"
        raise InputError(path, "stores its voxels in an unusual way", remedy)


def _length_unit(units: list[str], path: Path) -> tuple[float, tuple[str, ...]]:
    """Millimetres in the unit of all axes, and a note where it is another or not told."""
    if not units:
        return 1.0, ()  # hardly any writer tells it
    if not any(units):
        return 1.0, ("units unknown: taken as mm",)
    factors = [_MILLIMETRES.get(unit if len(unit) <= 2 else unit.removesuffix("s")) for unit in units]
    if None in factors or len(set(factors)) > 1:
        problem = f"tells its lengths in {', '.join(dict.fromkeys(unit or 'no unit' for unit in units))}"
        raise InputError(path, problem, "save it in mm on all axes")
    factor = factors[0] or 1.0
    return factor, (f"converted from {units[0]} to mm",) if factor != 1 else ()


def _check_numbers(fields: dict[str, str], path: Path) -> None:
    """Raise `InputError` where a field of numbers holds anything else, which MetaIO reads as 0."""
    for key in _META_NUMBERS & fields.keys():
        try:
            numbers = np.array(fields[key].split(), float)
        except ValueError:
            numbers = np.array([])
        if not numbers.size or not np.isfinite(numbers).all():
            raise InputError(path, f"its header is damaged ({key} is not a list of numbers)", _DAMAGED)
