"""Volumes of every kind of file."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.file_kinds import ITK_SUFFIXES, MGH_SUFFIXES, PAIR_SUFFIXES
from monai_supmix.imageio.itk_images import read_itk
from monai_supmix.imageio.mgh import read_mgh
from monai_supmix.imageio.nifti import read_nifti
from monai_supmix.imageio.pairs import read_pair


def read_volume(path: Path, suffix: str) -> CaseImage:
    """Read a volume by the reader of its kind.

    Args:
        path: the file.
        suffix: its ending in lower case, from `monai_supmix.imageio.file_kinds.check_file`.

    Raises:
        InputError: it cannot be read.
    """
    readers = {PAIR_SUFFIXES: read_pair, MGH_SUFFIXES: read_mgh, ITK_SUFFIXES: read_itk}
    read = next((reader for suffixes, reader in readers.items() if suffix in suffixes), read_nifti)
    return read(path)
