"""Pictures (PNG, JPEG, TIFF, BMP) and label pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage, check_values

_EXIF_ORIENTATION = 0x0112
_SAVE_AGAIN = "save it again as PNG"
# Grey PNG of 2 and 4 bits is stretched to 0..255 by Pillow; label values need the stored numbers.
_STRETCH = {"L;2": 85, "L;4": 17}


def read_picture(path: str | Path) -> CaseImage:
    """Read a picture. Grey stays one channel, 16-bit stays 16-bit, palettes become colour, alpha is dropped.

    A picture whose EXIF tag tells viewers to turn it is refused, for labels too: annotators saw it turned,
    programs read it unturned, and nobody can tell which way its label lies.

    Args:
        path: the file.

    Returns:
        the image ``(C, H, W)``, C = 1 or 3.

    Raises:
        InputError: not a picture, damaged, truncated, several pages, an orientation tag, or an unusual colour
            space.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.zeros((4, 6), np.uint8)).save(Path(folder) / "a.png")
        ...     read_picture(Path(folder) / "a.png").array.shape
        (1, 4, 6)
    """
    path = Path(path)
    picture, _ = _load(path)
    notes = []
    if picture.mode in ("LA", "RGBA", "PA", "La", "RGBa"):
        notes.append("alpha channel dropped")
        picture = picture.convert("L" if picture.mode in ("LA", "La") else "RGB")
    elif picture.mode in ("P", "CMYK", "YCbCr"):
        notes.append(f"converted from {'a palette' if picture.mode == 'P' else picture.mode} to RGB")
        picture = picture.convert("RGB")
    array = _to_array(picture, path)
    array = array[None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(2, 0, 1))
    image = CaseImage(path, "picture", array, file_shape=array.shape[1:], notes=tuple(notes))
    check_values(image)
    return image


def read_label_picture(path: str | Path) -> np.ndarray:
    """Read a label picture: palette indices and grey values as stored, one-bit pictures as 0 and 1.

    Args:
        path: the file.

    Returns:
        ``(H, W)``.

    Raises:
        InputError: as `read_picture`; JPEG, whose compression changes values; colours that are not grey.
    """
    path = Path(path)
    picture, rawmode = _load(path)
    if picture.format == "JPEG":
        raise InputError(path, "is a JPEG, whose compression changes label values", "save label maps as PNG")
    if picture.mode in ("LA", "RGBA") and picture.getextrema()[-1] != (255, 255):
        raise InputError(path, "has a transparent part, so that its labels are ambiguous", "save it without alpha")
    array = _to_array(picture, path)
    if array.ndim == 3:
        colours = array[..., : 1 if picture.mode == "LA" else 3]
        if (colours != colours[..., :1]).any():
            raise InputError(path, "is a colour picture", "save label maps with one number per class")
        array = colours[..., 0]
    return array // _STRETCH.get(rawmode, 1)


def _load(path: Path) -> tuple[Image.Image, str]:
    """Open and decode a picture; return it and how its pixels were packed."""
    try:
        with Image.open(path) as picture:
            if picture.format == "PNG":
                picture.verify()  # the only reading that compares the checksums of the pixels
        with Image.open(path) as picture:
            rawmode = str(picture.tile[0].args) if picture.tile else ""
            if getattr(picture, "n_frames", 1) > 1:
                raise InputError(path, f"holds {picture.n_frames} pages", "give one picture per file")
            if picture.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1):
                problem = "has an EXIF orientation: viewers show it turned, programs read it unturned"
                raise InputError(path, problem, "turn the pixels, remove the tag, and check that its label fits")
            picture.load()
            return picture, rawmode
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(path, "is not a picture, or is damaged", _SAVE_AGAIN) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            path, "has more pixels than a picture sensibly has, or is damaged", "give a part of it"
        ) from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise InputError(path, f"is damaged or truncated ({error})", f"copy it or {_SAVE_AGAIN}") from error


def _to_array(picture: Image.Image, path: Path) -> np.ndarray:
    """Pixels as ``(H, W)`` or ``(H, W, C)`` in native byte order."""
    if picture.mode not in ("1", "L", "P", "LA", "RGB", "RGBA", "I", "F") and not picture.mode.startswith("I;16"):
        raise InputError(path, f"has the colour space {picture.mode}", f"{_SAVE_AGAIN} in grey or RGB")
    array = np.array(picture)
    if array.dtype == bool:
        return array.astype(np.uint8)
    if picture.mode == "I" and array.min() >= 0 and array.max() < 1 << 16:
        return array.astype(np.uint16)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
