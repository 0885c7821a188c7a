"""Read cases one after the other, the next ones ahead of time where memory allows."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.file_kinds import NIFTI_SUFFIXES, suffix_of
from monai_supmix.imageio.parts import files_of_image
from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers.inputs import InputCase
from monai_supmix.memory import available_memory

_SHARE = 0.25  # of the available memory that images read ahead may take
_PACKED = 8  # compressed medical images are seldom smaller than this part of their voxels


def read_cases(cases: Iterable[InputCase], ahead: int = 0) -> Iterator[tuple[InputCase, CaseImage | Exception]]:
    """Read cases one after the other; what cannot be read comes as its error.

    The generator keeps no image that it has given, so that the caller decides how many are in memory.

    Args:
        cases: the cases, in the order in which they come; with `ahead` the next ones are asked for while one is used.
        ahead: read so many cases in as many threads while the caller works with the one before, as long as all of them
            will take less than a quarter of the memory that is left.

    Yields:
        case and image, or case and error.
    """
    coming, waiting = iter(cases), deque[tuple[InputCase, Future | None, int]]()
    with ThreadPoolExecutor(max(ahead, 1), "reader") as readers:
        for first in coming:
            waiting.append((first, None, 0))
            while waiting:
                case, reading, _ = waiting.popleft()
                given = [_read(case) if reading is None else reading.result()]
                while len(waiting) < ahead and (following := next(coming, None)) is not None:
                    size = decoded_bytes(following.path)
                    if size + sum(each for _, _, each in waiting) >= _SHARE * available_memory():
                        waiting.append((following, None, 0))  # read when its turn comes
                        break
                    waiting.append((following, readers.submit(_read, following), size))
                yield case, given.pop()


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
        files = path.iterdir() if path.is_dir() else files_of_image(path)
        return _PACKED * sum(file.stat().st_size for file in files)
    except Exception:  # whatever is wrong with it: its reader will report it
        return 0
