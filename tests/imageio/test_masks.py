"""Masks lie on exactly the grid of their image, carry nothing about the patient, and are written whole."""

import gzip
import json
from pathlib import Path

import itk
import nibabel as nib
import numpy as np
import pytest
from isal import igzip
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.files import write_json
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.masks import mask_suffix, write_mask
from monai_supmix.imageio.reading import read_image
from tests.imageio.dicom_series import PATIENT, write_series

TURN = nib.eulerangles.euler2mat(0.3, -0.2, 0.1)
AFFINE = nib.affines.from_matvec(TURN @ np.diag([-0.7, -0.8, 2.5]), (30, 40, -50))
PLACING = (
    "dim",
    "dim_info",
    "pixdim",
    "xyzt_units",
    "qform_code",
    "sform_code",
    "srow_x",
    "srow_y",
    "srow_z",
)
PLACING += ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")


def random_mask(image: CaseImage) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 4, image.label_shape).astype(np.uint8)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("shape", [(7, 6), (7, 6, 1), (7, 6, 5), (7, 6, 5, 1)])
@pytest.mark.parametrize(("codes", "units"), [((0, 0), 0), ((1, 0), 1), ((0, 2), 2), ((1, 1), 3), ((3, 4), 10)])
def test_nifti_masks_have_the_inputs_grid_to_the_bit(tmp_path, kind, shape, codes, units):
    source = kind(np.zeros(shape, np.float32), AFFINE)
    source.set_qform(AFFINE, codes[0])
    source.set_sform(AFFINE if codes[1] else None, codes[1])
    source.header["xyzt_units"], source.header["dim_info"] = units, 57
    nib.save(source, tmp_path / "a.nii.gz")
    image = read_image(tmp_path / "a.nii.gz")
    mask = random_mask(image)
    write_mask(mask, image, tmp_path / "a_seg.nii.gz")
    before, after = nib.load(tmp_path / "a.nii.gz"), nib.load(tmp_path / "a_seg.nii.gz")
    assert type(after) is type(before) and after.shape == shape and after.get_data_dtype() == np.uint8
    assert np.array_equal(after.affine, before.affine)
    for field in PLACING:
        assert np.array_equal(after.header[field], before.header[field]), field
    assert np.array_equal(np.asarray(after.dataobj).reshape(mask.shape, order="F"), mask)
    assert after.dataobj.slope == 1 and after.dataobj.inter == 0
    again = read_image(tmp_path / "a_seg.nii.gz")
    assert np.array_equal(again.affine, image.affine) and np.array_equal(again.array, mask)


def test_big_endian_input(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    nib.save(nib.Nifti1Image(np.zeros((7, 6, 5), np.int16), AFFINE, header), tmp_path / "a.nii")
    image = read_image(tmp_path / "a.nii")
    write_mask(random_mask(image), image, tmp_path / "a_seg.nii.gz")
    after = nib.load(tmp_path / "a_seg.nii.gz")
    assert np.array_equal(after.affine, nib.load(tmp_path / "a.nii").affine)
    assert np.array_equal(after.dataobj, random_mask(image))


def test_nothing_else_of_the_header_is_passed_on(tmp_path):
    source = nib.Nifti1Image(np.zeros((7, 6, 5), np.int16), AFFINE)
    for field, size in {"descrip": 80, "aux_file": 24, "db_name": 18, "intent_name": 16}.items():
        source.header[field] = (PATIENT * 10)[:size]
    source.header.extensions.append(nib.nifti1.Nifti1Extension("comment", PATIENT.encode()))
    nib.save(source, tmp_path / "a.nii.gz")
    assert PATIENT.encode() in gzip.decompress((tmp_path / "a.nii.gz").read_bytes())
    image = read_image(tmp_path / "a.nii.gz")
    write_mask(random_mask(image), image, tmp_path / "a_seg.nii.gz")
    written = gzip.decompress((tmp_path / "a_seg.nii.gz").read_bytes())
    assert PATIENT.encode() not in written and len(written) == 352 + 210


def test_the_same_mask_gives_the_same_bytes(tmp_path):
    image = CaseImage.from_array(np.zeros((7, 6, 5), np.int16), AFFINE)
    for name in ("a_seg.nii.gz", "b_seg.nii.gz"):
        write_mask(random_mask(image), image, tmp_path / name)
    assert (tmp_path / "a_seg.nii.gz").read_bytes() == (tmp_path / "b_seg.nii.gz").read_bytes()


@pytest.mark.parametrize("sheared", [False, True])
def test_masks_of_other_formats_are_placed_in_scanner_space(tmp_path, sheared):
    affine = AFFINE.copy()
    if sheared:
        affine[:3, 2] += 0.8 * affine[:3, 1]
    write_series(tmp_path / "ct", np.zeros((7, 6, 5), int), affine)
    image = read_image(tmp_path / "ct")
    write_mask(random_mask(image), image, tmp_path / "ct_seg.nii.gz")
    written = nib.load(tmp_path / "ct_seg.nii.gz")
    assert np.allclose(written.affine, affine, atol=1e-4) and np.array_equal(written.dataobj, random_mask(image))
    assert written.header.get_xyzt_units()[0] == "mm" and int(written.header["sform_code"]) == 1
    assert int(written.header["qform_code"]) == (0 if sheared else 1)
    assert read_image(tmp_path / "ct_seg.nii.gz").notes == ()


def test_two_dimensional_volumes_of_other_formats(tmp_path):
    itk.imwrite(itk.image_from_array(np.zeros((6, 7), np.int16)), str(tmp_path / "a.mha"))
    image = read_image(tmp_path / "a.mha")
    write_mask(random_mask(image), image, tmp_path / "a_seg.nii.gz")
    assert nib.load(tmp_path / "a_seg.nii.gz").shape == (7, 6)


def test_pictures(tmp_path):
    image = CaseImage.from_array(np.zeros((3, 6, 7), np.uint8))
    assert mask_suffix(image) == ".png"
    mask = random_mask(image)
    write_mask(mask, image, tmp_path / "a_seg.png")
    written = Image.open(tmp_path / "a_seg.png")
    assert written.mode == "L" and np.array_equal(np.array(written), mask)


def test_wrong_masks_are_refused_before_anything_is_written(tmp_path):
    image = CaseImage.from_array(np.zeros((7, 6, 5), np.int16), AFFINE)
    path = tmp_path / "a_seg.nii.gz"
    for wrong in (random_mask(image)[:6], random_mask(image).astype(int)):
        with pytest.raises(ValueError, match="expected uint8"):
            write_mask(wrong, image, path)
    with pytest.raises(ValueError, match=r"end in \.nii\.gz"):
        write_mask(random_mask(image), image, tmp_path / "a.png")
    with pytest.raises(InputError, match="cannot be written"):
        write_mask(random_mask(image), image, tmp_path / "missing" / "a_seg.nii.gz")
    assert not list(tmp_path.iterdir())


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    image = CaseImage.from_array(np.zeros((7, 6, 5), np.int16), AFFINE)
    path = tmp_path / "a_seg.nii.gz"
    write_mask(random_mask(image), image, path)
    before = path.read_bytes()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(igzip.IGzipFile, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_mask(random_mask(image) * 0, image, path)
    assert path.read_bytes() == before and [file.name for file in tmp_path.iterdir()] == ["a_seg.nii.gz"]


def test_records_are_plain_json(tmp_path):
    write_json({"name": "ü", "value": [1, None]}, tmp_path / "a.json")
    assert json.loads(Path(tmp_path / "a.json").read_text(encoding="utf-8")) == {
        "name": "ü",
        "value": [1, None],
    }
