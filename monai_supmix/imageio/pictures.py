"""Pictures (PNG, JPEG, TIFF, BMP, GIF, PGM and PPM, WebP) and label pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage, check_values
from monai_supmix.imageio.picture_decoding import decode_picture


def read_picture(path: str | Path) -> CaseImage:
    """Read a picture with the numbers that are stored.

    Grey stays one channel, 16 bits stay 16 bits, palettes become colour (or grey, if all their colours are),
    alpha is dropped.

    A picture whose EXIF tag tells viewers to turn it is refused, for labels too: annotators saw it turned,
    programs read it unturned, so it is unclear which way its label lies.

    Args:
        path: the file.

    Returns:
        the image ``(C, H, W)``, C = 1 or 3.

    Raises:
        InputError: not a picture, damaged, truncated, several pages, an orientation tag, or a storage that is
            not read exactly.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.zeros((4, 6), np.uint8)).save(Path(folder) / "a.png")
        ...     read_picture(Path(folder) / "a.png").array.shape
        (1, 4, 6)
    """
    path = Path(path)
    decoded = decode_picture(path)
    notes, array = list(decoded.notes), decoded.array
    if decoded.alpha is not None:
        notes.append("alpha channel dropped")
    if decoded.palette is not None:
        notes.append("converted from a palette to RGB")
        array = decoded.palette[array]
    array = array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
    image = CaseImage(path, "picture", array, file_shape=array.shape[1:], notes=tuple(notes))
    check_values(image)
    return image


def read_label_picture(path: str | Path) -> np.ndarray:
    """Read a label picture: palette indices and grey values as stored, one-bit pictures as 0 and 1, GIF by its greys.

    Args:
        path: the file.

    Returns:
        ``(H, W)``.

    Raises:
        InputError: as `read_picture`; a compression that changes values, such as JPEG's; a GIF with a palette of
            colours; colours that are not grey.
    """
    path = Path(path)
    decoded = decode_picture(path)
    if decoded.unfit:
        raise InputError(path, decoded.unfit, "save label maps as PNG")
    if decoded.transparent:
        raise InputError(path, "has a transparent part, so that its labels are ambiguous", "save it without alpha")
    if decoded.array.ndim == 2:
        return decoded.array
    if (decoded.array != decoded.array[..., :1]).any():
        raise InputError(path, "is a colour picture", "save label maps with one number per class")
    return np.ascontiguousarray(decoded.array[..., 0])
