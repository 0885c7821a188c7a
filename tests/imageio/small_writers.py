"""Files byte by byte, in storages that Python's libraries do not write."""

import struct
import zlib

import numpy as np


def pack(rows, bits):
    """Whole numbers ``(H, W)`` in rows of `bits` each, highest first, rows padded to bytes."""
    if bits >= 8:
        return rows.astype(f">u{bits // 8}").tobytes()
    digits = ((rows[..., None].astype(int) >> np.arange(bits)[::-1]) & 1).astype(np.uint8)
    return np.packbits(digits.reshape(len(rows), -1), axis=1).tobytes()


def png(array, bits=8, colour_type=0, palette=None, chunks=(), interlaced=False):
    """A PNG of ``(H, W)`` or ``(H, W, C)``; colour type 0 grey, 2 RGB, 3 palette, 4 grey and alpha, 6 RGBA."""
    height, width = array.shape[:2]
    data = array.reshape(height, width, -1)
    steps = [(0, 0, 1, 1)]
    if interlaced:  # Adam7
        steps = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = b""
    for top, left, down, right in steps:
        part = data[top::down, left::right]
        if part.size:
            lines += b"".join(b"\0" + pack(row.reshape(1, -1), bits) for row in part)

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, int(interlaced))
    more = [chunk(b"PLTE", np.asarray(palette, np.uint8).tobytes())] if palette is not None else []
    more += [chunk(kind, content) for kind, content in chunks]
    parts = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(lines)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(array, bits, photometric, order="<", sample_format=1, fill_order=1):
    """An uncompressed TIFF of one strip, ``(H, W)`` or ``(H, W, C)``."""
    height, width = array.shape[:2]
    rows = array.reshape(height, -1)
    if bits < 8 or bits == 12:
        data = pack(rows, bits) if bits < 8 else pack12(rows)
    else:
        data = rows.astype(f"{order}{'_uif'[sample_format]}{bits // 8}").tobytes()
    if fill_order == 2:
        data = np.packbits(np.unpackbits(np.frombuffer(data, np.uint8)).reshape(-1, 8)[:, ::-1]).tobytes()
    channels = rows.shape[1] // width
    values = struct.pack(f"{order}{channels}H", *[bits] * channels)
    blob = 8 + len(data) + len(data) % 2
    directory = blob + len(values) + len(values) % 2
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, channels, bits if channels == 1 else blob)]
    tags += [(259, 3, 1, 1), (262, 3, 1, photometric), (266, 3, 1, fill_order), (273, 4, 1, 8), (277, 3, 1, channels)]
    tags += [(278, 4, 1, height), (279, 4, 1, len(data)), (339, 3, 1, sample_format)]
    entries = b""
    for tag, kind, count, value in tags:
        short = kind == 3 and count == 1
        entries += struct.pack(f"{order}HHI", tag, kind, count)
        entries += struct.pack(f"{order}HH", value, 0) if short else struct.pack(f"{order}I", value)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", directory)
    body = head + data + b"\0" * (len(data) % 2) + values + b"\0" * (len(values) % 2)
    return body + struct.pack(f"{order}H", len(tags)) + entries + bytes(4)


def pack12(rows):
    """Pairs of 12-bit numbers in three bytes."""
    first, second = rows[:, ::2].astype(int), rows[:, 1::2].astype(int)
    return np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], -1).astype(np.uint8).tobytes()


def bmp(array, bits, palette=None):
    """A BMP of palette indices or, with 16, 24 and 32 bits, of the bytes given ``(H, W, bits / 8)``."""
    height, width = array.shape[:2]
    rows = [pack(row.reshape(1, -1), min(bits, 8)) for row in array[::-1]]
    data = b"".join(row + b"\0" * (-len(row) % 4) for row in rows)
    colours = b"" if palette is None else np.pad(np.asarray(palette, np.uint8)[:, ::-1], ((0, 0), (0, 1))).tobytes()
    offset = 54 + len(colours)
    head = struct.pack("<2sIHHI", b"BM", offset + len(data), 0, 0, offset)
    used = 0 if palette is None else len(palette)
    return head + struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 0, len(data), 0, 0, used, 0) + colours + data


def pnm(magic, array, top):
    """A PNM file; P1 to P3 are text, P4 to P6 bytes."""
    height, width = array.shape[:2]
    head = f"{magic}\n{width} {height}\n" + ("" if magic in ("P1", "P4") else f"{top}\n")
    if magic in ("P1", "P2", "P3"):
        return (head + "\n".join(" ".join(map(str, row.ravel())) for row in array) + "\n").encode()
    bits = 1 if magic == "P4" else 8 if top < 256 else 16
    return head.encode() + b"".join(pack(row.reshape(1, -1), bits) for row in array)
