"""All files that an image consists of: some formats keep the voxels beside their header."""

from __future__ import annotations

import contextlib
from pathlib import Path

from monai_supmix.errors import InputError
from monai_supmix.imageio.hdf5 import files_of, is_hdf5
from monai_supmix.imageio.itk_images import read_meta_header
from monai_supmix.listing import ending_of, stem_of

_VOXELS, _HEADERS = (".img", ".img.gz"), (".hdr", ".hdr.gz", ".mat")
_IN_TWO_FILES = {**dict.fromkeys(_VOXELS, _HEADERS), **dict.fromkeys(_HEADERS, (*_VOXELS, ".mat"))}


def files_of_image(path: Path) -> list[Path]:
    """All files that an image consists of, as far as they exist, the named one first.

    Args:
        path: a file, or a pattern of HDF5 slices. A DICOM series is a folder, whose files its caller lists.

    Raises:
        InputError: no file matches a pattern.

    Example:
        >>> [file.name for file in files_of_image(Path("scan.nii.gz"))]
        ['scan.nii.gz']
    """
    if is_hdf5(path):
        return files_of(path)
    ending, stem = ending_of(path.name), stem_of(path.name)
    beside = [_in_either_case(path.with_name(stem + other)) for other in _IN_TWO_FILES.get(ending, ())]
    if ending in (".mhd", ".mha"):
        with contextlib.suppress(InputError, OSError):  # its reader will report it
            beside = [path.parent / read_meta_header(path)[0]["elementdatafile"]]
    return [path, *(file for file in beside if file.is_file())]


def _in_either_case(path: Path) -> Path:
    ending = ending_of(path.name)
    return path if path.is_file() else path.with_name(stem_of(path.name) + ending.upper())
