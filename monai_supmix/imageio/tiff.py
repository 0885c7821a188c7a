"""What the header of a TIFF file says is stored, and who reads exactly that.

TIFF goes through Pillow and its libtiff, which know every common compression. They also invert, stretch, drop
bytes, take signed numbers for unsigned ones, and fill with zeros what a damaged header leaves out. So the header
is read here first. What it describes is on the list of storages that Pillow gives exactly (or that can be set
right exactly); or plain numbers of another kind, which tifffile reads where they are not compressed or deflated (it
needs a large package for other compressions); or it is refused by name.
"""

from __future__ import annotations

import json
import math
import re
import warnings
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import tifffile
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from monai_supmix.errors import InputError

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER, _ORIENTATION = 256, 257, 258, 259, 262, 266, 274
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _PREDICTOR = 273, 277, 278, 279, 284, 317
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _SAMPLE_FORMAT = 322, 323, 324, 325, 338, 339
_DESCRIPTION, _DEPTH = 270, 32997
_TAGS = (
    *(
        _WIDTH,
        _HEIGHT,
        _BITS,
        _COMPRESSION,
        _PHOTOMETRIC,
        _FILL_ORDER,
        _ORIENTATION,
        _STRIPS,
        _SAMPLES,
        _ROWS_PER_STRIP,
    ),
    *(_STRIP_BYTES, _PLANAR, _PREDICTOR, _TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _EXTRA, _SAMPLE_FORMAT),
)
_PHOTOMETRICS = {0: "WhiteIsZero", 1: "BlackIsZero", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "Lab"}
_FORMATS = {1: "unsigned", 2: "signed", 3: "floating-point"}
_COMPRESSIONS = {1: "none", 2: "CCITT", 3: "CCITT", 4: "CCITT", 5: "LZW", 6: "JPEG", 7: "JPEG", 8: "deflate"}
_COMPRESSIONS |= {32773: "PackBits", 32946: "deflate", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}
CHANGING = ("JPEG", "WebP")
"""Compressions that change values."""
# Bits and kind of number that Pillow gives exactly, by photometric interpretation.
_SMALL = {(bits, 1) for bits in (1, 2, 4, 8)}
_PILLOW = {0: {*_SMALL, (16, 1), (32, 3)}, 1: {*_SMALL, (16, 1), (16, 2), (32, 2), (32, 3)}, 3: _SMALL}
_PILLOW |= {colours: {(8, 1)} for colours in (2, 5, 6)}
# What tifffile reads: plain numbers, grey or colour, with alpha or without.
_PLAIN = {*((bits, 1) for bits in (8, 16, 32, 64)), *((bits, 2) for bits in (8, 16, 32, 64)), (16, 3), (32, 3), (64, 3)}
_PLAIN_COMPRESSIONS = ("none", "deflate", "PackBits")
_CHANNELS = {0: (1, 2), 1: (1, 2), 2: (3, 4), 3: (1,), 5: (4,), 6: (3,)}


@dataclass(frozen=True)
class TiffStorage:
    """What the header of a TIFF file says.

    Args:
        photometric: what the numbers mean, such as ``"WhiteIsZero"``.
        bits: of each channel.
        numbers: ``"unsigned"``, ``"signed"`` or ``"floating-point"``.
        compression: its name.
        turned: whether viewers have to turn it.
        premultiplied: whether colours are multiplied by the alpha channel.
        by_pillow: whether Pillow reads it exactly; otherwise `read_plain` does.
    """

    photometric: str
    bits: tuple[int, ...]
    numbers: str
    compression: str
    turned: bool = False
    premultiplied: bool = False
    by_pillow: bool = True

    def __str__(self) -> str:
        """Say in words what is stored, such as ``3 channels of 16 bits (RGB)``."""
        bits = "/".join(str(count) for count in dict.fromkeys(self.bits))
        many = f"{len(self.bits)} channels of {bits} bits" if len(self.bits) > 1 else f"{bits} bits"
        numbers = "" if self.numbers == "unsigned" else f"{self.numbers}, "
        return f"{many} ({numbers}{self.photometric})"


def check_tiff(path: Path) -> TiffStorage | None:
    """Read the header of a TIFF file and check that its pixels can be read exactly and are all there.

    Args:
        path: the file.

    Returns:
        what is stored; ``None`` if this is not a TIFF file.

    Raises:
        InputError: a storage that is not read exactly, a damaged header, or pixels beyond the end of the file.
    """
    with path.open("rb") as file:
        tags = _read_tags(file, path)
    if tags is None:
        return None
    try:
        storage, key = _describe(tags)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(path, "its TIFF header is damaged", "copy it or save it again as PNG") from error
    photometric, channels, kinds = key
    pillow = _PILLOW.get(photometric, set())
    if channels > 1:
        pillow = pillow & {(8, 1)}
    if photometric == 0 and (tags.prefix == b"MM" or int(tags.get(_FILL_ORDER, 1)) == 2):
        pillow = pillow - {(16, 1), (8, 1)}  # refused, while it takes the usual ones
    fits = len(kinds) == 1 and channels in _CHANNELS.get(photometric, ())
    plain = kinds <= _PLAIN and photometric in (0, 1, 2)
    if not fits or not (kinds <= pillow or plain):
        remedy = "save it as PNG, which is read in grey and in colour with 8 and 16 bits"
        raise InputError(path, f"holds {storage}, which is not read from TIFF", remedy)
    if not kinds <= pillow and storage.compression not in _PLAIN_COMPRESSIONS:
        problem = f"holds {storage} compressed with {storage.compression}, which is not read from TIFF"
        raise InputError(path, problem, "save it without compression, or as PNG with 8 or 16 bits")
    storage = replace(storage, by_pillow=kinds <= pillow)
    try:
        _check_layout(tags, path, storage)
    except InputError:  # a ValueError, too
        raise
    except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
        raise InputError(path, "its TIFF header is damaged", "copy it or save it again as PNG") from error
    return storage


def read_plain(path: Path, storage: TiffStorage) -> np.ndarray:
    """Read the plain numbers that Pillow does not give exactly.

    Args:
        path: the file.
        storage: what `check_tiff` says of it.

    Returns:
        ``(H, W, C)`` in native byte order.

    Raises:
        InputError: damaged, or several pages.
    """
    try:
        with tifffile.TiffFile(path) as file:
            if len(file.pages) > 1:
                raise InputError(path, f"holds {len(file.pages)} pages", "give one picture per file")
            page: Any = file.pages.first
            array = np.asarray(page.asarray())
            planar = int(page.planarconfig or 1) == 2
    except InputError:
        raise
    except Exception as error:  # whatever tifffile stumbles over
        raise InputError(path, f"is damaged or truncated ({error})", "copy it or save it again as PNG") from error
    channels = len(storage.bits)
    array = np.moveaxis(array, 0, -1) if planar and channels > 1 else array
    array = np.ascontiguousarray(array if channels > 1 else array[..., None])
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _read_tags(file: BinaryIO, path: Path) -> ImageFileDirectory_v2 | None:
    head = file.read(8)
    if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return None
    try:
        directory = ImageFileDirectory_v2(head + file.read(8) if b"+" in head[2:4] else head)
        file.seek(directory.next)
        directory.load(file)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # Pillow takes the first number where there should be one
            for tag in _TAGS:
                directory.get(tag)
        return directory
    except Exception as error:  # struct.error, MemoryError and whatever else a damaged header leads to
        raise InputError(path, "its TIFF header is damaged or truncated", "copy it or save it again as PNG") from error


def _describe(tags: ImageFileDirectory_v2) -> tuple[TiffStorage, tuple[int, int, set[tuple[int, int]]]]:
    """Say what the tags tell, in words and as (photometric, channels, {(bits, kind of number)})."""
    samples = int(tags.get(_SAMPLES, 1))
    bits = _tuple(tags.get(_BITS, 1))
    bits = bits * samples if len(bits) == 1 else bits
    formats = _tuple(tags.get(_SAMPLE_FORMAT, 1))
    formats = formats * samples if len(formats) == 1 else formats
    if not 0 < samples <= 64 or len(bits) != samples or len(formats) != samples:
        raise ValueError("samples")
    photometric, compression = int(tags[_PHOTOMETRIC]), int(tags[_COMPRESSION])
    numbers = "/".join(dict.fromkeys(_FORMATS.get(number, f"format {number}") for number in formats))
    names = _PHOTOMETRICS.get(photometric, f"photometric interpretation {photometric}")
    packing = _COMPRESSIONS.get(compression, f"compression {compression}")
    turned = int(tags.get(_ORIENTATION, 1)) not in (0, 1)
    storage = TiffStorage(names, bits, numbers, packing, turned, 1 in _tuple(tags.get(_EXTRA, ())))
    return storage, (photometric, samples, set(zip(bits, formats, strict=True)))


def _check_layout(tags: ImageFileDirectory_v2, path: Path, storage: TiffStorage) -> None:
    """Check that strips or tiles cover the picture and lie in the file: Pillow leaves what is missing black."""
    remedy = "copy it or save it again as PNG"
    width, height = int(tags[_WIDTH]), int(tags[_HEIGHT])
    if min(width, height) < 1:
        raise ValueError("size")
    if _TILES in tags:
        tile_width, rows = int(tags[_TILE_WIDTH]), int(tags[_TILE_HEIGHT])
        offsets, counts = _tuple(tags[_TILES]), _tuple(tags[_TILE_BYTES])
    else:
        tile_width, rows = width, min(int(tags.get(_ROWS_PER_STRIP, height)), height)
        offsets, counts = _tuple(tags[_STRIPS]), _tuple(tags[_STRIP_BYTES])
    down, across = -(-height // rows), -(-width // tile_width)
    planar = int(tags.get(_PLANAR, 1)) == 2
    parts = down * across * (len(storage.bits) if planar else 1)
    if len(offsets) != parts or len(counts) != parts:
        raise InputError(path, f"its TIFF header is damaged ({len(offsets)} parts instead of {parts})", remedy)
    size = path.stat().st_size
    row = -(-tile_width * (storage.bits[0] if planar else sum(storage.bits)) // 8)
    # One bit by the standard, as tifffile writes bool; where the bytes do not say so too, the tag is lost.
    one_bit = storage.compression == "none" and _TILES not in tags and sum(counts) == row * height
    if _BITS not in tags and storage.compression != "CCITT" and not one_bit:
        raise InputError(path, "its TIFF header does not tell the bits of its numbers (BitsPerSample)", remedy)
    if any(offset < 8 or count < 1 or offset + count > size for offset, count in zip(offsets, counts, strict=True)):
        raise InputError(path, "is damaged or truncated (pixels beyond its end)", remedy)
    if storage.compression == "deflate":
        _check_deflated(path, offsets, counts)
    if storage.compression == "none":
        if (pages := _pages_behind(tags, offsets[0] + 2 * sum(counts) <= size)) > 1:
            raise InputError(path, f"holds {pages} pages", "give one picture per file")
        for index, count in enumerate(counts):
            last = _TILES not in tags and index % down == down - 1
            if count < row * (height - (down - 1) * rows if last else rows):
                raise InputError(path, "is damaged or truncated (too few bytes for its pixels)", remedy)


def _pages_behind(tags: ImageFileDirectory_v2, more: bool) -> int:
    """How many pages there are without a directory of their own, as ImageJ and tifffile write large stacks.

    Args:
        tags: of the first page.
        more: whether the file has room for another page; programs that copy one page may keep the description.
    """
    depth, text = int(tags.get(_DEPTH, 1)), str(tags.get(_DESCRIPTION, ""))
    if depth > 1 or not more:
        return depth
    if text.startswith("ImageJ="):
        match = re.search(r"^images=(\d+)", text, re.MULTILINE)
        return int(match[1]) if match else 1
    try:
        shape = json.loads(text)["shape"]
        return math.prod(shape) // (int(tags[_WIDTH]) * int(tags[_HEIGHT]) * int(tags.get(_SAMPLES, 1)))
    except (ValueError, TypeError, KeyError):
        return 1  # another description


def _check_deflated(path: Path, offsets: tuple[int, ...], counts: tuple[int, ...]) -> None:
    """Compare checksums: libtiff stops at the last pixel, before them."""
    with path.open("rb") as file:
        for offset, count in zip(offsets, counts, strict=True):
            file.seek(offset)
            stream = zlib.decompressobj()
            try:
                stream.decompress(file.read(count))
            except zlib.error as error:
                raise InputError(path, f"is damaged ({error})", "copy it or save it again as PNG") from error
            if not stream.eof:
                raise InputError(path, "is damaged or truncated", "copy it or save it again as PNG")


def _tuple(value: Any) -> tuple[int, ...]:
    return tuple(int(number) for number in value) if isinstance(value, tuple) else (int(value),)
