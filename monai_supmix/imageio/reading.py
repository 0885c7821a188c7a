"""Reading images and label maps of every supported kind."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.dicom import read_dicom
from monai_supmix.imageio.file_kinds import PICTURE_SUFFIXES, check_file
from monai_supmix.imageio.hdf5 import is_hdf5, read_hdf5
from monai_supmix.imageio.labels import read_label
from monai_supmix.imageio.pictures import read_picture
from monai_supmix.imageio.volumes import read_volume

__all__ = ["CaseImage", "read_image", "read_label"]


def read_image(path: str | Path) -> CaseImage:
    """Read an image on its own grid: a volume, a folder with one DICOM series, or a picture.

    Args:
        path: file (its endings are in `monai_supmix.imageio.file_kinds`) or DICOM folder; of HDF5 slices also a
            pattern, see `monai_supmix.imageio.hdf5.read_hdf5`.

    Returns:
        the image with voxels as stored (see `CaseImage`); nothing is resampled, turned or converted to float.

    Raises:
        InputError: missing, empty, damaged or unsupported; the message says what to do.

    Example:
        >>> read_image("missing.nii.gz")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: missing.nii.gz: does not exist: check the path
    """
    path = Path(path)
    if path.is_dir():
        return read_dicom(path)
    if is_hdf5(path):
        return read_hdf5(path)
    suffix = check_file(path)
    return read_picture(path) if suffix in PICTURE_SUFFIXES else read_volume(path, suffix)
