"""Pictures as they are stored: decoded by a library, and set right or refused where it changes numbers.

Which library decodes what, and why:

* PNG with 16 bits in several channels: torchvision's libpng. Pillow keeps only the high byte.
* Everything else: Pillow, which also compares PNG's checksums. How it unpacks pixels (its *raw mode*) is known
  before it decodes. What it inverts or stretches is set right here; a raw mode that is not listed is refused.
* TIFF: Pillow or tifffile, as its header says, see `monai_supmix.imageio.tiff`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from monai_supmix.errors import InputError
from monai_supmix.imageio.tiff import CHANGING, TiffStorage, check_tiff, read_plain

_EXIF_ORIENTATION = 0x0112
_SAVE_AGAIN = "save it again as PNG"
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "PPM", "WEBP")
# One number a pixel: I is inverted, R has its bits the other way round, which Pillow sets right.
_GREY = re.compile(
    r"(?P<kind>[1L])(;(?P<bits>[24])?(?P<inverted>I)?R?)?|P(;[124]?R?)?|I;16[BNLR]?|I;16B?S|I;32B?S|F;32B?F"
)
_SEVERAL = ("LA", "RGB", "RGBA", "RGBX", "BGR", "BGRX", "BGRA", "BGXR", "XBGR", "ABGR", "RGB;R")
_FEW_BITS = ("BGR;15", "BGR;16")  # 5 and 6 bits a channel, stretched
_PREMULTIPLIED = ("La", "RGBa")
_DEEP = ("LA;16B", "RGB;16B", "RGBA;16B")
_WHITE_IS_ZERO = "white is 0 (WhiteIsZero): the stored numbers are used, viewers show them inverted"
_MULTIPLIED = "has colours that are multiplied by their transparency"
_RENUMBERED = "is a GIF with a colour palette, whose writers renumber its classes"
_ONE_GREY = "is a GIF of one grey, whose writer left no other, so that nobody knows its class"
_STRETCHED = {"2": 85, "4": 17}


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture as stored.

    Args:
        array: ``(H, W)``, or ``(H, W, 3)`` in colour; with a palette, its indices.
        alpha: ``(H, W)``, 0 to `opaque`, or ``None``.
        opaque: alpha of what is not transparent.
        palette: ``(N, 3)`` colours of the indices, or ``None``.
        unfit: why it cannot be a label map, such as ``"is a JPEG, whose compression changes label values"``.
        notes: what a reader of the image should know.
    """

    array: np.ndarray
    alpha: np.ndarray | None = None
    opaque: int = 255
    palette: np.ndarray | None = None
    unfit: str = ""
    notes: tuple[str, ...] = ()

    @property
    def transparent(self) -> bool:
        """Whether any part is."""
        return self.alpha is not None and bool((self.alpha != self.opaque).any())


def decode_picture(path: Path) -> Decoded:
    """Decode a picture.

    Args:
        path: the file; its contents tell its format, whatever its ending.

    Raises:
        InputError: not a picture, damaged, truncated, several pages, an orientation tag, or a storage that is not
            known to be read exactly.
    """
    try:
        tiff = check_tiff(path)
        if tiff is not None and not tiff.by_pillow:
            return _decode_plain_tiff(path, tiff)
        with Image.open(path, formats=_FORMATS) as picture:
            if picture.format == "PNG":
                picture.verify()  # the only reading that compares the checksums of the pixels
        with Image.open(path, formats=_FORMATS) as picture:
            rawmode, top = _packing(picture)
            if getattr(picture, "n_frames", 1) > 1:
                raise InputError(path, f"holds {picture.n_frames} pages", "give one picture per file")
            _check_orientation(path, picture.getexif().get(_EXIF_ORIENTATION, 1) not in (0, 1))
            _check_packing(picture, rawmode, top, path)
            unfit = _unfit(picture, rawmode, tiff, path)
            if picture.format == "PNG" and rawmode in _DEEP:
                return _decode_deep_png(path)
            picture.load()
            decoded = _unpack(picture, rawmode, top, path)
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError(path, "is not a picture, or is damaged", _SAVE_AGAIN) from error
    except Image.DecompressionBombError as error:
        problem = "has more pixels than a picture sensibly has, or is damaged"
        raise InputError(path, problem, "give a part of it") from error
    except (OSError, SyntaxError, ValueError, EOFError, TypeError, KeyError, IndexError, OverflowError) as error:
        raise InputError(path, f"is damaged or truncated ({error})", f"copy it or {_SAVE_AGAIN}") from error
    notes = decoded.notes
    if (tiff is not None and tiff.photometric == "WhiteIsZero") or (picture.format == "PPM" and picture.mode == "1"):
        notes = (*notes, _WHITE_IS_ZERO)
    return replace(decoded, unfit=unfit or decoded.unfit, notes=notes)


def _check_orientation(path: Path, turned: bool) -> None:
    if turned:
        problem = "has an EXIF orientation: viewers show it turned, programs read it unturned"
        raise InputError(path, problem, "turn the pixels, remove the tag, and check that its label fits")


def _packing(picture: Any) -> tuple[str, int]:
    """How Pillow unpacks the pixels, and the number that stands for white where the file tells (PGM, else 0)."""
    if picture.format in ("GIF", "WEBP"):
        return ("P" if picture.format == "GIF" else picture.mode), 0
    if not picture.tile:
        raise ValueError("no pixels")
    codec, _, _, arguments = picture.tile[0]
    arguments = arguments if isinstance(arguments, tuple) else (arguments,)
    rawmode = str(arguments[0])
    if picture.format == "PPM":
        plain = codec in ("ppm", "ppm_plain") and picture.mode != "1"
        return rawmode, int(arguments[-1]) if plain else 0
    return rawmode, 0


def _check_packing(picture: Image.Image, rawmode: str, top: int, path: Path) -> None:
    """Raise `InputError` for a storage that is not known to be read exactly."""
    if picture.format == "JPEG":
        if picture.mode not in ("L", "RGB", "CMYK"):
            raise InputError(path, f"has the colour space {picture.mode}", f"{_SAVE_AGAIN} in grey or RGB")
        return
    if picture.format == "BMP" and picture.mode == "L" and _bits_of_bmp(path) < 8:
        raise InputError(path, "is a BMP with a palette of fewer than 256 greys", _SAVE_AGAIN)
    if picture.format == "PPM" and picture.mode not in ("1", "L", "I", "RGB"):
        raise InputError(path, f"is a PNM file of mode {picture.mode}", f"{_SAVE_AGAIN} in grey or RGB")
    if picture.format == "PPM" and picture.mode == "RGB" and top > 255:
        raise InputError(path, "holds 3 channels of 16 bits, which are not read from PPM", "save it as 16-bit PNG")
    deep = picture.format == "PNG" and rawmode in _DEEP
    planar = picture.format == "TIFF" and rawmode in ("R", "G", "B", "A", "X") and picture.mode in ("RGB", "RGBA", "LA")
    rawmodes = (*_SEVERAL, *_FEW_BITS, *_PREMULTIPLIED, "CMYK")
    if picture.mode == "LAB" or not (deep or planar or rawmode in rawmodes or _GREY.fullmatch(rawmode)):
        problem = f"is stored in a way that is not read exactly ({picture.format} {picture.mode}, {rawmode})"
        raise InputError(path, problem, f"{_SAVE_AGAIN} in grey or RGB")


def _unfit(picture: Any, rawmode: str, tiff: TiffStorage | None, path: Path) -> str:
    """Why the values cannot be trusted to be the label map's that was saved."""
    if picture.format == "JPEG" or (tiff is not None and tiff.compression in CHANGING):
        return f"is a {'TIFF' if tiff else 'JPEG'}, whose compression changes label values"
    if picture.format == "WEBP" and not _is_lossless_webp(path):
        return "is a lossy WebP, whose compression changes label values"
    if picture.format == "PPM" and picture.mode == "1":
        return "is a PBM bitmap, in which 1 is black and 0 white, so it is unclear which is the label"
    return "is a colour picture of 5 bits a channel" if rawmode in _FEW_BITS else ""


def _bits_of_bmp(path: Path) -> int:
    with path.open("rb") as file:
        file.seek(28)
        return int.from_bytes(file.read(2), "little")


def _is_lossless_webp(path: Path) -> bool:
    """Whether the pixels are in a VP8L chunk."""
    with path.open("rb") as file:
        file.seek(12)
        while len(head := file.read(8)) == 8:
            if head[:4] in (b"VP8 ", b"VP8L", b"ANIM"):
                return head[:4] == b"VP8L"
            length = int.from_bytes(head[4:], "little")
            file.seek(length + length % 2, 1)
    return False


def _unpack(picture: Image.Image, rawmode: str, top: int, path: Path) -> Decoded:
    """Turn what Pillow hands over into what is stored."""
    notes: tuple[str, ...] = ()
    if picture.mode in ("CMYK", "YCbCr"):
        notes = (f"converted from {picture.mode} to RGB",)
        picture = picture.convert("RGB")
    array = np.array(picture)
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa"):
        array, alpha = array[..., :-1], array[..., -1]
        if rawmode.startswith(_PREMULTIPLIED) and (alpha != 255).any():
            raise InputError(path, _MULTIPLIED, "save it without alpha")
        return Decoded(array[..., 0] if array.shape[-1] == 1 else array, alpha, palette=_palette(picture), notes=notes)
    if picture.mode in ("P", "L") and picture.format == "GIF":
        return _unpack_gif(picture, array)
    grey = _GREY.fullmatch(rawmode)
    if grey is not None and array.ndim == 2 and picture.format != "JPEG":
        if array.dtype == bool:
            array = array.astype(np.uint8)
        if grey["inverted"]:
            array = (1 if picture.mode == "1" else 255) - array
        if grey["bits"]:
            array = array // _STRETCHED[grey["bits"]]
    if picture.mode == "I":
        array = _as_stored(array, rawmode, picture)
    if top not in (0, 255, 65535):
        array = np.rint(array * (top / (65535 if array.dtype == np.uint16 else 255))).astype(array.dtype)
    array = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
    return Decoded(array, palette=_palette(picture), notes=notes)


def _as_stored(array: np.ndarray, rawmode: str, picture: Image.Image) -> np.ndarray:
    """Pillow's 32-bit numbers in the type that they are stored in."""
    if rawmode in ("I;16S", "I;16BS"):
        return array.astype(np.int16)
    if rawmode == "I;32N":  # unsigned in the file
        return array.view(np.uint32)
    return array.astype(np.uint16) if picture.format in ("PPM", "PNG") else array


def _palette(picture: Image.Image) -> np.ndarray | None:
    if picture.mode not in ("P", "PA") or picture.palette is None:
        return None
    colours = np.array(picture.getpalette("RGB") or [0, 0, 0], np.uint8).reshape(-1, 3)
    return np.concatenate([colours, np.zeros((256 - len(colours), 3), np.uint8)])


def _unpack_gif(picture: Image.Image, array: np.ndarray) -> Decoded:
    """GIF has only palettes: a palette of greys is a grey picture, whose writer chose the indices.

    Writers drop colours that are not used and renumber the others, so that indices tell no class. Whether the
    numbers can be trusted is told by the whole palette in the file: the colours that are used may be grey by chance.
    """
    palette = _palette(picture)
    if palette is None:
        return Decoded(array)
    unfit = "" if _is_grey(palette) else _RENUMBERED
    if not array.any() and palette[0].any() and not palette[1:].any():
        unfit = unfit or _ONE_GREY
    if _is_grey(palette[np.unique(array)]):
        return Decoded(palette[:, 0][array], unfit=unfit)
    return Decoded(array, palette=palette, unfit=unfit)


def _is_grey(colours: np.ndarray) -> bool:
    return bool((colours == colours[:, :1]).all())


def _decode_deep_png(path: Path) -> Decoded:
    """PNG of 16 bits in two to four channels."""
    from torchvision.io import ImageReadMode, decode_image  # noqa: PLC0415  # seldom needed, slow to load

    try:
        array = decode_image(str(path), mode=ImageReadMode.UNCHANGED).numpy().transpose(1, 2, 0)
    except RuntimeError as error:
        raise InputError(path, f"is damaged or truncated ({error})", f"copy it or {_SAVE_AGAIN}") from error
    if array.dtype != np.uint16:
        raise InputError(path, "holds 16 bits in several channels, which cannot be read", f"{_SAVE_AGAIN} with 8 bits")
    array = np.ascontiguousarray(array)
    colours = 3 if array.shape[2] >= 3 else 1
    alpha = array[..., colours] if array.shape[2] > colours else None
    return Decoded(array[..., :3] if colours == 3 else array[..., 0], alpha, opaque=65535)


def _decode_plain_tiff(path: Path, storage: TiffStorage) -> Decoded:
    """TIFF that tifffile reads."""
    _check_orientation(path, storage.turned)
    array = read_plain(path, storage)
    colours = 3 if storage.photometric == "RGB" else 1
    alpha = array[..., colours] if array.shape[2] > colours else None
    opaque = 1 if array.dtype.kind == "f" else int(np.iinfo(array.dtype).max)
    notes = (_WHITE_IS_ZERO,) if storage.photometric == "WhiteIsZero" else ()
    decoded = Decoded(array[..., :3] if colours == 3 else array[..., 0], alpha, opaque, notes=notes)
    if storage.premultiplied and decoded.transparent:
        raise InputError(path, _MULTIPLIED, "save it without alpha")
    return decoded
