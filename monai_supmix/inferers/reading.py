"""Read cases one after the other, the next one ahead of time where memory allows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.file_kinds import NIFTI_SUFFIXES, suffix_of
from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers.inputs import InputCase
from monai_supmix.memory import available_memory

_SHARE = 0.25  # of the available memory that an image read ahead may take
_PACKED = 8  # compressed medical images are seldom smaller than this part of their voxels


def read_cases(cases: Iterable[InputCase], ahead: bool = False) -> Iterator[tuple[InputCase, CaseImage | Exception]]:
    """Read cases one after the other; what cannot be read comes as its error.

    The generator keeps no image that it has given, so that the caller decides how many are in memory.

    Args:
        cases: the cases, in the order in which they come; with `ahead` the next one is asked for while one is at work.
        ahead: read one case in a thread while the caller works with the one before, if it will take less than a quarter
            of the memory that is left.

    Yields:
        case and image, or case and error.
    """
    coming = iter(cases)
    with ThreadPoolExecutor(1, "reader") as reader:
        pending: Future | None = None
        case = next(coming, None)
        while case is not None:
            given = [pending.result() if pending is not None else _read(case)]
            pending = None
            following = next(coming, None) if ahead else None
            if following is not None and decoded_bytes(following.path) < _SHARE * available_memory():
                pending = reader.submit(_read, following)
            yield case, given.pop()
            case = following if ahead else next(coming, None)


def _read(case: InputCase) -> CaseImage | Exception:
    try:
        image = read_image(case.path)
    except Exception as error:  # the caller decides whether to raise it
        return error
    return replace(image, turns=case.turns, mirror=case.mirror) if image.is_picture else image


def decoded_bytes(path: Path) -> int:
    """Estimate the memory that an image will take, without reading its voxels.

    Args:
        path: file, or folder of a DICOM series.

    Returns:
        bytes: of NIfTI by the header, of other kinds a multiple of the size on the disk; 0 for what cannot be read.

    Example:
        >>> decoded_bytes(Path("missing.nii.gz"))
        0
    """
    try:
        if suffix_of(path) in NIFTI_SUFFIXES:
            header: Any = nib.load(path).header
            return math.prod(header.get_data_shape()) * header.get_data_dtype().itemsize
        files = path.iterdir() if path.is_dir() else [path]
        return _PACKED * sum(file.stat().st_size for file in files)
    except Exception:  # whatever is wrong with it: its reader will report it
        return 0
