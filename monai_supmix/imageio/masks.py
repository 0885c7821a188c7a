"""Writing masks on exactly the grid of their image, whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from isal import igzip
from PIL import Image

from monai_supmix.files import atomic_write
from monai_supmix.imageio.case_image import CaseImage

# What places an image. Descriptions, names and extensions stay behind: they may name the patient.
_PLACING = (
    *("dim", "dim_info", "pixdim", "xyzt_units", "qform_code", "sform_code", "srow_x", "srow_y", "srow_z"),
    *("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
)
_MILLIMETRE = 2
_SCANNER = 1


def mask_suffix(image: CaseImage) -> str:
    """Ending of the file that a mask of this image is written to."""
    return ".png" if image.is_picture else ".nii.gz"


def write_mask(mask: np.ndarray, image: CaseImage, path: str | Path, slope: float = 1.0) -> None:
    """Write a mask as uint8 or uint16 with the exact shape, affine, qform and sform codes and units of its image.

    Pictures give a grey PNG; volumes a compressed NIfTI file (of the input's NIfTI version), those that were
    no NIfTI file in scanner coordinates and millimetres (unknown units where the file gives no spacing). The same
    input gives the same bytes. The file appears under its name only when complete.

    Args:
        mask: uint8 or uint16 ``image.label_shape``.
        image: the image it belongs to.
        path: ``.nii.gz`` or ``.png``, see `mask_suffix`.
        slope: what a step of the stored value stands for, NIfTI only (1/255 for probabilities).

    Raises:
        ValueError: wrong shape, data type or ending.
        InputError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> image = CaseImage.from_array(np.zeros((4, 3, 2), np.int16), np.diag([-0.5, -0.5, 5.0, 1.0]))
        >>> path = Path(tempfile.mkdtemp()) / "scan_seg.nii.gz"
        >>> write_mask(np.ones((4, 3, 2), np.uint8), image, path)
        >>> written = nib.load(path)
        >>> written.shape, written.get_data_dtype(), bool((written.affine == image.affine).all())
        ((4, 3, 2), dtype('uint8'), True)
    """
    path = Path(path)
    if mask.shape != image.label_shape or mask.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"The mask is {mask.dtype} {mask.shape}, expected uint8 or uint16 {image.label_shape}.")
    if not path.name.endswith(mask_suffix(image)):
        raise ValueError(f"{path.name}: masks of this image end in {mask_suffix(image)}.")
    with atomic_write(path) as file:
        if image.is_picture:
            Image.fromarray(np.ascontiguousarray(mask)).save(file, format="PNG")
            return
        header = _mask_header(image)
        header.set_data_dtype(mask.dtype)
        header["scl_slope"] = slope
        with igzip.IGzipFile(filename="", mode="wb", fileobj=file, compresslevel=1, mtime=0) as packed:
            packed.write(header.binaryblock)
            packed.write(b"\0" * (int(header["vox_offset"]) - len(header.binaryblock)))
            for index in range(mask.shape[2]):  # slice by slice: no copy of the whole
                packed.write(mask[:, :, index].astype(header.get_data_dtype()).tobytes(order="F"))


def in_label_values(mask: np.ndarray, record: Mapping[str, Any]) -> np.ndarray:
    """A mask with the values that its classes have in the label files that were trained on.

    Args:
        mask: numbers of classes, uint8.
        record: of the weights; its ``label_values`` are those values, where they are not the numbers.

    Returns:
        the mask itself where the values are the numbers; else uint8, or uint16 if a value is beyond 255.

    Example:
        >>> in_label_values(np.array([0, 1, 2], np.uint8), {"label_values": [0, 3, 205]})
        array([  0,   3, 205], dtype=uint8)
    """
    values = record.get("label_values")
    if values is None:
        return mask
    return np.asarray(values, np.uint8 if max(values) <= 255 else np.uint16)[mask]


def _mask_header(image: CaseImage) -> nib.Nifti1Header:
    """A fresh uint8 header that holds of the image's header only what places it."""
    header = nib.Nifti1Header() if image.header is None else type(image.header)()
    if image.header is not None:
        for key in _PLACING:
            header[key] = image.header[key]
    else:
        affine = np.asarray(image.affine, float)
        shape = image.file_shape or image.array.shape
        header.set_data_shape(shape)
        header.set_sform(affine, code=_SCANNER)
        # A qform holds no shear (tilted gantry); one that says something else than the sform must not exist.
        header.set_qform(affine, code=_SCANNER)
        if not np.allclose(header.get_qform(), affine, atol=1e-3):
            header["qform_code"] = 0
        header["xyzt_units"] = 0 if image.spacing is None else _MILLIMETRE
    header.set_data_dtype(np.uint8)
    header["magic"] = header.single_magic
    header["vox_offset"] = header.single_vox_offset
    header["scl_slope"], header["scl_inter"] = 1, 0
    return header
