"""Label maps: whole numbers, on the image's grid and nowhere else."""

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.imageio.reading import read_image, read_label
from tests.imageio.dicom_series import write_series

AFFINE = np.diag([-0.7, -0.7, 2.5, 1.0])
LABEL = np.random.default_rng(0).integers(0, 4, (7, 6, 5))


def save(path, array, affine=AFFINE, slope=None):
    image = nib.Nifti1Image(array, affine, dtype=array.dtype)
    if slope is not None:
        image.header.set_slope_inter(slope, 0)
    nib.save(image, path)
    return path


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "u2", "i4", "i8", "f4", "f8"])
def test_whole_numbers_of_any_type(tmp_path, dtype):
    label = read_label(save(tmp_path / "a.nii.gz", LABEL.astype(dtype)), num_classes=4)
    assert label.dtype == np.uint8 and np.array_equal(label, LABEL)


def test_scaled_numbers(tmp_path):
    label = read_label(save(tmp_path / "a.nii.gz", LABEL * 10.0, slope=0.1))
    assert np.array_equal(label, LABEL)


def test_large_and_negative_numbers_keep_their_value(tmp_path):
    array = LABEL.astype(np.int32) * 1000 - 1
    label = read_label(save(tmp_path / "a.nii.gz", array))
    assert np.array_equal(label, array)
    with pytest.raises(InputError, match=r"not classes: -1, 999, 1999, 2999: .* or name more classes"):
        read_label(tmp_path / "a.nii.gz", num_classes=4)


def test_fractions_are_refused(tmp_path):
    array = LABEL.astype(np.float32)
    array[2, 2, 2] = 0.5
    with pytest.raises(InputError, match=r"not whole, such as 0\.5"):
        read_label(save(tmp_path / "a.nii.gz", array))
    with pytest.raises(InputError, match="values from"):
        read_label(save(tmp_path / "b.nii.gz", LABEL * 1e30))


def test_values_beyond_the_classes_are_listed(tmp_path):
    with pytest.raises(InputError, match="not classes: 2, 3: use 0 to 1"):
        read_label(save(tmp_path / "a.nii.gz", LABEL.astype(np.uint8)), num_classes=2)


def test_a_mask_with_another_value_for_each_class_is_told_from_one_with_too_many(tmp_path):
    mask = np.choose(LABEL, [0, 127, 255, 255]).astype(np.uint8)
    with pytest.raises(InputError, match=r"say when .* which class \(labels 0=background,127=NAME,255=NAME\)"):
        read_label(save(tmp_path / "a.nii.gz", mask), num_classes=3)


def test_a_mask_of_0_and_255_becomes_0_and_1_for_two_classes_only(tmp_path):
    mask = (LABEL > 1).astype(np.uint8) * 255
    path = save(tmp_path / "a.nii.gz", mask)
    assert np.array_equal(read_label(path, num_classes=2), LABEL > 1)
    assert np.array_equal(read_label(path), mask)
    with pytest.raises(InputError, match="255"):
        read_label(path, num_classes=3)
    Image.fromarray(mask[..., 0]).save(tmp_path / "a.png")
    assert np.array_equal(read_label(tmp_path / "a.png", num_classes=2), LABEL[..., 0] > 1)
    Image.fromarray(mask[..., 0] // 2).save(tmp_path / "b.png")
    with pytest.raises(InputError, match="127"):
        read_label(tmp_path / "b.png", num_classes=2)


def test_shape_and_place_must_be_the_images(tmp_path):
    image = read_image(save(tmp_path / "image.nii.gz", LABEL.astype(np.int16)))
    save(tmp_path / "good.nii.gz", LABEL.astype(np.uint8), AFFINE + 1e-6 * np.eye(4))
    assert np.array_equal(read_label(tmp_path / "good.nii.gz", image), LABEL)
    save(tmp_path / "shape.nii.gz", LABEL[:6].astype(np.uint8))
    with pytest.raises(InputError, match=r"shape 6 x 6 x 5, its image .*image.nii.gz has 7 x 6 x 5"):
        read_label(tmp_path / "shape.nii.gz", image)
    for name, change in {"moved": [(0, 3, 0.1)], "flipped": [(0, 0, 1.4)], "spacing": [(2, 2, 0.01)]}.items():
        affine = AFFINE.copy()
        for row, column, amount in change:
            affine[row, column] += amount
        save(tmp_path / f"{name}.nii.gz", LABEL.astype(np.uint8), affine)
        with pytest.raises(InputError, match="lies elsewhere than its image"):
            read_label(tmp_path / f"{name}.nii.gz", image)


def test_an_axis_of_one_voxel_has_no_direction(tmp_path):
    image, label = np.diag([1.0, 1.0, 5.0, 1.0]), np.diag([1.0, 1.0, -5.0, 1.0])
    plane = save(tmp_path / "image.nii.gz", LABEL[..., :1].astype(np.int16), image)
    truth = read_label(save(tmp_path / "label.nii.gz", LABEL[..., :1].astype(np.uint8), label), read_image(plane))
    np.testing.assert_array_equal(truth, LABEL[..., :1])


@pytest.mark.parametrize("codes", ["RPS", "RAS", "LAI", "PIR", "SLA"])
def test_a_label_that_covers_the_image_along_other_axes_is_not_called_displaced(tmp_path, codes):
    """To edit its affine would mirror the mask."""
    turned = AFFINE @ nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0.2, 0.05), (3, 4, 5))
    path = save(tmp_path / "image.nii.gz", LABEL.astype(np.int16), turned)
    image, stored = read_image(path), nib.load(path)
    ours, theirs = (nib.orientations.axcodes2ornt(c) for c in (nib.aff2axcodes(turned), codes))
    other = stored.as_reoriented(nib.orientations.ornt_transform(ours, theirs))
    nib.save(other, tmp_path / "label.nii.gz")
    with pytest.raises(InputError, match=r"axes are stored in another order or direction: .* do not edit its affine"):
        read_label(tmp_path / "label.nii.gz", image)
    moved = nib.Nifti1Image(np.asarray(other.dataobj), nib.affines.from_matvec(np.eye(3), (0, 0, 0.5)) @ other.affine)
    nib.save(moved, tmp_path / "moved.nii.gz")
    with pytest.raises(InputError, match=r"lies elsewhere|has the shape"):
        read_label(tmp_path / "moved.nii.gz", image)


def test_a_two_dimensional_label_fits_a_single_slice(tmp_path):
    image = read_image(save(tmp_path / "image.nii.gz", LABEL[..., :1].astype(np.int16)))
    assert read_label(save(tmp_path / "a.nii.gz", LABEL[..., 0].astype(np.uint8)), image).shape == (7, 6, 1)


def test_pictures_and_volumes_do_not_mix(tmp_path):
    image = read_image(save(tmp_path / "image.nii.gz", LABEL.astype(np.int16)))
    Image.fromarray(LABEL[..., 0].astype(np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"is a picture, its image .* is a volume"):
        read_label(tmp_path / "a.png", image)
    picture = read_image(tmp_path / "a.png")
    Image.fromarray(LABEL[:6, :, 0].astype(np.uint8)).save(tmp_path / "b.png")
    with pytest.raises(InputError, match=r"shape 6 x 6, its image .* has 7 x 6"):
        read_label(tmp_path / "b.png", picture)


def test_other_volume_formats(tmp_path):
    labels = itk.image_from_array(np.ascontiguousarray(LABEL.T.astype(np.int16)))
    labels.SetSpacing([0.7, 0.7, 2.5])
    itk.imwrite(labels, str(tmp_path / "a.nrrd"), compression=True)
    write_series(tmp_path / "ct", LABEL, AFFINE)
    label = read_label(tmp_path / "a.nrrd", read_image(tmp_path / "ct"), num_classes=4)
    assert label.dtype == np.uint8 and np.array_equal(label, LABEL)
