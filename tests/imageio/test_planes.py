"""Planes look the same however a volume is stored, and what is written into them lands where it belongs."""

import itertools

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Planes, nearest_axes

ORIENTATIONS = [
    "".join(code) for order in itertools.permutations(("LR", "PA", "IS")) for code in itertools.product(*order)
]


def rotation(x: float, y: float, z: float) -> np.ndarray:
    return nib.eulerangles.euler2mat(np.deg2rad(z), np.deg2rad(y), np.deg2rad(x))


def place(turn: np.ndarray, spacing=(0.7, 0.8, 2.5), at=(-30, 12, 7)) -> np.ndarray:
    return nib.affines.from_matvec(turn @ np.diag(spacing), at)


def volume(affine: np.ndarray, shape=(4, 5, 6)) -> nib.Nifti1Image:
    return nib.Nifti1Image(np.arange(np.prod(shape), dtype=np.int16).reshape(shape), affine)


def stored_as(image: nib.Nifti1Image, codes: str) -> CaseImage:
    """The same image with its axes stored in another order and direction."""
    other = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(codes)))
    return CaseImage.from_array(np.asarray(other.dataobj), other.affine)


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize(("axis", "seen"), [("axial", "SPL"), ("coronal", "PIL"), ("sagittal", "LIP")])
def test_usual_view_of_every_orientation(axis, seen):
    """`seen` names the directions in which plane number, rows and columns grow."""
    image = volume(place(np.eye(3)))
    expected = image.as_reoriented(ornt_transform(io_orientation(image.affine), axcodes2ornt(seen)))
    values = np.asarray(expected.dataobj)
    for codes in ORIENTATIONS:
        planes = Planes(stored_as(image, codes), axis)
        assert len(planes) == len(values) and planes.shape == values.shape[1:], codes
        for index in range(len(planes)):
            assert planes[index].shape == (1, *planes.shape) and planes[index].dtype == np.float32
            assert np.array_equal(planes[index][0], values[index]), codes
        assert planes.spacing == pytest.approx(expected.header.get_zooms()[1:])


@pytest.mark.parametrize("turn", [(20, -15, 30), (45, 0, 0), (0, 45, 0), (0, 0, 45), (45, 45, 0), (45, 35.26439, 0)])
def test_oblique_volumes_look_the_same_however_stored(turn):
    """Turns of 45 degrees are ties, which must not be settled by the order of storage."""
    image = volume(place(rotation(*turn)))
    for codes, axis in itertools.product(ORIENTATIONS, ("axial", "coronal", "sagittal")):
        expected, planes = Planes(stored_as(image, "RAS"), axis), Planes(stored_as(image, codes), axis)
        assert planes.spacing == pytest.approx(expected.spacing), codes
        assert all(np.array_equal(planes[k], expected[k]) for k in range(len(expected))), codes


def test_nearest_axes_are_nibabels():
    random = np.random.default_rng(0)
    for _ in range(200):
        affine = place(rotation(*random.uniform(-180, 180, 3)), random.uniform(0.3, 5, 3))
        affine[:3, :3] *= random.choice([-1, 1], 3)
        assert np.array_equal(nearest_axes(affine), io_orientation(affine))


def test_writing_into_a_view_reaches_the_same_place_in_the_world():
    source = volume(place(rotation(10, 5, -8)))
    reference = stored_as(source, "LPS")  # axes grow left, back, up
    for codes in ORIENTATIONS:
        image = stored_as(source, codes)
        mask = np.zeros(image.label_shape, np.uint8, order="F")
        Planes(image, "axial").view(mask)[2, 3, 1] = 1
        in_world = nib.affines.apply_affine(image.affine, np.argwhere(mask)[0])
        assert mask.sum() == 1
        assert in_world == pytest.approx(nib.affines.apply_affine(reference.affine, (1, 3, 2))), codes


def test_views_copy_nothing():
    image = CaseImage.from_array(np.zeros((4, 5, 6), np.int16, order="F"), np.eye(4))
    mask = np.zeros((4, 5, 6), np.uint8)
    assert np.shares_memory(Planes(image).view(mask), mask)
    with pytest.raises(ValueError, match="has shape"):
        Planes(image).view(mask[:3])


@pytest.mark.parametrize(("turns", "mirror"), itertools.product(range(4), range(2)))
def test_pictures_are_seen_turned_and_written_unturned(turns, mirror):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    image = CaseImage(CaseImage.from_array(array).path, "picture", array, turns=turns, mirror=mirror)
    planes = Planes(image)
    assert len(planes) == 1 and planes.spacing is None
    mask = np.zeros((3, 4), np.uint8)
    planes.view(mask)[0] = planes[0][1]
    assert np.array_equal(mask, array[1])


@pytest.mark.parametrize(("shape", "good"), [((4, 5, 1), "axial"), ((4, 1, 6), "coronal"), ((1, 5, 6), "sagittal")])
def test_single_slices_go_with_their_own_direction_only(shape, good):
    image = CaseImage.from_array(np.zeros(shape, np.int16), np.eye(4))
    assert len(Planes(image, good)) == 1
    for axis in {"axial", "coronal", "sagittal"} - {good}:
        with pytest.raises(InputError, match="single slice in another direction"):
            Planes(image, axis)


def test_unknown_axis():
    with pytest.raises(ValueError, match="'up'"):
        Planes(CaseImage.from_array(np.zeros((2, 2, 2)), np.eye(4)), "up")


def test_a_slice_of_many_keeps_its_place():
    image = CaseImage.from_array(np.arange(60).reshape(3, 4, 5), place(rotation(10, 20, 30)))
    part = image.take_slice(3)
    assert np.array_equal(part.array[..., 0], image.array[..., 3])
    corner = nib.affines.apply_affine(part.affine, (1, 2, 0))
    assert corner == pytest.approx(nib.affines.apply_affine(image.affine, (1, 2, 3)))
    for wrong in (-1, 5):
        with pytest.raises(InputError, match=f"no slice {wrong}, only 5"):
            image.take_slice(wrong)
