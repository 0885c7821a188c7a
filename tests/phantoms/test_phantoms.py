"""Phantoms: layout, anatomy, shares of classes, and the same files for the same seed."""

import hashlib

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_supmix.datalists.chase import chase_datalist
from monai_supmix.datalists.covid import COVID_CLASSES, covid_datalist
from monai_supmix.datalists.survey import survey_datalist
from monai_supmix.imageio.reading import read_label
from monai_supmix.imageio.usual_view import lies_on_its_side
from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom
from monai_supmix.phantoms.chest_ct import draw_chest_ct
from monai_supmix.phantoms.fundus import draw_fundus
from monai_supmix.phantoms.shapes import Branch, grow_branch, paint_branch, smooth_noise, sprout

SMALL = {"size": (64, 64, 8), "slice_spacing": 16.0}


def digests(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def fundus(tmp_path_factory):
    return write_fundus_phantom(tmp_path_factory.mktemp("fundus"), size=(112, 120))


@pytest.fixture(scope="module")
def chest(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chest")
    return write_chest_ct_phantom(folder, num_labeled=3, num_unlabeled=2, num_test=2, **SMALL)


def test_fundus_phantom_is_a_whole_chase_folder(fundus):
    assert len(list(fundus.iterdir())) == 84
    datalist = chase_datalist(fundus, num_labeled=2)
    survey = survey_datalist(datalist)
    assert survey.errors == []
    assert survey.warnings == []
    assert "size: 120 x 112" in survey.lines
    for name, mode in (("Image_07L.jpg", "RGB"), ("Image_07L_1stHO.png", "1"), ("Image_07L_2ndHO.png", "1")):
        assert Image.open(fundus / name).mode == mode


def test_vessel_share_and_observers(fundus):
    shares, overlaps = [], []
    for path in sorted(fundus.glob("*_1stHO.png")):
        first = np.asarray(Image.open(path))
        second = np.asarray(Image.open(str(path).replace("1stHO", "2ndHO")))
        shares.append(first.mean())
        overlaps.append((first & second).sum() / (first | second).sum())
        assert not np.array_equal(first, second)
    assert 0.055 < np.min(shares) < np.max(shares) < 0.085
    assert 0.5 < np.mean(overlaps) < 0.9


def test_vessels_are_darker_than_their_surroundings_and_the_corners_are_black():
    for seed in range(4):
        picture, first, _ = draw_fundus((160, 160), seed)
        green = picture[..., 1].astype(float)
        near = np.zeros_like(first)
        for shift in (-3, 3):
            for axis in (0, 1):
                near |= np.roll(first, shift, axis)
        assert green[first].mean() < 0.85 * green[near & ~first & (green > 0)].mean()
        assert picture[:8, :8].max() == 0
        assert not first[:8, :8].any()
        red, blue = picture[60:100, 60:100, 0].mean(), picture[60:100, 60:100, 2].mean()
        assert red > 1.5 * blue


def test_both_eyes_of_a_child_differ_but_share_their_tint():
    left, right, other = (
        draw_fundus((96, 96), 5)[0],
        draw_fundus((96, 96), 5, right=True)[0],
        draw_fundus((96, 96), 6)[0],
    )
    assert not np.array_equal(left, right)
    hue = [picture[picture[..., 0] > 60].mean(0) for picture in (left, right, other)]
    ratio = [h[1] / h[0] for h in hue]
    assert abs(ratio[0] - ratio[1]) < 0.05


def test_chest_phantom_is_a_data_set_in_nnunets_layout(chest):
    datalist = covid_datalist(chest, num_labeled=2)
    assert (len(datalist.labeled), len(datalist.unlabeled), len(datalist.test)) == (2, 3, 2)
    assert datalist.class_names == list(COVID_CLASSES)
    assert datalist.notes == []
    survey = survey_datalist(datalist)
    assert survey.errors == []
    (warning,) = survey.warnings
    assert warning.startswith("few of the labelled pixels show pleural_effusion (")
    assert warning.endswith("it may stay unlearnt: look at its own figures")
    assert len({item["group"] for item in (*datalist.labeled, *datalist.unlabeled, *datalist.test)}) == 7


def test_drawing_by_class_is_advised_for_a_class_that_few_images_show(tmp_path):
    chest = write_chest_ct_phantom(tmp_path, num_labeled=3, rare_cases=1, **SMALL)
    (warning,) = survey_datalist(covid_datalist(chest, num_labeled=3)).warnings
    assert warning.startswith("few of the labelled pixels show pleural_effusion (")
    assert warning.endswith(": draw labelled planes by class (monai_supmix.data.PlanesByClass)")


def test_chest_phantom_has_a_plausible_header(chest):
    image = nib.load(chest / "imagesTr/chest_001_0000.nii.gz")
    label = nib.load(chest / "labelsTr/chest_001.nii.gz")
    assert image.get_data_dtype() == np.int16
    assert label.get_data_dtype() == np.uint8
    assert nib.aff2axcodes(image.affine) == ("L", "P", "S")
    assert image.header.get_zooms() == (5.0, 5.0, 16.0)
    assert image.header.get_xyzt_units()[0] == "mm"
    assert (int(image.header["sform_code"]), int(image.header["qform_code"])) == (1, 1)
    assert np.array_equal(image.affine, label.affine)


@pytest.mark.parametrize("seed", range(3))
def test_chest_anatomy(seed):
    image, label = draw_chest_ct((128, 128, 16), (2.5, 2.5, 8.0), seed=seed)
    assert image.min() >= -1024
    assert -1060 < np.median(image[:6]) < -940  # air beside the body
    means = [image[label == value].mean() for value in range(1, 4)]
    assert -700 < means[0] < -350
    assert -80 < means[1] < 60
    assert -5 < means[2] < 25
    assert (image > 300).mean() > 0.005  # bone
    # seen from the feet as radiologists do: the spine below; the liver side holds less air at the base
    planes = [np.clip(image[:, :, z].T, -1000, 300) for z in range(4, 16)]
    assert not lies_on_its_side(planes)
    right, left = image[30:64, 40:90, 2:5] < -700, image[64:98, 40:90, 2:5] < -700
    assert right.mean() < left.mean() + 0.1


def test_few_volumes_may_show_the_rare_class(tmp_path):
    write_chest_ct_phantom(tmp_path, num_labeled=3, num_unlabeled=1, size=(48, 48, 4), rare_fraction=0.01, rare_cases=1)
    shown = [bool((read_label(path) == 3).any()) for path in sorted((tmp_path / "labelsTr").iterdir())]
    assert shown == [True, False, False]
    assert all((read_label(path) == 3).any() for path in (tmp_path / "labelsTs").iterdir())


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.004])
def test_rare_class_has_the_wanted_share(fraction):
    for seed in range(3):
        _, label = draw_chest_ct((96, 96, 12), (3.3, 3.3, 10.0), rare_fraction=fraction, seed=seed)
        assert abs((label == 3).mean() - fraction) <= 0.15 * fraction
        if fraction:
            z = np.argwhere(label == 3)[:, 2]
            y = np.argwhere(label == 3)[:, 1]
            assert z.mean() < 6  # at the base
            assert y.mean() > 48  # at the back
            x = np.argwhere(label == 3)[:, 0] - 47.5
            assert (x > 0).all() or (x < 0).all()  # of one lung


def test_the_same_seed_writes_the_same_files_and_another_seed_others(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        write_fundus_phantom(tmp_path / name / "eyes", num_children=2, size=(64, 70), seed=seed)
        write_chest_ct_phantom(
            tmp_path / name / "chest", num_labeled=1, num_unlabeled=1, num_test=1, seed=seed, **SMALL
        )
    a, b, c = (digests(tmp_path / name) for name in "abc")
    assert a == b
    assert set(a) == set(c)
    changed = [name for name in a if a[name] != c[name]]
    assert len(changed) == len(a) - 1  # all but dataset.json


def test_global_numpy_state_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    draw_fundus((64, 64), 0)
    draw_chest_ct((32, 32, 4), (10.0, 10.0, 32.0))
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("dimensions", [2, 3])
def test_painted_branches_cover_what_is_within_their_radius(dimensions):
    rng = np.random.RandomState(0)
    shape, spacing = (40,) * dimensions, np.array([1.0, 2.0, 3.0][:dimensions])
    branch = grow_branch(rng, np.full(dimensions, 20.0), np.ones(dimensions), length=25, radius=4, step=0.5)
    canvas = np.zeros(shape)
    paint_branch(canvas, branch, spacing, strength=0.5)
    place = np.argwhere(np.ones(shape)) * spacing
    gap = np.linalg.norm(place[:, None] - branch.points, axis=-1) - branch.radii
    gap = gap.min(1).reshape(shape)
    assert (canvas[gap < -0.5] == 0.5).all()
    assert (canvas[gap > 0.5] == 0).all()
    paint_branch(canvas, branch, spacing, strength=0.2)
    assert canvas.max() == 0.5


def test_a_branch_outside_the_canvas_paints_nothing():
    canvas = np.zeros((8, 8))
    paint_branch(canvas, Branch(np.array([[-30.0, 4.0], [100.0, 4.0]]), np.array([2.0, 2.0])), (1, 1))
    assert not canvas.any()


@pytest.mark.parametrize("dimensions", [2, 3])
def test_side_branches_start_on_their_parent_and_leave_it(dimensions):
    rng = np.random.RandomState(1)
    parent = grow_branch(rng, np.zeros(dimensions), np.eye(dimensions)[0], length=50, radius=3, step=1, wobble=0.0)
    for _ in range(20):
        child = sprout(rng, parent, length=10, wobble=0.0)
        assert np.abs(parent.points - child.points[0]).sum(1).min() == 0
        heading = child.points[1] - child.points[0]
        angle = np.rad2deg(np.arccos(heading[0] / np.linalg.norm(heading)))
        assert 24 < angle < 61
        assert child.radii.max() < 3


def test_smooth_noise_is_smooth():
    field = smooth_noise(np.random.RandomState(0), (60, 60), (4, 4))
    assert np.abs(np.diff(field, axis=0)).max() < 0.5
    assert field.std() > 0.3
