"""What can be wrong with files: each is told by name before anything is trained, predicted or written."""

import json
import os
import shutil

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from tests.imageio.test_nifti import patch

TRAIN = ("check", "covid19_ct_supmix", "train", "--num_labeled", 2)
RUN = ("run", *TRAIN[1:], "--max_iterations", 1, "--crop_size", "[32, 32]", "--device", "cpu")


def rewrite(path, change=lambda array: array, affine=None):
    image = nib.load(path)
    array = change(np.asarray(image.dataobj))
    made = nib.Nifti1Image(array, image.affine if affine is None else affine)
    nib.save(made, path)


def with_value(value):
    def change(array):
        array = array.astype(np.float32)
        array[3, 4, 1] = value
        return array

    return lambda path: rewrite(path, change)


def flip_bit(path):
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)


def replace_by_link_to_itself(path):
    path.unlink()
    path.symlink_to(path.name)


def to_colour(array):
    colour = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
    return np.zeros(array.shape, colour)


IMAGES = {
    "zero bytes": (lambda path: path.write_bytes(b""), "is empty (0 bytes)"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-300]), "is damaged or truncated"),
    "truncated by one byte": (
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        "is damaged or truncated",
    ),
    "a flipped bit": (flip_bit, "is damaged or truncated"),
    "not compressed": (lambda path: path.write_bytes(b"text"), "is named .gz but is not gzip"),
    "NaN voxel": (with_value(np.nan), "1 of 4096 values are NaN, infinite"),
    "infinite voxel": (with_value(-np.inf), "1 of 4096 values are NaN, infinite"),
    "NaN affine": (lambda path: patch(path, srow_x=np.nan), "the affine holds NaN"),
    "singular affine": (lambda path: patch(path, srow_x=[0, 0, 0, 1]), "the affine is singular"),
    "four dimensions": (lambda path: rewrite(path, lambda a: np.stack([a, a], -1)), "has 4 dimensions"),
    "colour voxels": (lambda path: rewrite(path, to_colour), "holds colour voxels (RGB)"),
    "huge dimensions": (
        lambda path: patch(path, dim=[3, 32767, 32767, 32767]),
        "cannot hold 32767 x 32767 x 32767 voxels",
    ),
    "link to itself": (replace_by_link_to_itself, ("is a link that leads nowhere", "does not exist")),
}


@pytest.mark.parametrize("name", IMAGES)
def test_broken_images_are_refused_before_training(name, chest, refused, tmp_path):
    damage, says = IMAGES[name]
    image = chest / "imagesTr" / "chest_004_0000.nii.gz"
    damage(image)
    ended = refused(*TRAIN, "--dataset_dir", chest, says=says if isinstance(says, str) else says[0])
    assert ended.err.startswith(f"error: {image}: ")
    assert ended.out.count(str(image)) <= 1, "one row of the table"
    run = (*RUN, "--dataset_dir", chest, "--output_dir", tmp_path / "out")
    ended = refused(*run, says=says if isinstance(says, str) else says[0])
    assert ended.err.startswith(f"error: {image}: ")


@pytest.mark.parametrize("name", IMAGES)
def test_broken_images_are_refused_before_the_first_mask_is_written(name, chest, refused, weights, tmp_path):
    damage, says = IMAGES[name]
    image = chest / "imagesTr" / "chest_004_0000.nii.gz"
    damage(image)
    says = says if isinstance(says, str) else says[1]
    predict = ("predict", "covid19_ct_supmix", chest / "imagesTr", "--output_dir", tmp_path / "masks")
    ended = refused(*predict, "--ckpt_path", weights, says=says)
    assert ended.err.startswith(f"error: {image}: ")
    inference = ("check", "covid19_ct_supmix", "inference", "--dataset_dir", chest / "imagesTr")
    refused(*inference, "--ckpt_path", weights, says=says)


def test_the_check_applies_the_intensity_rule(tmp_path, refused):
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "black.png")
    says = f"{tmp_path / 'black.png'}: the intensity rule does not apply"
    refused("check", "chase_supmix", "inference", "--dataset_dir", tmp_path, says=says)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_files_without_permission_are_told(chest, refused):
    image = chest / "imagesTr" / "chest_004_0000.nii.gz"
    image.chmod(0)
    refused(*TRAIN, "--dataset_dir", chest, says="cannot be opened (Permission denied)")


def test_single_slices_are_refused_where_volumes_are_expected(chest, refused, tmp_path):
    """By the check as by the training."""
    path = chest / "imagesTr" / "chest_004_0000.nii.gz"
    nib.save(nib.load(path).slicer[:, :, :1], path)
    says = "chest_004_0000.nii.gz: is a single slice, and this network works on volumes"
    settings = ["--preset", "volume3d", "--dataset_dir", chest, "--num_labeled", "3"]
    refused("check", "covid19_ct_supmix", "train", *settings, says=says)
    refused("run", "covid19_ct_supmix", "train", *settings, "--output_dir", tmp_path / "out", says=says)


def test_colour_pictures_are_refused_where_grey_is_expected(chest, refused, weights, tmp_path):
    picture = tmp_path / "pictures" / "colour.png"
    picture.parent.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3)).astype(np.uint8)).save(picture)
    arguments = ("--output_dir", tmp_path / "masks", "--ckpt_path", weights)
    ended = refused("predict", "covid19_ct_supmix", picture.parent, *arguments, says="the image has 3")
    assert f"error: {picture}: " in ended.err


LABELS = {
    "another shape": (lambda path: rewrite(path, lambda a: a[:-1]), "has the shape 31 x 32 x 4, its image"),
    "another place": (
        lambda path: rewrite(path, affine=np.diag([10.0, 10, 30, 1])),
        "lies elsewhere than its image",
    ),
    "values outside the classes": (
        lambda path: rewrite(path, lambda a: a + a.max()),
        "label values that are not classes",
    ),
    "values that are not whole": (with_value(0.5), "holds values that are not whole, such as 0.5"),
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:-20]), "is damaged or truncated"),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_that_do_not_fit_are_refused(name, chest, refused):
    damage, says = LABELS[name]
    for label in (chest / "labelsTr").iterdir():
        damage(label)
    ended = refused(*TRAIN, "--dataset_dir", chest, says=says)
    assert f"error: {chest / 'labelsTr'}" in ended.err
    assert "(the first of 2 problems)" in ended.err, "the two that are drawn"
    refused(*RUN, "--dataset_dir", chest, "--output_dir", chest.parent / "out", says=says)


def test_labels_in_floating_point_are_accepted_if_they_are_whole(chest, front):
    for label in (chest / "labelsTr").iterdir():
        rewrite(label, lambda array: array.astype(np.float32))
    assert front(*TRAIN, "--dataset_dir", chest).status == 0


def test_an_empty_mask_folder_is_told(chest, refused):
    shutil.rmtree(chest / "labelsTr")
    (chest / "labelsTr").mkdir()
    refused(*TRAIN, "--dataset_dir", chest, says="images are asked for and 0 are available")
    shutil.rmtree(chest / "labelsTs")
    refused(*TRAIN, "--dataset_dir", chest, says="0 cases with labels")


def test_a_case_that_is_there_twice_is_told_with_both_names(chest, refused):
    copy = chest / "imagesTr" / "chest_004_0000.nii.gz"
    shutil.copy(chest / "imagesTs" / "chest_006_0000.nii.gz", copy)
    ended = refused(*TRAIN, "--dataset_dir", chest, says="holds the same image as")
    assert ended.err.startswith(f"error: {copy}: ") and "chest_006_0000" in ended.err


def test_a_patient_on_two_sides_is_refused(chest, refused):
    record = json.loads((chest / "dataset.json").read_text(encoding="utf-8"))
    record["patients"]["chest_006"] = record["patients"]["chest_004"]
    (chest / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    refused(*TRAIN, "--dataset_dir", chest, says="1 patient is on two sides of the split: patient_004")


def test_fewer_labelled_images_than_asked(chest, refused):
    asked = ("--num_labeled", 4, "--dataset_dir", chest)
    says = "4 labelled images are asked for and 3 are available"
    refused(*TRAIN[:3], *asked, says=says)
    refused("run", *TRAIN[1:3], *asked, "--output_dir", chest.parent / "out", says=says)


def test_training_runs_on_the_sound_data_set(chest, front, tmp_path):
    ended = front(*RUN, "--dataset_dir", chest, "--output_dir", tmp_path / "run #1, é")
    assert ended.status == 0, ended
    assert (tmp_path / "run #1, é" / "model.safetensors").is_file()


def test_an_empty_unlabelled_pool_is_refused_for_methods_that_need_one(chest, front, refused):
    for number in (4, 5):
        (chest / "imagesTr" / f"chest_{number:03d}_0000.nii.gz").unlink()
    arguments = (*TRAIN[:3], "--dataset_dir", chest, "--num_labeled", 3)
    refused(*arguments, says="needs unlabelled images and there are none")
    assert front(*arguments, "--unlabeled_pool", "all").status == 0
    assert front(*arguments, "--method", "supervised").status == 0


@pytest.mark.parametrize(
    ("unit", "scale", "note"), [(1, 1e-3, "metres"), (3, 1e3, "micrometres"), (0, 1, "units unknown")]
)
def test_other_units_are_understood_and_noted(unit, scale, note, chest, front, weights, tmp_path):
    image = chest / "imagesTr" / "chest_004_0000.nii.gz"
    loaded = nib.load(image)
    rewrite(image, affine=np.diag([scale, scale, scale, 1]) @ loaded.affine)
    patch(image, xyzt_units=unit)
    ended = front("predict", "covid19_ct_supmix", image, "--output_dir", tmp_path / "masks", "--ckpt_path", weights)
    assert ended.status == 0, ended
    record = json.loads((tmp_path / "masks" / "chest_004_0000_seg.json").read_text(encoding="utf-8"))
    assert any(note in text for text in record["notes"])
    assert np.allclose(record["spacing"], loaded.header.get_zooms(), rtol=1e-4)


def test_names_with_spaces_and_non_ascii_letters(chest, front, weights, tmp_path):
    folder = chest.rename(tmp_path / "Müller, Łódź 胸部 #1")
    image = folder / "imagesTr" / "chest_004_0000.nii.gz"
    image.rename(image.with_name("Aufnahme é 4_0000.nii.gz"))
    record = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    record["patients"]["Aufnahme é 4"] = record["patients"].pop("chest_004")
    (folder / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    assert front(*TRAIN, "--dataset_dir", folder).status == 0
    masks = tmp_path / "máscaras 1"
    ended = front("predict", "covid19_ct_supmix", folder / "imagesTr", "--output_dir", masks, "--ckpt_path", weights)
    assert ended.status == 0, ended
    assert (masks / "Aufnahme é 4_0000_seg.nii.gz").is_file()


def test_links_in_a_circle_are_entered_once(chest, front, weights, tmp_path):
    (chest / "imagesTr" / "again").symlink_to(chest / "imagesTr", target_is_directory=True)
    predict = ("predict", "covid19_ct_supmix", chest / "imagesTr", "--output_dir", tmp_path / "masks")
    assert front(*predict, "--ckpt_path", weights).status == 0
    assert len(list((tmp_path / "masks").rglob("*_seg.nii.gz"))) == 5


def test_skipped_cases_are_listed_and_end_in_status_1(chest, front, weights, tmp_path):
    image = chest / "imagesTr" / "chest_004_0000.nii.gz"
    flip_bit(image)
    predict = ("predict", "covid19_ct_supmix", chest / "imagesTr", "--output_dir", tmp_path / "masks")
    ended = front(*predict, "--ckpt_path", weights, "--on_error", "skip")
    assert ended.status == 1
    assert image.name in ended.out
    assert len(list((tmp_path / "masks").glob("*_seg.nii.gz"))) == 4
