"""What the bytes of TIFF, NRRD, MetaImage and DICOM files say, by other means than the readers': second opinions.

Each gives values, and the affine to RAS+ or ``None``, or raises whatever it likes for bytes that mean nothing.
"""

import io
import struct
import warnings
import zlib

import numpy as np
import tifffile

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
NRRD_TYPES = {"int16": "i2", "short": "i2", "uint8": "u1", "uchar": "u1"}
META_TYPES = {"MET_SHORT": "i2", "MET_USHORT": "u2", "MET_UCHAR": "u1", "MET_CHAR": "i1"}
LONG = (b"OB", b"OW", b"OF", b"OD", b"OL", b"OV", b"SQ", b"UT", b"UN", b"UC", b"UR", b"SV", b"UV")


def none(data):
    """PNG has checksums, and JPEG nothing: there is no second opinion."""
    raise ValueError("checksums rule this out")


def tiff(data):
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return file.pages.first.asarray()[None], None


def nrrd(data):
    head, _, voxels = data.partition(b"\n\n")
    fields = {}
    for line in head.decode("latin-1").split("\n")[1:]:
        key, _, value = line.partition(":")
        fields[key.strip().lower()] = value.strip()
    sizes = tuple(int(n) for n in fields["sizes"].split())
    dtype = np.dtype({"big": ">", "little": "<"}[fields["endian"]] + NRRD_TYPES[fields["type"]])
    if fields["encoding"] == "gzip":
        voxels = zlib.decompressobj(47).decompress(voxels)
    affine = np.eye(4)
    vectors = [part.strip("()") for part in fields["space directions"].split()]
    affine[:3, :3] = np.array([[float(n) for n in vector.split(",")] for vector in vectors]).T
    affine[:3, 3] = [float(n) for n in fields["space origin"].strip("()").split(",")]
    if fields["space"].lower() not in ("ras", "right-anterior-superior"):
        affine = LPS_TO_RAS @ affine
    return np.frombuffer(voxels, dtype, int(np.prod(sizes))).reshape(sizes, order="F"), affine


def meta(data):
    fields, rest = {}, data
    while "ElementDataFile" not in fields:
        line, _, rest = rest.partition(b"\n")
        key, _, value = line.decode("latin-1").partition("=")
        fields[key.strip()] = value.strip()
    sizes = tuple(int(n) for n in fields["DimSize"].split())
    big = fields.get("BinaryDataByteOrderMSB", "False").lower()[:1] in ("t", "1")
    dtype = np.dtype((">" if big else "<") + META_TYPES[fields["ElementType"]])
    packed = fields.get("CompressedData", "False").lower()[:1] in ("t", "1")
    voxels = zlib.decompress(rest) if packed else rest
    affine = np.eye(4)
    turn = np.array(fields.get("TransformMatrix", "1 0 0 0 1 0 0 0 1").split(), float).reshape(3, 3).T
    affine[:3, :3] = turn * np.array(fields.get("ElementSpacing", "1 1 1").split(), float)
    affine[:3, 3] = np.array(fields.get("Offset", "0 0 0").split(), float)
    return np.frombuffer(voxels, dtype, int(np.prod(sizes))).reshape(sizes, order="F"), LPS_TO_RAS @ affine


def dicom(data):
    """Explicit little-endian elements one after the other."""
    elements, place = {}, 132
    while place + 8 <= len(data):
        group, element, kind = *struct.unpack_from("<HH", data, place), data[place + 4 : place + 6]
        long = kind in LONG
        (length,) = struct.unpack_from("<I" if long else "<H", data, place + (8 if long else 6))
        start = place + (12 if long else 8)
        elements.setdefault((group, element), data[start : start + length])
        place = start + length

    def text(*tag):
        return elements.get(tag, b"").decode("latin-1").strip(" \0")

    def short(*tag):
        return struct.unpack("<H", elements[tag][:2])[0]

    rows, columns, bits = short(0x28, 0x10), short(0x28, 0x11), short(0x28, 0x101)
    signed = short(0x28, 0x103) == 1
    stored = np.frombuffer(elements[0x7FE0, 0x10], f"<u{short(0x28, 0x100) // 8}", rows * columns).astype(np.int64)
    stored = stored & ((1 << bits) - 1)
    stored = np.where(signed & (stored >> bits - 1 == 1), stored - (1 << bits), stored)
    values = stored * float(text(0x28, 0x1053) or 1) + float(text(0x28, 0x1052) or 0)
    along = np.array(text(0x20, 0x37).split("\\"), float).reshape(2, 3)
    down, across = (float(n) for n in text(0x28, 0x30).split("\\"))
    lps = np.eye(4)
    lps[:3, 0], lps[:3, 1] = along[0] * across, along[1] * down
    lps[:3, 2] = np.cross(*along) * float(text(0x18, 0x50) or 1)
    lps[:3, 3] = np.array(text(0x20, 0x32).split("\\"), float)
    return values.reshape(rows, columns).T[..., None], LPS_TO_RAS @ lps


def quietly(meaning, data):
    """The second opinion without its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return meaning(data)
