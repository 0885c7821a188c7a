"""FreeSurfer's volumes (.mgz, .mgh)."""

from __future__ import annotations

import zlib
from pathlib import Path

import nibabel as nib
import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage, check_affine, check_values, voxel_size
from monai_supmix.imageio.payload import open_payload, read_array

_TYPES = {0: ">u1", 1: ">i4", 3: ">f4", 4: ">i2"}
_HEADER = 284
_CONVERT = "convert it to .nii.gz, for example with mri_convert"


def read_mgh(path: str | Path) -> CaseImage:
    """Read a FreeSurfer volume; what follows the voxels (acquisition, history) is not looked at.

    Args:
        path: the file.

    Returns:
        the image, voxels as stored, affine in RAS+ millimetres.

    Raises:
        InputError: not such a file, damaged, truncated, several frames, or an affine that places nothing.
    """
    path = Path(path)
    compressed = path.name.lower().endswith(".mgz")
    try:
        with path.open("rb") as file:
            if (file.read(2) == b"\x1f\x8b") != compressed:
                problem = "is named .mgz but is not gzip" if compressed else "is gzip but not named .mgz"
                raise InputError(path, problem, "rename or export it again")
            file.seek(0)
            stream = open_payload(file, compressed)
            block = stream.read(_HEADER)
            if len(block) < _HEADER or block[:4] != b"\0\0\0\x01":
                raise InputError(path, "is not a FreeSurfer volume, or is truncated", "copy or export it again")
            header = nib.freesurfer.mghformat.MGHHeader(
                block + bytes(nib.freesurfer.mghformat.footer_dtype.itemsize), check=False
            )
            sizes, kind = [int(n) for n in header["dims"]], int(header["type"])
            if min(sizes) < 1 or sizes[3] != 1:
                problem = f"has the dimensions {' x '.join(str(n) for n in sizes)}"
                raise InputError(path, problem, "give one 3D volume per file")
            if kind not in _TYPES:
                raise InputError(path, f"holds voxels of FreeSurfer type {kind}, which is not read", _CONVERT)
            affine = np.array(header.get_affine(), float)
            check_affine(path, affine)
            size = path.stat().st_size
            array = read_array(
                stream,
                sizes[:3],
                np.dtype(_TYPES[kind]),
                path=path,
                stored_bytes=size,
                compressed=compressed,
                footer=True,
            )
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(path, f"is damaged or truncated ({error})", "copy or export it again") from error
    is_oriented = int(header["goodRASFlag"]) == 1
    notes = () if is_oriented else ("no orientation given: FreeSurfer's coronal planes are assumed",)
    image = CaseImage(path, "nifti", array, affine=affine, spacing=voxel_size(affine), notes=notes)
    check_values(image)
    return image
