"""Which files are images, told by their ending, and the checks that come before any reader."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.errors import InputError
from monai_supmix.imageio.dicom_storage import is_dicom

NIFTI_SUFFIXES = (".nii.gz", ".nii")
ITK_SUFFIXES = (".nrrd", ".mha", ".mhd")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
SUFFIXES = (*NIFTI_SUFFIXES, *ITK_SUFFIXES, *PICTURE_SUFFIXES)


def suffix_of(path: str | Path) -> str:
    """The ending that tells a supported file, as written, or an empty string.

    Example:
        >>> suffix_of("a.b.NII.gz"), suffix_of("notes.txt")
        ('.NII.gz', '')
    """
    name = Path(path).name
    return next((name[-len(suffix) :] for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


def check_file(path: Path) -> str:
    """Check that a file exists, can be opened, is not empty, and may be an image.

    Args:
        path: the file.

    Returns:
        its ending in lower case, one of `SUFFIXES`.

    Raises:
        InputError: otherwise.
    """
    if not path.exists():
        raise InputError(path, "does not exist", "check the path")
    try:
        with path.open("rb"):
            size = path.stat().st_size
    except OSError as error:
        raise InputError(path, f"cannot be opened ({error.strerror})", "check its permissions") from error
    if size == 0:
        raise InputError(path, "is empty (0 bytes)", "copy or export it again")
    suffix = suffix_of(path).lower()
    if suffix:
        return suffix
    if path.name.lower().endswith((".hdr", ".img", ".hdr.gz", ".img.gz")):
        raise InputError(path, "is one of a .hdr/.img pair", "convert it to one .nii.gz file")
    if is_dicom(path):
        raise InputError(path, "is a single DICOM file", "give the folder of its series")
    raise InputError(path, "is of an unknown type", f"give {', '.join(SUFFIXES)} or a DICOM folder")
