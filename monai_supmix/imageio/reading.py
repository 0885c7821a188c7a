"""Reading images and label maps of every supported kind."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.dicom import read_dicom
from monai_supmix.imageio.file_kinds import ITK_SUFFIXES, NIFTI_SUFFIXES, check_file
from monai_supmix.imageio.itk_images import read_itk
from monai_supmix.imageio.labels import read_label
from monai_supmix.imageio.nifti import read_nifti
from monai_supmix.imageio.pictures import read_picture

__all__ = ["CaseImage", "read_image", "read_label"]


def read_image(path: str | Path) -> CaseImage:
    """Read an image on its own grid: NIfTI, NRRD, MetaImage, a folder with one DICOM series, or a picture.

    Args:
        path: file or DICOM folder.

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
    suffix = check_file(path)
    if suffix in NIFTI_SUFFIXES:
        return read_nifti(path)
    return read_itk(path) if suffix in ITK_SUFFIXES else read_picture(path)
