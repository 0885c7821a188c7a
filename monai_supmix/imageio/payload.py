"""Voxels from a byte stream: read to its end, checked, and straight into the one array they end up in."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from isal import isal_zlib

from monai_supmix.errors import InputError

_CHUNK = 1 << 20
_MOST_DEFLATED = 1040  # deflate cannot shrink anything more than 1032-fold
_MOST_PADDING = 4096  # writers that fill up to a block leave less than this


class InflateStream(io.RawIOBase):
    """Decompress a gzip or zlib stream, verifying its checksum at the end.

    Several members one after another are one stream; zero bytes after the last are padding.

    Args:
        file: an open binary file, at the first compressed byte.

    Raises:
        EOFError: on reading, when the stream stops before its end mark.
        zlib.error: on reading, when it is damaged or the checksum disagrees.

    Example:
        >>> InflateStream(io.BytesIO(zlib.compress(b"voxels"))).read()
        b'voxels'
    """

    def __init__(self, file: io.BufferedIOBase) -> None:
        super().__init__()
        self._file = file
        self._member = isal_zlib.decompressobj(wbits=47)  # 47: gzip or zlib, told from the first bytes
        self._input = b""

    def readable(self) -> bool:
        """Tell `io` that this can be read."""
        return True

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def]
        """Fill a writable buffer with decompressed bytes; 0 at the end."""
        while len(buffer):
            if self._member.eof:
                rest = (self._input or self._file.read(_CHUNK)).lstrip(b"\0")
                while not rest and (more := self._file.read(_CHUNK)):
                    rest = more.lstrip(b"\0")
                if not rest:
                    return 0
                self._member, self._input = isal_zlib.decompressobj(wbits=47), rest
            pending = self._input or self._file.read(_CHUNK)
            try:
                data = self._member.decompress(pending, len(buffer))
            except isal_zlib.error as error:  # type: ignore[misc]  # its stubs declare a variable
                raise zlib.error(str(error)) from error
            self._input = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if data:
                buffer[: len(data)] = data
                return len(data)
            if not pending and not self._member.eof:
                raise EOFError("the compressed stream stops before its end")
        return 0


def open_payload(file: io.BufferedIOBase, compressed: bool) -> io.BufferedIOBase:
    """Give a buffered stream of the (decompressed) bytes from the file's position on.

    Args:
        file: an open binary file.
        compressed: whether they are gzip or zlib.
    """
    return io.BufferedReader(InflateStream(file), _CHUNK) if compressed else file


def read_array(
    stream: io.BufferedIOBase,
    shape: Sequence[int],
    dtype: np.dtype,
    *,
    path: Path,
    stored_bytes: int,
    compressed: bool,
    footer: bool = False,
) -> np.ndarray:
    """Read one array, first index fastest, and the stream to its end, so that a checksum there is verified.

    Args:
        stream: at the first voxel, from `open_payload`.
        shape: ``(X, Y, Z)``.
        dtype: data type as stored, of any byte order.
        path: the file, for messages.
        stored_bytes: size of the file that holds the voxels.
        compressed: whether it is compressed.
        footer: whether the format has more to say after the voxels.

    Returns:
        ``(X, Y, Z)``, Fortran order, native byte order.

    Raises:
        InputError: too few or too many bytes for the shape, a damaged stream, or too little memory.
    """
    count = int(np.prod([int(size) for size in shape], dtype=object)) * dtype.itemsize
    sizes = " x ".join(str(size) for size in shape)
    if count > stored_bytes * (_MOST_DEFLATED if compressed else 1):
        problem = f"is truncated or its header damaged: {stored_bytes} bytes cannot hold {sizes} voxels"
        raise InputError(path, problem, "copy or export it again")
    try:
        array = np.empty(tuple(shape), dtype, order="F")
    except MemoryError as error:
        problem = f"{sizes} voxels need {count / 2**30:.1f} GB of memory"
        raise InputError(path, problem, "use a machine with more memory, or a cropped image") from error
    flat = array.reshape(-1, order="F").view(np.uint8)
    filled = extra = 0
    blank = True
    try:
        while filled < count and (read := stream.readinto(flat[filled : filled + _CHUNK].data)):
            filled += read
        while (footer or extra <= _MOST_PADDING) and (chunk := stream.read(_CHUNK)):
            extra += len(chunk)
            blank = blank and not chunk.strip(b"\0")
    except (EOFError, OSError, zlib.error) as error:
        raise InputError(path, f"is damaged or truncated ({error})", "copy or export it again") from error
    if filled < count:
        problem = f"is truncated: {filled} of {count} bytes of voxels"
        raise InputError(path, problem, "copy or export it again")
    if not footer and (extra > _MOST_PADDING or not blank):
        raise InputError(
            path, f"holds more than the {sizes} voxels that its header announces", "copy or export it again"
        )
    if not array.dtype.isnative:
        array = array.byteswap(inplace=True).view(array.dtype.newbyteorder("="))
    return array
