"""Pairs of a header (.hdr) and a file of voxels (.img): NIfTI, or Analyze 7.5, from which NIfTI was made."""

from __future__ import annotations

import re
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage, check_values, voxel_size
from monai_supmix.imageio.nifti import is_pair, parse_header, read_voxels
from monai_supmix.imageio.payload import open_payload, read_array

_REMEDY = "convert it to one .nii.gz file"
_ANALYZE = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8"}
_HEADER = 1 << 16  # no header is larger, its extensions included
_GZIP = b"\x1f\x8b"


def files_of(path: Path) -> tuple[Path, Path]:
    """The two files of a pair, of which one is given.

    Args:
        path: ``a.hdr`` or ``a.img``, each perhaps with ``.gz``.

    Returns:
        header and voxels.

    Raises:
        InputError: the other file is not there.
    """
    plain = path.name[:-3] if path.name.lower().endswith(".gz") else path.name
    is_header = plain.lower().endswith(".hdr")
    stem, other = plain[:-4], ".img" if is_header else ".hdr"
    names = [stem + ending for ending in (other, other.upper(), other + ".gz")]
    partner = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if partner is None:
        raise InputError(path, f"has no {other} file beside it", "put both files into one folder")
    return (path, partner) if is_header else (partner, path)


def read_pair(path: str | Path) -> CaseImage:
    """Read a NIfTI or Analyze 7.5 image of two files.

    Analyze does not say which way its axes run: as nibabel does, the first is taken to run to the left, with a note.

    Args:
        path: either file; the other lies beside it.

    Returns:
        the image, voxels as stored.

    Raises:
        InputError: one of the two files is missing, an affine of SPM lies beside them in a ``.mat`` file, or as
            `monai_supmix.imageio.nifti.read_nifti`.
    """
    path = Path(path)
    header_file, voxel_file = files_of(path)
    try:
        with header_file.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            block = open_payload(file, packed).read(_HEADER)
        with voxel_file.open("rb") as file:
            packed = file.read(2) == _GZIP
            file.seek(0)
            stream = open_payload(file, packed)
            size = voxel_file.stat().st_size
            if is_pair(block):
                header = parse_header(block[:348] if block[344:348] == b"ni1\0" else block[:540], header_file)
                offset = int(header["vox_offset"])
                if not 0 <= offset <= size:
                    raise InputError(header_file, "its NIfTI header is damaged (vox_offset)", _REMEDY)
                stream.read(offset)
                return read_voxels(header, stream, path, size, packed)
            analyze, notes = _parse_analyze(block, header_file)
            _check_mat(path, header_file)
            shape = (*analyze.get_data_shape()[:3], 1)[:3]
            dtype = np.dtype(analyze.endianness + _ANALYZE[int(analyze["datatype"])])
            array = read_array(stream, shape, dtype, path=path, stored_bytes=size, compressed=packed)
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(path, f"is damaged or truncated ({error})", "copy both files again") from error
    affine = np.array(analyze.get_base_affine(), float)
    image = CaseImage(path, "nifti", array, affine=affine, spacing=voxel_size(affine), notes=notes)
    check_values(image)
    return image


def _check_mat(path: Path, header_file: Path) -> None:
    """Raise `InputError` if a file of SPM lies beside the pair, which places the image otherwise than its header."""
    stem = re.sub(r"\.hdr(\.gz)?$", "", header_file.name, flags=re.IGNORECASE)
    mat = next((stem + ending for ending in (".mat", ".MAT") if header_file.with_name(stem + ending).exists()), None)
    if mat is not None:
        problem = f"has {mat} of SPM beside it, whose affine is not read"
        raise InputError(path, problem, "convert both to one .nii.gz file, for example with SPM or nibabel")


def _parse_analyze(block: bytes, path: Path) -> tuple[nib.AnalyzeHeader, tuple[str, ...]]:
    """Check an Analyze 7.5 header and say what it leaves open."""
    damaged = InputError(path, "is not a header of NIfTI or Analyze 7.5, or is damaged", _REMEDY)
    if len(block) != 348 or block[344:347] == b"n+1":
        raise damaged
    header = nib.AnalyzeHeader(block, check=False)
    dim = [int(n) for n in header["dim"]]
    if int(header["sizeof_hdr"]) != 348 or not 2 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise damaged
    if any(n > 1 for n in dim[4 : dim[0] + 1]):
        text = " x ".join(str(n) for n in dim[1 : dim[0] + 1])
        raise InputError(path, f"has {dim[0]} dimensions ({text}), several volumes", "give one 3D volume per file")
    if int(header["datatype"]) not in _ANALYZE or int(header["vox_offset"]) != 0:
        problem = f"holds voxels of Analyze type {int(header['datatype'])} or an offset, which is not read"
        raise InputError(path, problem, _REMEDY)
    # Unused in Analyze; SPM keeps a factor there.
    factor = float(np.frombuffer(block, header.endianness + "f4", 1, 112)[0])
    if factor not in (0.0, 1.0):
        raise InputError(path, f"holds a scale factor of SPM ({factor:g}), which Analyze does not know", _REMEDY)
    sizes = np.array(header["pixdim"][1:4], float)
    if not (np.isfinite(sizes).all() and (sizes[: min(dim[0], 3)] > 0).all()):
        raise InputError(path, "its voxel sizes (pixdim) are damaged", _REMEDY)
    header["pixdim"][1:4] = np.where(sizes > 0, sizes, 1)
    return header, ("Analyze 7.5 stores no orientation: the first axis is taken to run to the left",)
