"""NRRD and MetaImage: as ITK reads them where ITK is right, refused where it reads damage in silence."""

import gzip
import zlib
from pathlib import Path

import itk
import numpy as np
import pytest

from monai_supmix.errors import InputError
from monai_supmix.imageio.reading import read_image

DTYPES = ["u1", "u2", "i4", "u4", "f4", "f8"]
NAMES = ["raw.nrrd", "raw.mha", "raw.mhd", "packed.nrrd", "packed.mha", "packed.mhd"]
DIRECTION = np.array([[0.0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]])


def make(path: Path, dtype="i2", shape=(6, 7, 8)) -> Path:
    array = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    image = itk.image_from_array(array)
    image.SetSpacing([0.7, 0.8, 2.5][: array.ndim])
    image.SetOrigin([-10.0, 20.0, 30.0][: array.ndim])
    if array.ndim == 3:
        image.SetDirection(itk.matrix_from_array(DIRECTION))
    itk.imwrite(image, str(path), compression=path.name.startswith("packed"))
    return path


@pytest.mark.parametrize(("name", "dtype"), [*((name, "i2") for name in NAMES), *(("raw.mha", d) for d in DTYPES)])
def test_voxels_and_geometry_are_itks(tmp_path, name, dtype):
    path = make(tmp_path / name, dtype)
    image, reference = read_image(path), itk.imread(str(path))
    assert image.kind == "itk" and image.array.dtype == np.dtype(dtype) and image.array.flags.f_contiguous
    assert np.array_equal(image.array, itk.array_from_image(reference).T)
    assert image.spacing == pytest.approx((0.7, 0.8, 2.5))
    for index in ((0, 0, 0), (7, 0, 0), (3, 6, 5)):
        left, back, up = reference.TransformIndexToPhysicalPoint(index)
        assert (image.affine @ (*index, 1))[:3] == pytest.approx((-left, -back, up))
    assert image.notes == ()


@pytest.mark.parametrize("name", NAMES)
def test_two_dimensions(tmp_path, name):
    image = read_image(make(tmp_path / name, shape=(7, 8)))
    assert image.array.shape == (8, 7, 1) and image.file_shape == (8, 7)
    assert image.spacing == pytest.approx((0.7, 0.8, 1))


@pytest.mark.parametrize(
    ("told", "is_read"),
    [("Slope = 1", True), ("Slope = 1.00", True), ("Slope = 1e0", True), ("Offset = -0", True), ("Offset = 0.0", True)]
    + [(f"Slope = {value}", False) for value in ("0.5", "2", "10", "100")]
    + [("Offset = -1024", False), ("Offset = 10", False)],
)
def test_what_scales_the_voxels_of_a_meta_image_is_refused(tmp_path, told, is_read):
    """ITK does not apply it either, so that nothing else would tell."""
    path = make(tmp_path / "raw.mha")
    path.write_bytes(
        path.read_bytes().replace(b"ElementType", f"ElementToIntensityFunction{told}\nElementType".encode())
    )
    if is_read:
        assert np.array_equal(read_image(path).array, itk.array_from_image(itk.imread(str(path))).T)
    else:
        with pytest.raises(InputError, match="scales its voxels"):
            read_image(path)


def test_missing_space_is_noted(tmp_path):
    (tmp_path / "a.nrrd").write_bytes(
        b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nencoding: raw\n\n" + bytes(range(24))
    )
    image = read_image(tmp_path / "a.nrrd")
    assert image.array[1, 0, 0] == 1 and image.array[0, 0, 1] == 6
    assert "no anatomical space" in image.notes[0]


UNITS = [("cm", 10), ("m", 1000), ("um", 0.001), ("microns", 0.001), ("mm", 1), ("", 1)]


@pytest.mark.parametrize(("unit", "factor"), UNITS)
@pytest.mark.parametrize("field", ["space units", "units", "DistanceUnits"])
def test_lengths_become_millimetres(tmp_path, field, unit, factor):
    path = write_in_units(tmp_path, field, [unit] * 3)
    image = read_image(path)
    assert image.spacing == pytest.approx((0.5 * factor, factor, 2 * factor))
    assert image.affine[:3, 3] == pytest.approx(np.array([-1, -2, 3]) * factor * (field != "units"))
    note = f"converted from {unit} to mm" if factor != 1 else "units unknown: taken as mm"
    assert (note in image.notes) == (unit != "mm")


@pytest.mark.parametrize("units", [["inch"] * 3, ["mm", "mm", "cm"], ["mm", "mm", ""]])
def test_other_units_and_mixed_ones_are_refused(tmp_path, units):
    with pytest.raises(InputError, match=r"tells its lengths in .*: save it in mm"):
        read_image(write_in_units(tmp_path, "space units", units))


def write_in_units(folder: Path, field: str, units: list[str]) -> Path:
    path = folder / ("a.mha" if field == "DistanceUnits" else "a.nrrd")
    if field == "DistanceUnits":
        head = "ObjectType = Image\nNDims = 3\nBinaryData = True\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 1 2 3\n"
        head += f"ElementSpacing = 0.5 1 2\nDistanceUnits = {units[0]}\nDimSize = 2 3 4\n"
        head += "ElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
    else:
        head = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\n"
        place = "space: LPS\nspace directions: (0.5,0,0) (0,1,0) (0,0,2)\nspace origin: (1,2,3)\n"
        head += place if field == "space units" else "spacings: 0.5 1 2\n"
        head += field + ": " + " ".join(f'"{unit}"' for unit in units) + "\nencoding: raw\n\n"
    path.write_bytes(head.encode() + bytes(24))
    return path


@pytest.mark.parametrize("cut", [1, 300])
@pytest.mark.parametrize("name", NAMES)
def test_truncated_files_are_refused(tmp_path, name, cut):
    path = make(tmp_path / name)
    if path.suffix == ".mhd":
        path = next(file for file in tmp_path.iterdir() if file != path)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(InputError, match="truncated"):
        read_image(tmp_path / name)


@pytest.mark.parametrize(("name", "before"), [("packed.nrrd", b"\n\n"), ("packed.mha", b"LOCAL\n")])
def test_every_flipped_bit_of_compressed_voxels_is_noticed(tmp_path, name, before, capfd):
    path = make(tmp_path / name)
    data = path.read_bytes()
    start = data.index(before) + len(before) + 10  # a gzip header holds a time, which may change
    silent = 0
    for position in np.random.default_rng(1).integers(start, len(data), 40):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(position) % 8
        path.write_bytes(damaged)
        try:
            itk.imread(str(path))
            silent += 1
        except RuntimeError:
            pass
        with pytest.raises(InputError):
            read_image(path)
    assert silent > 0  # otherwise this test shows nothing
    capfd.readouterr()


@pytest.mark.parametrize("name", ["raw.nrrd", "raw.mha"])
def test_sizes_that_do_not_fit_the_voxels_are_refused(tmp_path, name):
    path = make(tmp_path / name)
    data = path.read_bytes()
    for size, problem in ((b"7", "holds more"), (b"9", "truncated"), (b"99999999", "cannot hold")):
        changed = data.replace(b"sizes: 8", b"sizes: " + size).replace(b"DimSize = 8", b"DimSize = " + size)
        assert changed != data
        path.write_bytes(changed)
        with pytest.raises(InputError, match=problem):
            read_image(path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"encoding: raw", b"encoding: ascii", "unusual way \\(encoding ascii\\)"),
        (b"encoding: raw", b"encoding: raw\nbyte skip: 3", "unusual way \\(byteskip\\)"),
        (b"encoding: raw", b"encoding: raw\ndata file: other.raw", "unusual way \\(datafile\\)"),
        (b"NRRD0004", b"WHAT0004", "not a NRRD file"),
        (b"\n\n", b"\n", "truncated|cannot be read|unusual"),
        (b"dimension: 3", b"dimension: 33", "cannot be read"),
        (b"(0,-1,0)", b"(0,0,0)", "the affine"),
    ],
)
def test_unusual_nrrd_headers_are_refused(tmp_path, old, new, problem):
    path = tmp_path / "a.nrrd"
    header = b"NRRD0004\ntype: uint8\ndimension: 3\nsizes: 2 3 4\nspace: RAS\n"
    header += b"space directions: (1,0,0) (0,-1,0) (0,0,1)\nencoding: raw\n\n"
    path.write_bytes(header.replace(old, new) + bytes(24))
    with pytest.raises(InputError, match=problem):
        read_image(path)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (b"LOCAL", b"LIST", "unusual"),
        (b"LOCAL", b"gone.raw", "voxel file gone.raw is missing"),
        (b"BinaryData = True", b"BinaryData = False", "unusual"),
        (b"NDims = 3", b"HeaderSize = 7\nNDims = 3", "unusual"),
        (b"ObjectType = ", b"hello", "not a MetaImage"),
        (b"NDims = 3", b"NDims 3", "damaged or truncated within its header"),
        (b"ElementDataFile", b"Elem", "damaged|not a MetaImage"),
        (
            b"ElementType = MET_SHORT",
            b"ElementNumberOfChannels = 3\nElementType = MET_SHORT",
            "3 values per voxel",
        ),
    ],
)
def test_unusual_meta_headers_are_refused(tmp_path, old, new, problem):
    path = make(tmp_path / "raw.mha")
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new, 1))
    with pytest.raises(InputError, match=problem):
        read_image(path)


def test_big_endian(tmp_path):
    array = np.arange(24, dtype=">i2").reshape(4, 3, 2)
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 3 4\nspace: RAS\nendian: big\nencoding: gzip\n\n"
    (tmp_path / "a.nrrd").write_bytes(header + gzip.compress(array.tobytes()))
    header = b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = True\n"
    header += b"CompressedData = True\nDimSize = 2 3 4\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
    (tmp_path / "a.mha").write_bytes(header + zlib.compress(array.tobytes()))
    for name in ("a.nrrd", "a.mha"):
        assert np.array_equal(read_image(tmp_path / name).array, array.T)


def test_colour_and_nan_are_refused(tmp_path):
    colour = itk.image_from_array(np.zeros((4, 5, 6, 3), np.uint8), is_vector=True)
    itk.imwrite(colour, str(tmp_path / "colour.nrrd"))
    with pytest.raises(InputError, match="3 values per voxel"):
        read_image(tmp_path / "colour.nrrd")
    array = np.zeros((4, 5, 6), np.float32)
    array[0, 0, 0] = np.nan
    itk.imwrite(itk.image_from_array(array), str(tmp_path / "nan.mha"))
    with pytest.raises(InputError, match="1 of 120 values are NaN"):
        read_image(tmp_path / "nan.mha")
