"""Rows of the matrix of readers for pictures."""

import itk
import numpy as np
import tifffile
from PIL import Image

from tests.imageio import small_writers

RNG = np.random.default_rng(0)
SHAPE = (14, 20)
COLOURS = RNG.integers(0, 256, (256, 3)).astype(np.uint8)
GREYS = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, axis=1)


def numbers(bits, channels=1, signed=False):
    """Random numbers that fill their bits."""
    low = -(1 << bits - 1) if signed else 0
    array = RNG.integers(low, low + (1 << bits), (*SHAPE, channels), dtype=np.int64 if bits < 64 else np.uint64)
    return array[..., 0] if channels == 1 else array


def planes(array):
    """``(C, H, W)`` of grey or colour without alpha."""
    array = np.atleast_3d(array)
    return array[..., :3].transpose(2, 0, 1) if array.shape[2] >= 3 else array[..., :1].transpose(2, 0, 1)


def raw(content, array, label="same"):
    """Writer of finished bytes. `label`: what a label map must hold, ``None`` where it must be refused."""

    def write(path):
        path.write_bytes(content)
        return planes(array), (array if isinstance(label, str) else label)

    return write


def pillow(array, expected=None, label="same", mode=None, **options):
    """Writer by Pillow."""

    def write(path):
        picture = Image.fromarray(array) if mode is None else Image.fromarray(array).convert(mode)
        picture.save(path, **options)
        image = array if expected is None else expected(path)
        return planes(image), (array if isinstance(label, str) else label)

    return write


def by_tifffile(array, label="same", image="same", **options):
    """Writer by tifffile; with ``planarconfig="separate"`` of ``(C, H, W)``."""

    def write(path):
        given = array.transpose(2, 0, 1) if options.get("planarconfig") == "separate" else array
        tifffile.imwrite(path, given, **options)
        seen = planes(array) if isinstance(image, str) else image
        return seen, (array if isinstance(label, str) else label)

    return write


def grey3(bits, alpha=None):
    """A grey picture saved with three equal channels, and alpha if it is given."""
    grey = numbers(bits)
    parts = [grey] * 3 + ([np.full(SHAPE, alpha)] if alpha is not None else [])
    return grey, np.stack(parts, -1)


def rows():
    """Type of file, storage, name, writer."""
    yield from _png()
    yield from _grey_tiff()
    yield from _compressed_tiff()
    yield from _colour_tiff()
    yield from _others()


def _png():
    for bits in (1, 2, 4, 8, 16):
        array = numbers(bits)
        yield "PNG", f"grey, {bits} bits", "a.png", raw(small_writers.png(array, bits), array)
    array = numbers(8)
    yield "PNG", "grey, 8 bits, interlaced", "a.png", raw(small_writers.png(array, 8, interlaced=True), array)
    clear = ((b"tRNS", b"\0\x07"),)
    yield "PNG", "grey, 8 bits, one transparent value", "a.png", raw(small_writers.png(array, chunks=clear), array)
    for bits in (1, 2, 4, 8):
        array = numbers(bits)
        content = small_writers.png(array, bits, 3, COLOURS[: 1 << bits])
        yield "PNG", f"palette, {bits} bits", "a.png", raw(content, COLOURS[array], array)
    for bits in (8, 16):
        top = (1 << bits) - 1
        for name, kind, alpha in (("RGB", 2, None), ("RGB and alpha", 6, top)):
            grey, array = grey3(bits, alpha)
            yield "PNG", f"{name}, equal channels, {bits} bits", "a.png", _equal(array, grey, bits, kind)
        array = np.stack([grey := numbers(bits), np.full(SHAPE, top)], -1)
        yield "PNG", f"grey and alpha, {bits} bits", "a.png", _equal(array, grey, bits, 4)
        array = numbers(bits, 3)
        yield "PNG", f"RGB, {bits} bits", "a.png", raw(small_writers.png(array, bits, 2), array, None)
        array = numbers(bits, 4)
        yield "PNG", f"RGB and alpha, {bits} bits", "a.png", raw(small_writers.png(array, bits, 6), array, None)
    array = numbers(16, 3)
    content = small_writers.png(array, 16, 2, interlaced=True)
    yield "PNG", "RGB, 16 bits, interlaced", "a.png", raw(content, array, None)
    yield "PNG", "several frames", "a.png", _frames("png")


def _equal(array, grey, bits, kind):
    content = small_writers.png(array, bits, kind)

    def write(path):
        path.write_bytes(content)
        return planes(array), grey

    return write


def _frames(kind):
    def write(path):
        first, second = (Image.fromarray(numbers(8).astype(np.uint8)) for _ in range(2))
        first.save(path, save_all=True, append_images=[second], format={"tif": "TIFF"}.get(kind, kind.upper()))
        return None, None

    return write


def _stack_of_imagej(path):
    tifffile.imwrite(path, np.zeros((3, *SHAPE), np.uint8), imagej=True, truncate=True)
    return None, None


def _grey_tiff():
    names = ("WhiteIsZero", "BlackIsZero")
    for photometric in (1, 0):
        for bits in (1, 2, 4, 8, 16, 32):
            array = numbers(bits)
            for order, words in (("<", "little"), (">", "big")):
                if order == "<" or bits >= 16:
                    words = f", {words}-endian" if bits >= 16 else ""  # noqa: PLW2901
                    content = small_writers.tiff(array, bits, photometric, order)
                    yield "TIFF", f"{names[photometric]}, {bits} bits{words}", "a.tif", raw(content, array)
        for bits in (1, 4, 8):
            array = numbers(bits)
            content = small_writers.tiff(array, bits, photometric, fill_order=2)
            yield "TIFF", f"{names[photometric]}, {bits} bits, lowest bit first", "a.tif", raw(content, array)
        for dtype in ("i1", "i2", "i4", "u8", "i8", "f2", "f4", "f8"):
            array = RNG.integers(-100, 100, SHAPE).astype(dtype) if dtype != "u8" else numbers(40).astype("u8")
            word = {"i": "signed", "u": "unsigned", "f": "floating-point"}[dtype[0]]
            for order in "<>":
                options = {"photometric": ("miniswhite", "minisblack")[photometric], "byteorder": order}
                end = f", {'little' if order == '<' else 'big'}-endian" if dtype[1] != "1" else ""
                if dtype[1] != "1" or order == "<":
                    words = f"{names[photometric]}, {8 * int(dtype[1])} bits, {word}{end}"
                    yield "TIFF", words, "a.tif", by_tifffile(array, **options)
        array = numbers(8).astype(np.uint8)
        options = {"photometric": ("miniswhite", "minisblack")[photometric], "compression": "zlib", "rowsperstrip": 5}
        yield "TIFF", f"{names[photometric]}, 8 bits, deflate, strips", "a.tif", by_tifffile(array, **options)


def _compressed_tiff():
    yield "TIFF", "WhiteIsZero, 1 bit, number of bits not told", "a.tif", by_tifffile(numbers(1).astype(bool))
    yield "TIFF", "BlackIsZero, 12 bits", "a.tif", _refuse(small_writers.tiff(numbers(12), 12, 1))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "raw"):
        array = numbers(8).astype(np.uint8)
        words = f"BlackIsZero, 8 bits, {compression.removeprefix('tiff_')}"
        yield "TIFF", words, "a.tif", pillow(array, compression=compression)
    for compression in ("group3", "group4"):
        array = numbers(1).astype(bool)
        yield "TIFF", f"1 bit, CCITT {compression}", "a.tif", pillow(array, compression=compression)
    array = np.repeat(np.repeat(numbers(8).astype(np.uint8), 8, 0), 8, 1)
    yield "TIFF", "BlackIsZero, 8 bits, JPEG", "a.tif", pillow(array, _by_itk, None, compression="jpeg")
    for dtype in ("u1", "u2", "f4"):
        array = numbers(8).astype(dtype)
        words = {"u1": "8 bits", "u2": "16 bits", "f4": "32 bits, floating-point"}[dtype]
        options = {"compression": "zlib", "predictor": 2 if dtype != "f4" else None}
        yield "TIFF", f"BlackIsZero, {words}, deflate with predictor", "a.tif", by_tifffile(array, **options)
        yield "TIFF", f"BlackIsZero, {words}, tiles", "a.tif", by_tifffile(array, tile=(16, 16))
    yield "TIFF", "BigTIFF, 16 bits", "a.tif", by_tifffile(numbers(16).astype("u2"), bigtiff=True)


def _colour_tiff():
    for bits in (8, 16):
        for planar in ("contig", "separate"):
            grey, array = grey3(bits)
            dtype = f"u{bits // 8}"
            options = {"photometric": "rgb", "planarconfig": planar}
            words = f"RGB, {bits} bits, {'channel by channel' if planar == 'separate' else 'pixel by pixel'}"
            yield "TIFF", f"{words}, equal channels", "a.tif", by_tifffile(array.astype(dtype), grey, **options)
            yield "TIFF", words, "a.tif", by_tifffile(numbers(bits, 3).astype(dtype), None, **options)
        grey, array = grey3(bits, (1 << bits) - 1)
        options = {"photometric": "rgb", "extrasamples": ["unassalpha"], "compression": "zlib"}
        words = f"RGB and alpha, {bits} bits, equal channels, deflate"
        yield "TIFF", words, "a.tif", by_tifffile(array.astype(f"u{bits // 8}"), grey, **options)
        options["extrasamples"] = ["assocalpha"]
        array = numbers(bits, 4).astype(f"u{bits // 8}")
        words = f"RGB, {bits} bits, multiplied by alpha, deflate"
        yield "TIFF", words, "a.tif", by_tifffile(array, None, None, **options)
    yield "TIFF", "RGB, 16 bits, LZW", "a.tif", _lzw16
    array = numbers(8)
    colours = (COLOURS.T.astype(np.uint16) * 257).copy()
    options = {"photometric": "palette", "colormap": colours}
    yield "TIFF", "palette, 8 bits", "a.tif", by_tifffile(array.astype("u1"), array, planes(COLOURS[array]), **options)
    array = numbers(8, 4).astype(np.uint8)
    options = {"photometric": "separated"}
    yield "TIFF", "CMYK, 8 bits", "a.tif", by_tifffile(array, None, planes(_from_cmyk(array)), **options)
    yield "TIFF", "several pages", "a.tif", _frames("tif")
    yield "TIFF", "several pages, one directory, as ImageJ writes them", "a.tif", _stack_of_imagej


def _lzw16(path):
    """Pillow and tifffile do not write it: the header of an LZW file of bytes says 16 bits."""
    Image.fromarray(numbers(8, 3).astype(np.uint8)).save(path, compression="tiff_lzw")
    with tifffile.TiffFile(path, mode="r+b") as file:
        file.pages.first.tags["BitsPerSample"].overwrite((16, 16, 16))
    return None, None


def _from_cmyk(array):
    return np.asarray(Image.frombytes("CMYK", SHAPE[::-1], array.tobytes()).convert("RGB"))


def _by_itk(path):
    content = path.with_suffix(".tif" if path.suffix == ".tif" else ".jpg")
    content.write_bytes(path.read_bytes())
    return np.asarray(itk.array_from_image(itk.imread(str(content))))


def _others():
    for bits in (1, 4, 8):
        array = numbers(bits)
        for word, palette in (("colours", COLOURS), ("greys", GREYS)):
            content = small_writers.bmp(array, bits, palette[: 1 << bits])
            seen = palette[array] if word == "colours" or bits < 8 else array
            if word == "greys" and bits == 1:
                palette, seen = np.array([[0, 0, 0], [255, 255, 255]]), array  # noqa: PLW2901
                content = small_writers.bmp(array, bits, palette)
            write = raw(content, seen, array) if (word, bits) != ("greys", 4) else _refuse(content)
            yield "BMP", f"palette of {word}, {bits} bits", "a.bmp", write
    array = numbers(8, 2)
    yield "BMP", "RGB, 16 bits for all channels", "a.bmp", raw(small_writers.bmp(array, 16), _from_555(array), None)
    grey, array = grey3(8)
    yield "BMP", "RGB, 24 bits, equal channels", "a.bmp", raw(small_writers.bmp(array, 24), array, grey)
    array = numbers(8, 3)
    yield "BMP", "RGB, 24 bits", "a.bmp", raw(small_writers.bmp(array[..., ::-1], 24), array, None)
    for word, palette in (("greys", GREYS), ("greys in another order", GREYS[::-1]), ("colours", COLOURS)):
        yield "GIF", f"palette of {word}", "a.gif", _gif(palette)
    yield "GIF", "several frames", "a.gif", _frames("gif")
    for magic, kind in (("P2", "text"), ("P5", "bytes")):
        for top in (3, 255, 4095, 65535):
            array = RNG.integers(0, top + 1, SHAPE)
            yield "PGM", f"{kind}, white is {top}", "a.pgm", raw(small_writers.pnm(magic, array, top), array)
    for magic, kind in (("P3", "text"), ("P6", "bytes")):
        for top in (255, 65535):
            array = RNG.integers(0, top + 1, (*SHAPE, 3))
            seen = None if top > 255 else array
            yield "PPM", f"RGB, {kind}, white is {top}", "a.ppm", _ppm(small_writers.pnm(magic, array, top), seen)
    for magic, kind in (("P1", "text"), ("P4", "bytes")):
        array = numbers(1)
        yield "PBM", f"{kind}, 1 is black", "a.pbm", raw(small_writers.pnm(magic, array, 1), array, None)
    grey, array = grey3(8)
    array = array.astype(np.uint8)
    yield "WebP", "lossless, equal channels", "a.webp", pillow(array, label=grey, lossless=True)
    yield "WebP", "lossy", "a.webp", _webp_lossy
    array = np.repeat(np.repeat(numbers(8).astype(np.uint8), 8, 0), 8, 1)
    yield "JPEG", "grey", "a.jpg", pillow(array, _by_itk, None)
    yield "JPEG", "grey, progressive", "a.jpg", pillow(array, _by_itk, None, progressive=True)
    colour = np.repeat(np.repeat(numbers(8, 3).astype(np.uint8), 8, 0), 8, 1)
    yield "JPEG", "YCbCr", "a.jpg", pillow(colour, _by_itk, None, subsampling=0)
    yield "JPEG", "named .png", "a.png", pillow(array, _by_itk, None, format="JPEG")


def _refuse(content):
    def write(path):
        path.write_bytes(content)
        return None, None

    return write


def _ppm(content, array):
    def write(path):
        path.write_bytes(content)
        return (None if array is None else planes(array)), None

    return write


def _from_555(array):
    words = array[..., 0] + 256 * array[..., 1]
    return np.stack([(words >> shift & 31) * 255 // 31 for shift in (10, 5, 0)], -1)


def _gif(palette):
    def write(path):
        indices = numbers(8).astype(np.uint8)
        picture = Image.fromarray(indices).convert("P")
        picture.putpalette(palette.tobytes())
        picture.save(path)
        colours = palette[indices]
        grey = (palette[:, 0] == palette[:, 1]).all()
        return planes(colours[..., 0] if grey else colours), (colours[..., 0] if grey else None)

    return write


def _webp_lossy(path):
    array = np.repeat(np.repeat(numbers(8, 3).astype(np.uint8), 8, 0), 8, 1)
    Image.fromarray(array).save(path, lossless=False)
    with Image.open(path) as picture:
        return planes(np.array(picture)), None
