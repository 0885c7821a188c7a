"""What the NIfTI-1 standard says that a file holds, read with struct alone: the fuzzer's second opinion."""

import gzip
import struct
from dataclasses import dataclass

import numpy as np

TYPES = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
UNITS = {1: 1000.0, 3: 0.001}  # metre, micrometre; everything else counts as millimetres


@dataclass
class Meaning:
    """Values, affine in millimetres, and whether the header contradicts itself about the grid."""

    values: np.ndarray
    affine: np.ndarray
    contradicts_itself: bool


def read_meaning(data: bytes) -> Meaning:
    """Read the (decompressed) bytes of a .nii file; raises whatever it likes for one that means nothing."""
    order = "<" if data[:4] == struct.pack("<i", 348) else ">"

    def field(kind, offset):
        return struct.unpack_from(order + kind, data, offset)

    dim = field("8h", 40)
    shape = (*dim[1 : dim[0] + 1], 1)[:3]
    dtype = np.dtype(order + TYPES[field("h", 70)[0]])
    count = int(np.prod(shape, dtype=object))
    raw = np.frombuffer(data, dtype, count, int(field("f", 108)[0])).reshape(shape, order="F")
    slope, inter = field("2f", 112)
    with np.errstate(all="ignore"):
        scaled = slope != 0 and np.isfinite(slope)
        values = raw.astype(np.float64) * slope + inter if scaled else raw.astype(np.float64)
    unit = UNITS.get(field("B", 123)[0] & 7, 1.0)
    pixdim = np.array(field("8f", 76), float)
    qform_code, sform_code = field("2h", 252)
    sform = np.array([*field("12f", 280), 0, 0, 0, 1], float).reshape(4, 4)
    qform = quaternion_affine(pixdim, field("3f", 256), field("3f", 268))
    # The standard gives no orientation here; nibabel's convention is documented.
    plain = np.diag([-pixdim[1], pixdim[2], pixdim[3], 1])
    plain[:3, 3] = -(np.array(shape) - 1) / 2 @ plain[:3, :3]
    affine = sform if sform_code > 0 else qform if qform_code > 0 else plain
    contradiction = sform_code > 0 and qform_code > 0 and _apart(sform, qform, shape)
    contradiction = contradiction or not np.allclose(np.linalg.norm(affine[:3, :3], axis=0), pixdim[1:4], rtol=1e-2)
    return Meaning(values, np.diag([unit, unit, unit, 1]) @ affine, bool(contradiction))


def quaternion_affine(pixdim, bcd, offset):
    """Method 2 of the standard."""
    b, c, d = bcd
    a = np.sqrt(max(0.0, 1 - b * b - c * c - d * d))
    rotation = np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )
    affine = np.eye(4)
    affine[:3, :3] = rotation * [pixdim[1], pixdim[2], -pixdim[3] if pixdim[0] < 0 else pixdim[3]]
    affine[:3, 3] = offset
    return affine


def _apart(first, second, shape):
    """Whether two affines put a corner more than a fifth of a voxel apart."""
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.array(shape) - 1
    with np.errstate(all="ignore"):
        distance = np.linalg.norm((corners @ (first - second).T)[:, :3], axis=1).max()
        return not distance <= 0.2 * np.linalg.norm(first[:3, :3], axis=0).min()


def unpacked(data: bytes, name: str) -> bytes:
    """The bytes of the .nii file inside."""
    return gzip.decompress(data) if name.endswith(".gz") else data
