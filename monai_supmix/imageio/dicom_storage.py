"""What a DICOM file says of its stored values, and reading exactly stored value x slope + intercept.

pydicom reads headers, plain pixels and RLE. The other compressions, which hospitals use, are left to ITK's GDCM. It is
given a copy without slope and intercept that says MONOCHROME2, because it inverts MONOCHROME1, which is about display
alone. It never sees a header that pydicom cannot make sense of, because some of those make it end the process.
"""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np
import pydicom
from pydicom.pixels import pixel_array
from pydicom.uid import RLELossless

from monai_supmix.imageio.silence import quiet

_SUFFIXES = (".dcm", ".ima", ".dicom")
_VALUE_KINDS = (b"UL", b"UI", b"OB", b"CS", b"SH", b"LO", b"DA", b"TM", b"DT", b"UR", b"ST", b"LT")
_NO_BITS = "values that tell no number of bits (BitsStored), such as floating-point pixels (Float Pixel Data)"
_TAGS = [
    *("SOPClassUID", "SeriesInstanceUID", "Modality", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "ModalityLUTSequence"),
    *("RescaleSlope", "RescaleIntercept", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SliceThickness", "SharedFunctionalGroupsSequence"),
]


def is_dicom(file: Path) -> bool:
    """Whether a file is DICOM, by its mark, its ending or its first element; a DICOMDIR index is not.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "IM1").write_bytes(bytes(128) + b"DICM")
        ...     is_dicom(Path(folder) / "IM1")
        True
    """
    if file.name.startswith(".") or file.name.upper() == "DICOMDIR":
        return False
    if file.name.lower().endswith(_SUFFIXES):
        return True
    try:
        with file.open("rb") as stream:
            start = stream.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or _starts_bare(start)


def _starts_bare(start: bytes) -> bool:
    """Whether these are the first bytes of a DICOM file without preamble and mark, as old archives hold them."""
    if len(start) < 132:
        return False
    if start[:2] == b"\0\x08":  # big endian, which always tells the kind of value
        return start[4:6] in _VALUE_KINDS
    group, element = struct.unpack("<2H", start[:4])
    if group not in (0x0002, 0x0008) or element > 0x0018:
        return False
    length = struct.unpack("<I", start[4:8])[0]
    return start[4:6] in _VALUE_KINDS or (length <= 64 and length % 2 == 0)


def read_header(file: Path) -> pydicom.Dataset | None:
    """Read what places a slice and tells how its values are stored.

    Args:
        file: the file.

    Returns:
        the elements before the pixels; ``None`` if this is damaged or not an image.
    """
    with quiet():
        try:
            header = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=_TAGS)
            for element in header:  # decodes them all, so that what is damaged is found here
                _ = element.value
            whole = all(int(header.get(key)) > 0 for key in ("Rows", "Columns", "BitsAllocated"))
        except Exception:  # whatever pydicom stumbles over
            return None
    return header if whole else None


def unread_storage(header: pydicom.Dataset) -> str:
    """Why the stored values of a file are not read, in words that follow "holds"; empty if they are.

    Example:
        >>> header = pydicom.Dataset()
        >>> header.NumberOfFrames = 40
        >>> unread_storage(header)
        'several frames in one file (enhanced or multi-frame DICOM)'
    """
    frames = header.get("NumberOfFrames")
    if frames not in (None, "", 1) or "SharedFunctionalGroupsSequence" in header:
        return "several frames in one file (enhanced or multi-frame DICOM)"
    samples, photometric = header.get("SamplesPerPixel", 1), header.get("PhotometricInterpretation")
    if samples != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        return f"colour images ({samples} channels, {photometric})"
    allocated, stored = header.get("BitsAllocated"), header.get("BitsStored")
    signed = header.get("PixelRepresentation")
    plain = isinstance(stored, int) and isinstance(allocated, int)  # a damaged file may give lists
    if not plain or allocated not in (8, 16, 32) or not 1 <= stored <= allocated or signed not in (0, 1):
        problem = f"values of {stored} in {allocated} bits, signed or not, which have no meaning"
        return problem if stored is not None else _NO_BITS
    if header.get("HighBit", stored - 1) != stored - 1:
        return "values that do not begin at the lowest bit (HighBit)"
    if "ModalityLUTSequence" in header:
        return "a modality table (Modality LUT) instead of slope and intercept"
    return ""


def read_plane(file: Path) -> np.ndarray:
    """Read the values of one slice, stored value x slope + intercept.

    Args:
        file: a file of which `unread_storage` says nothing.

    Returns:
        ``(rows, columns)``, int64 or float64.

    Raises:
        ValueError: it cannot be read.
    """
    with quiet():
        try:
            data = pydicom.dcmread(file, force=True)
            slope, inter = float(data.get("RescaleSlope") or 1.0), float(data.get("RescaleIntercept") or 0.0)
            stored = _read_stored(data)
        except Exception as error:  # whatever pydicom or GDCM stumbles over
            raise ValueError(str(error)) from error
    unused = 64 - int(data.BitsStored)  # these bits may hold overlays
    values = stored.astype(np.int64) << unused >> unused
    if not data.PixelRepresentation:
        values &= (1 << int(data.BitsStored)) - 1
    whole = slope.is_integer() and inter.is_integer()
    scaled = values * int(slope) + int(inter) if whole else values * slope + inter
    limits = np.iinfo(np.int32)
    return scaled if whole and limits.min <= scaled.min() and scaled.max() <= limits.max else scaled.astype(float)


def _read_stored(data: pydicom.Dataset) -> np.ndarray:
    """Stored values ``(rows, columns)``, unused bits as they are."""
    meta = getattr(data, "file_meta", None)
    syntax = meta.get("TransferSyntaxUID") if meta is not None else None
    if syntax is not None and syntax.is_compressed and not syntax.is_deflated and syntax != RLELossless:
        return _read_compressed(data)
    if syntax is None:  # no preamble: pydicom has guessed how the elements are written, which is all there is
        implicit, little = data.original_encoding
        syntaxes = {(True, True): "1.2.840.10008.1.2", (False, True): "1.2.840.10008.1.2.1"}
        syntaxes |= {(False, False): "1.2.840.10008.1.2.2"}
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntaxes[bool(implicit), bool(little)])
    elif syntax != RLELossless:
        expected = int(data.Rows) * int(data.Columns) * (int(data.BitsAllocated) // 8)
        if len(data.PixelData) not in (expected, expected + expected % 2):
            raise ValueError(f"{len(data.PixelData)} bytes of pixels instead of {expected}")
    return pixel_array(data, raw=True, decoding_plugin="pydicom" if syntax == RLELossless else "")


def _read_compressed(data: pydicom.Dataset) -> np.ndarray:
    """Stored values of what pydicom does not decompress."""
    import itk  # noqa: PLC0415  # takes a second to load and most users never need it

    data.PhotometricInterpretation = "MONOCHROME2"
    for key in ("RescaleSlope", "RescaleIntercept"):
        data.pop(key, None)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "slice.dcm"
        data.save_as(copy)
        pixels = itk.array_from_image(itk.imread(str(copy)))
    return np.asarray(pixels).reshape(pixels.shape[-2:])
