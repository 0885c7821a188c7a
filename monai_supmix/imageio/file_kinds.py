"""Which files are images, judged by their endings, and the checks that come before any reader."""

from __future__ import annotations

from pathlib import Path

from monai_supmix.errors import InputError
from monai_supmix.imageio.dicom_storage import is_dicom

NIFTI_SUFFIXES = (".nii.gz", ".nii")
PAIR_SUFFIXES = (".hdr", ".hdr.gz", ".img", ".img.gz")
MGH_SUFFIXES = (".mgz", ".mgh")
ITK_SUFFIXES = (".nrrd", ".mha", ".mhd")
HDF5_SUFFIXES = (".h5", ".hdf5")
PICTURE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".webp"),
    *(".pgm", ".ppm", ".pnm", ".pbm"),
)
SUFFIXES = (*NIFTI_SUFFIXES, *PAIR_SUFFIXES, *MGH_SUFFIXES, *ITK_SUFFIXES, *HDF5_SUFFIXES, *PICTURE_SUFFIXES)
"""Endings of the files that are read, as images and as label maps."""
LABEL_SUFFIXES = (*SUFFIXES, ".dcm")
"""Endings of the files in a folder of label maps that are read: DICOM segmentations and structure sets, too."""
UNREAD_SUFFIXES = (
    *(".gipl", ".gipl.gz", ".nhdr", ".mnc", ".mif", ".mif.gz", ".mih", ".rec", ".vtk", ".vti", ".mat"),
    *(".npy", ".npz", ".zarr", ".dcm", ".dicom", ".ima", ".jp2", ".j2k", ".jxl", ".avif", ".heic", ".psd", ".svs"),
    *(".ndpi", ".czi", ".lif", ".nd2", ".ico", ".tga", ".exr", ".pfm", ".pdf", ".svg", ".xcf"),
)
"""Endings of files that hold images or label maps, and are not read: the message about them says so."""


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
    if is_dicom(path):
        raise InputError(path, "is a single DICOM file", "give the folder of its series")
    kind = (
        "holds an image of a type that is not read"
        if path.name.lower().endswith(UNREAD_SUFFIXES)
        else "is of an unknown type"
    )
    raise InputError(path, kind, f"give {', '.join(SUFFIXES)} or a DICOM folder")
