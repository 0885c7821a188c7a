"""NIfTI reading: exact geometry as nibabel gives it, and no damaged file read in silence."""

import gzip
import os
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.errors import InputError
from monai_supmix.imageio.nifti import corner_distance, read_nifti
from monai_supmix.imageio.reading import read_image

AFFINE = nib.affines.from_matvec(np.array([[-0.7, 0.1, 0], [0.1, 0.7, 0.4], [0, -0.1, 2.5]]), (30, -40, 50))
SHAPE = (7, 6, 5)
# NIfTI-1 header fields: offset and numpy type
FIELDS = {
    "dim": (40, "<i2"),
    "datatype": (70, "<i2"),
    "bitpix": (72, "<i2"),
    "pixdim": (76, "<f4"),
    "vox_offset": (108, "<f4"),
    "scl_slope": (112, "<f4"),
    "scl_inter": (116, "<f4"),
    "xyzt_units": (123, "<u1"),
    "qform_code": (252, "<i2"),
    "sform_code": (254, "<i2"),
    "quatern_b": (256, "<f4"),
    "qoffset_x": (268, "<f4"),
    "srow_x": (280, "<f4"),
    "magic": (344, "S4"),
}


def make(path: Path, array: np.ndarray | None = None, affine: np.ndarray = AFFINE, image=nib.Nifti1Image) -> Path:
    if array is None:
        array = np.random.default_rng(0).integers(-1000, 2000, SHAPE).astype(np.int16)
    made = image(array, affine)
    made.header.set_xyzt_units("mm")
    nib.save(made, path)
    return path


def patch(path: Path, **fields: object) -> Path:
    """Overwrite header fields in the bytes of a file, keeping a valid gzip stream."""
    packed = path.suffix == ".gz"
    data = bytearray(gzip.decompress(path.read_bytes()) if packed else path.read_bytes())
    for name, value in fields.items():
        offset, kind = FIELDS[name]
        raw = np.array(value, kind).tobytes()
        data[offset : offset + len(raw)] = raw
    path.write_bytes(gzip.compress(bytes(data)) if packed else bytes(data))
    return path


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "sp ace ü.NII.GZ"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "u4", "f4", "f8"])
def test_voxels_and_affine_are_nibabels(tmp_path, name, dtype):
    array = np.random.default_rng(0).integers(0, 100, SHAPE).astype(dtype)
    path = make(tmp_path / "made.nii.gz" if name.lower().endswith("gz") else tmp_path / "made.nii", array)
    path = path.rename(tmp_path / name)
    image = read_image(path)
    assert image.array.dtype == np.dtype(dtype) and image.array.flags.f_contiguous
    assert np.array_equal(image.array, array)
    reference = nib.load(path if name[0] == "a" else path.rename(tmp_path / "b.nii.gz"))
    assert np.array_equal(image.affine, reference.affine)
    assert image.spacing == pytest.approx(reference.header.get_zooms())
    assert image.kind == "nifti" and image.notes == ()


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
def test_nifti_versions_and_byte_orders(tmp_path, kind):
    array = np.random.default_rng(0).integers(-1000, 2000, SHAPE).astype(np.int16)
    header = kind.header_class(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(kind(array, AFFINE, header), tmp_path / "big.nii.gz")
    nib.save(kind(array, AFFINE), tmp_path / "little.nii.gz")
    for name in ("big", "little"):
        image = read_image(tmp_path / f"{name}.nii.gz")
        assert np.array_equal(image.array, array) and image.array.dtype.isnative
        assert np.allclose(image.affine, AFFINE)
    raw = gzip.decompress((tmp_path / "big.nii.gz").read_bytes())
    assert raw[:4] in ((348).to_bytes(4, "big"), (540).to_bytes(4, "big"))


@pytest.mark.parametrize("dtype", ["i2", "u2", "f4"])
@pytest.mark.parametrize(("slope", "inter"), [(2.0, -1024.0), (-0.5, 3.0), (1.0, 10.0)])
def test_scaling_is_applied_on_demand(tmp_path, dtype, slope, inter):
    path = make(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 2000, SHAPE).astype(dtype))
    patch(path, scl_slope=slope, scl_inter=inter)
    image = read_image(path)
    assert image.array.dtype == np.dtype(dtype)
    expected = nib.load(path).get_fdata()
    assert np.allclose(image.values(), expected)
    assert image.values().dtype == np.float32
    assert np.allclose(image.scaled(image.array[..., 2]), expected[..., 2])
    assert image.value_range() == pytest.approx((expected.min(), expected.max()))


@pytest.mark.parametrize("slope", [0.0, np.nan, np.inf])
def test_slope_without_meaning_means_no_scaling(tmp_path, slope):
    image = read_image(patch(make(tmp_path / "a.nii.gz"), scl_slope=slope, scl_inter=5))
    assert (image.slope, image.inter) == (1, 0)
    assert image.values() is image.array


@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 1), (7, 6, 5, 1), (7, 1, 5), (1, 6, 5, 1, 1)])
def test_shapes_become_three_dimensional(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 100, shape).astype(np.int16)
    image = read_image(make(tmp_path / "a.nii.gz", array))
    assert image.array.shape == (*shape, 1)[:3]
    assert image.file_shape == shape
    assert np.array_equal(image.array.ravel("F"), array.ravel("F"))
    assert any("dimensions" in note for note in image.notes) == (len(shape) > 3)


@pytest.mark.parametrize(("unit", "factor", "note"), [(1, 1000, "metres"), (3, 0.001, "micrometres"), (2, 1, None)])
def test_units_become_millimetres(tmp_path, unit, factor, note):
    image = read_image(patch(make(tmp_path / "a.nii.gz"), xyzt_units=unit + 8))
    assert np.allclose(image.affine[:3], AFFINE[:3] * factor)
    assert image.spacing == pytest.approx(np.linalg.norm(AFFINE[:3, :3], axis=0) * factor)
    assert image.notes == ((f"converted from {note} to mm",) if note else ())


def test_unknown_units_are_noted(tmp_path):
    assert "units unknown: taken as mm" in read_image(patch(make(tmp_path / "a.nii"), xyzt_units=0)).notes


def test_missing_orientation_is_noted_and_read_as_nibabel_does(tmp_path):
    path = patch(make(tmp_path / "a.nii"), qform_code=0, sform_code=0)
    image = read_image(path)
    assert np.array_equal(image.affine, nib.load(path).affine)
    assert any("neither qform nor sform" in note for note in image.notes)


def test_qform_is_used_without_sform(tmp_path):
    affine = np.diag([-0.7, -0.7, 2.5, 1.0])
    path = patch(make(tmp_path / "a.nii", affine=affine), qform_code=1, sform_code=0)
    image = read_image(path)
    assert np.allclose(image.affine, affine) and np.array_equal(image.affine, nib.load(path).affine)
    assert image.notes == ()


def test_disagreeing_forms_are_noted(tmp_path):
    path = make(tmp_path / "a.nii", affine=np.diag([-0.7, -0.7, 2.5, 1.0]))
    both = read_image(patch(path, qform_code=1))
    assert both.notes == ()
    moved = read_image(patch(path, qform_code=1, qoffset_x=20.0))
    assert [note for note in moved.notes if "qform and sform" in note]
    assert np.array_equal(moved.affine, nib.load(path).affine)
    broken = read_image(patch(path, qform_code=1, quatern_b=5.0))
    assert [note for note in broken.notes if "qform and sform" in note]


def test_pixdim_that_contradicts_the_affine_is_noted(tmp_path):
    image = read_image(patch(make(tmp_path / "a.nii"), pixdim=[1, 1, 1, 1]))
    assert [note for note in image.notes if note.startswith("pixdim and affine")]
    assert image.spacing == pytest.approx(np.linalg.norm(AFFINE[:3, :3], axis=0))


def test_an_axis_of_one_voxel_may_lack_a_size(tmp_path):
    path = make(tmp_path / "a.nii", np.zeros((7, 6, 1), np.int16))
    image = read_image(patch(path, pixdim=[1, 0.7, 0.7, 0], qform_code=1, sform_code=0))
    assert image.spacing == pytest.approx((0.7, 0.7, 1.0))
    assert [note for note in image.notes if "taken as 1" in note]


BAD_FIELDS = {
    "four dimensions": ({"dim": [4, 7, 6, 5, 3]}, "several volumes"),
    "one dimension": ({"dim": [1, 210, 1, 1]}, "no 2D or 3D image"),
    "empty": ({"dim": [3, 7, 0, 5]}, "no 2D or 3D image"),
    "negative size": ({"dim": [3, 7, -6, 5]}, "no 2D or 3D image"),
    "huge": ({"dim": [3, 32767, 32767, 32767]}, "cannot hold 32767 x 32767 x 32767 voxels"),
    "too large": ({"dim": [3, 7, 6, 6]}, "truncated"),
    "too small": ({"dim": [3, 7, 6, 4]}, "holds more than the 7 x 6 x 4 voxels"),
    "colour": ({"datatype": 128, "bitpix": 24, "dim": [3, 7, 5, 4]}, "colour"),
    "complex": ({"datatype": 32, "bitpix": 64}, "complex64"),
    "unknown type": ({"datatype": 77}, "header is damaged"),
    "intercept": ({"scl_slope": 1.0, "scl_inter": np.nan}, "scaling is damaged"),
    "overflow": ({"scl_slope": 1e38, "scl_inter": 0.0}, "beyond float32"),
    "nan affine": ({"srow_x": [np.nan, 0, 0, 0]}, "NaN"),
    "infinite affine": ({"srow_x": [1, 0, 0, np.inf]}, "NaN or infinite"),
    "singular affine": ({"srow_x": [0, 0, 0, 0]}, "singular"),
    "zero spacing": ({"pixdim": [1, 0, 1, 1]}, "voxel size (pixdim) is 0"),
    "negative spacing": ({"pixdim": [1, 1, -1, 1]}, "voxel size (pixdim) is -1"),
    "nan spacing": ({"pixdim": [1, 1, np.nan, 1]}, "voxel size (pixdim) is nan"),
    "odd sform code": ({"sform_code": 9}, "its sform_code is 9, which has no meaning"),
    "odd qform code": ({"qform_code": -1}, "its qform_code is -1, which has no meaning"),
    "odd handedness": ({"qform_code": 1, "pixdim": [-1.5]}, "qform is damaged (qfac is -1.5)"),
    "damaged qform": ({"sform_code": 0, "qform_code": 1, "quatern_b": 5.0}, "qform is damaged"),
    "offset within header": ({"vox_offset": 100.0}, "header is damaged"),
    "offset beyond reason": ({"vox_offset": 1e12}, "header is damaged"),
    "offset nan": ({"vox_offset": np.nan}, "header is damaged"),
    "pair": ({"magic": b"ni1"}, ".hdr/.img"),
    "no magic": ({"magic": b"xxx"}, "header is damaged"),
}


@pytest.mark.parametrize(("fields", "problem"), BAD_FIELDS.values(), ids=BAD_FIELDS.keys())
def test_impossible_headers_are_refused(tmp_path, fields, problem):
    for name in ("a.nii", "a.nii.gz"):
        path = patch(make(tmp_path / name), **fields)
        with pytest.raises(InputError) as error:
            read_image(path)
        assert error.value.subject == str(path) and problem in error.value.problem


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_values_that_are_no_numbers_are_refused(tmp_path, value):
    array = np.zeros(SHAPE)
    array[3, 2, 1] = value
    with pytest.raises(InputError, match="1 of 210 values are NaN, infinite or beyond float32"):
        read_image(make(tmp_path / "a.nii.gz", array))


@pytest.mark.parametrize("cut", [1, 8, 100, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_truncated_files_are_refused(tmp_path, name, cut):
    path = make(tmp_path / name)
    data = path.read_bytes()
    path.write_bytes(data[: -cut if isinstance(cut, int) else int(len(data) * (1 - cut))])
    with pytest.raises(InputError, match="truncated"):
        read_image(path)


def test_every_flipped_bit_of_the_compressed_voxels_is_noticed(tmp_path):
    """What nibabel reads without an error but with other voxels."""
    path = make(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 50, (20, 20, 20)).astype(np.int16))
    data = path.read_bytes()
    silent = 0
    for position in np.random.default_rng(1).integers(20, len(data), 60):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(position) % 8
        path.write_bytes(damaged)
        try:
            nib.load(path).get_fdata()
            silent += 1
        except (OSError, EOFError, ValueError, zlib.error):
            pass
        with pytest.raises(InputError):
            read_image(path)
    assert silent > 0  # otherwise this test shows nothing


def test_trailing_zeros_are_padding_and_trailing_data_is_damage(tmp_path):
    path = make(tmp_path / "a.nii")
    data = path.read_bytes()
    path.write_bytes(data + b"\0" * 512)
    read_image(path)
    path.write_bytes(data + b"\0" * 5000)
    with pytest.raises(InputError, match="holds more"):
        read_image(path)
    path.write_bytes(data + b"more")
    with pytest.raises(InputError, match="holds more"):
        read_image(path)
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(gzip.compress(data) + b"\0" * 512)
    read_image(packed)
    packed.write_bytes(gzip.compress(data) + b"more")
    with pytest.raises(InputError, match="damaged"):
        read_image(packed)


def test_several_gzip_members_are_one_stream(tmp_path):
    data = make(tmp_path / "a.nii").read_bytes()
    packed = tmp_path / "b.nii.gz"
    packed.write_bytes(b"".join(gzip.compress(data[i : i + 100]) for i in range(0, len(data), 100)))
    assert np.array_equal(read_image(packed).array, read_image(tmp_path / "a.nii").array)


def test_names_that_lie_about_compression_are_refused(tmp_path):
    data = make(tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(data)
    with pytest.raises(InputError, match="not gzip"):
        read_image(tmp_path / "b.nii.gz")
    (tmp_path / "c.nii").write_bytes(gzip.compress(data))
    with pytest.raises(InputError, match=r"not named \.gz"):
        read_image(tmp_path / "c.nii")


def test_header_extensions_are_skipped(tmp_path):
    image = nib.Nifti1Image(np.arange(210, dtype=np.int16).reshape(SHAPE), AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Doe, Jane"))
    nib.save(image, tmp_path / "a.nii.gz")
    read = read_image(tmp_path / "a.nii.gz")
    assert read.header["vox_offset"] > 352 and np.array_equal(read.array, image.dataobj)


def test_a_bomb_does_not_fill_the_memory(tmp_path):
    """A small file that promises and holds far more than its header says is left as soon as that is clear."""
    header = gzip.decompress(make(tmp_path / "a.nii.gz").read_bytes())[:352]
    packer = zlib.compressobj(9, wbits=31)
    data = packer.compress(header) + b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(64)) + packer.flush()
    path = tmp_path / "bomb.nii.gz"
    path.write_bytes(data)
    with pytest.raises(InputError, match="holds more"):
        read_image(path)


@pytest.mark.skipif("SUPMIX_DATA" not in os.environ, reason="SUPMIX_DATA names no data folder")
def test_real_chest_ct():
    path = Path(os.environ["SUPMIX_DATA"]) / "chest_ct_nifti/images/chest_ct_cropped.nii.gz"
    image, reference = read_nifti(path), nib.load(path)
    assert np.array_equal(image.array, reference.dataobj) and image.array.dtype == np.int16
    assert np.array_equal(image.affine, reference.affine)
    assert image.notes == ("units unknown: taken as mm",)


def test_corner_distance_is_in_millimetres():
    moved = np.eye(4)
    moved[:3, 3] = (3, 4, 0)
    assert corner_distance(np.eye(4), moved, (5, 5, 5)) == pytest.approx(5)


@pytest.mark.parametrize("turn", [np.diag([-1.0, -1, 1]), np.eye(3)[[1, 0, 2]] * [1, 1, -1]])
def test_an_sform_of_directions_alone_gives_way_to_the_qforms_voxel_sizes(turn, tmp_path):
    sizes = np.array([1.3, 1.3, 10])
    image = nib.Nifti1Image(np.zeros((4, 5, 6), np.int16), None)
    image.set_qform(nib.affines.from_matvec(turn * sizes), code=1)
    image.set_sform(nib.affines.from_matvec(turn), code=2)
    image.header["pixdim"][1:4] = sizes
    nib.save(image, tmp_path / "acdc.nii.gz")
    read = read_nifti(tmp_path / "acdc.nii.gz")
    assert read.spacing == pytest.approx(tuple(sizes))
    assert np.allclose(read.affine[:3, :3], turn * sizes)
    assert any("the qform is used" in note for note in read.notes)
    image.set_sform(nib.affines.from_matvec(turn * [1, 1, 5]), code=2)  # anything else keeps the standard's order
    nib.save(image, tmp_path / "other.nii.gz")
    assert read_nifti(tmp_path / "other.nii.gz").spacing == pytest.approx((1, 1, 5))
