"""Whatever a folder or list holds is used, refused, or counted in one line: never dropped without a word."""

import json
import unicodedata

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_supmix.datalists.folders import left_out_of_pairs, pair_files
from monai_supmix.datalists.left_out import told_left_out
from monai_supmix.datalists.nnunet import nnunet_datalist
from monai_supmix.errors import InputError
from monai_supmix.inferers.inputs import find_inputs
from monai_supmix.own_data.layout import find_cases


def picture(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)


def volume(path, array=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 2), np.uint8) if array is None else array, np.eye(4)), path)


def nnunet(root, names, labels, record=None, image_ending=".nii.gz"):
    for name in names:
        volume(root / "imagesTr" / f"{name}{image_ending}")
    for name in labels:
        volume(root / "labelsTr" / f"{name}.nii.gz")
    written = {"labels": {"background": 0, "x": 1}, "channel_names": {"0": "CT"}, **(record or {})}
    (root / "dataset.json").write_text(json.dumps(written), encoding="utf-8")
    return root


@pytest.mark.parametrize("ending", [".npy", ".NPY", ".txt", ".mat", ".xcf", ".svg", ".nii.bz2"])
@pytest.mark.parametrize("layout", ["pairs", "nnunet"])
def test_a_label_of_an_unread_type_is_never_an_unlabelled_case(layout, ending, tmp_path):
    if layout == "pairs":
        for i in range(3):
            picture(tmp_path / "images" / f"c{i}.png")
        picture(tmp_path / "labels" / "c0.png")
        (tmp_path / "labels" / f"c1{ending}").write_bytes(b"x")
        make, folder = pair_files, "labels"
    else:
        nnunet(tmp_path, [f"c{i}_0000" for i in range(3)], ["c0"])
        (tmp_path / "labelsTr" / f"c1{ending}").write_bytes(b"x")
        make, folder = nnunet_datalist, "labelsTr"
    with pytest.raises(InputError, match=rf"{folder}: 1 label files.*c1\{ending}"):
        make(tmp_path)


def test_masks_beside_the_images_are_no_unlabelled_images(tmp_path):
    for name in ("c0", "c1", "c1_seg", "c1_seg_prob_lesion", "c2_seg", "c3", "c3_seg"):
        picture(tmp_path / "images" / f"{name}.png")
    for name in ("c0", "c3_seg"):
        picture(tmp_path / "labels" / f"{name}.png")
    assert [item["case"] for item in pair_files(tmp_path)] == ["c0", "c1", "c2_seg", "c3", "c3_seg"]
    (told,) = left_out_of_pairs(tmp_path)
    assert told.startswith("2 files of images are left out (named like masks of other images; 2 .png): c1_seg.png")


def test_other_files_are_counted_with_their_endings(tmp_path):
    picture(tmp_path / "images" / "c0.png")
    (tmp_path / "labels").mkdir()
    for name in ("c1.npy", "c2.npy", "notes"):
        (tmp_path / "images" / name).write_bytes(b"x")
    picture(tmp_path / "images" / "more" / "c3.png")
    assert [item["case"] for item in pair_files(tmp_path)] == ["c0"]
    types, below = left_out_of_pairs(tmp_path)
    assert (
        types
        == "3 files of images are left out (not a type that is read; 2 .npy, 1 without ending): c1.npy, c2.npy, notes"
    )
    assert "1 file of images is left out (in sub-folders" in below and "c3.png" in below


def test_voxels_beside_their_header_are_not_left_out(tmp_path):
    for name in ("a.mhd", "a.raw", "b.raw"):
        (tmp_path / "images" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_bytes(b"x")
    (line,) = left_out_of_pairs(tmp_path)
    assert line.endswith(": b.raw")


@pytest.mark.parametrize("first", [0, 1])
def test_a_file_whose_very_name_has_a_label_is_a_case(first, tmp_path):
    names = [f"x_{i:04d}" for i in range(first, first + 6)]
    found = nnunet_datalist(nnunet(tmp_path, names, names))
    assert sorted(item["case"] for item in (*found.labeled, *found.test)) == names


def test_a_second_channel_is_still_refused(tmp_path):
    with pytest.raises(InputError, match="second channel"):
        nnunet_datalist(nnunet(tmp_path, ["x_0000", "x_0001", "y_0000"], ["x", "y"]))


@pytest.mark.parametrize("written", [".nii.gz", "nii.gz", ".NII.GZ"])
def test_a_file_ending_is_taken_with_and_without_its_dot(written, tmp_path):
    images, labels = [f"c{i}_0000" for i in range(5)], [f"c{i}" for i in range(5)]
    found = nnunet_datalist(nnunet(tmp_path, images, labels, {"file_ending": written}))
    assert len(found.labeled) + len(found.test) == 5


@pytest.mark.parametrize("written", [".nrrd", "npz"])
def test_a_file_ending_that_does_not_fit_is_named(written, tmp_path):
    with pytest.raises(InputError, match="file_ending"):
        nnunet_datalist(nnunet(tmp_path, ["c0_0000"], ["c0"], {"file_ending": written}))


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_pair_in_whatever_unicode_form_they_come(forms, tmp_path):
    for side, form in zip(("images", "labels"), forms, strict=True):
        for i in range(4):
            picture(tmp_path / side / unicodedata.normalize(form, f"Müller_{i}.png"))
    items = pair_files(tmp_path)
    assert all("label" in item for item in items)
    assert items[0]["image"].endswith(unicodedata.normalize(forms[0], "Müller_0.png")), "the file keeps its name"
    names = tmp_path / "names.txt"
    names.write_text(unicodedata.normalize("NFD", "Müller_2\n"), encoding="utf-8")
    found = find_cases(tmp_path, ["background", "x"], test_list=str(names))
    assert [item["case"] for item in found.datalist.test] == [unicodedata.normalize("NFC", "Müller_2")]


def decathlon(root, separator="/"):
    for name in ("imagesTr/a0", "imagesTs/t0", "imagesTs/t1"):
        volume(root / f"{name}.nii.gz")
    tests = [f".{separator}imagesTs{separator}t{i}.nii.gz" for i in range(2)]
    training = [{"image": f"imagesTr{separator}a0.nii.gz", "label": "labelsTr/a0.nii.gz"}]
    return {"name": "x", "labels": {"0": "background"}, "numTest": 2, "training": training, "test": tests}


@pytest.mark.parametrize("separator", ["/", "\\"])
def test_entries_of_a_decathlon_list_that_are_paths_are_predicted(separator, tmp_path):
    record = decathlon(tmp_path, separator)
    (tmp_path / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    cases, notes = find_inputs(tmp_path / "dataset.json")
    assert [case.path.name for case in cases] == ["a0.nii.gz", "t0.nii.gz", "t1.nii.gz"] and notes == []
    assert all(case.path.exists() for case in cases)


def test_entries_without_an_image_are_told(tmp_path):
    record = decathlon(tmp_path)
    record["test"] += [{"label": "t2.nii.gz"}, 7]
    (tmp_path / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    cases, (note,) = find_inputs(tmp_path / "dataset.json")
    assert len(cases) == 3 and note.startswith("2 entries of dataset.json name no image and are left out: {'label'")


def test_masks_and_other_files_of_a_searched_folder_are_told(tmp_path):
    volume(tmp_path / "a.nii.gz")
    volume(tmp_path / "a_seg.nii.gz")
    (tmp_path / "a_seg.json").write_text("{}", encoding="utf-8")
    (tmp_path / "b.npy").write_bytes(b"x")
    cases, notes = find_inputs(tmp_path)
    assert [case.path.name for case in cases] == ["a.nii.gz"]
    assert any("a_seg.nii.gz" in note and "named like masks" in note for note in notes)
    assert any("1 .npy" in note for note in notes)
    assert find_inputs(str(tmp_path / "*.n*"))[1] != [], "a pattern tells, too"


def test_nothing_left_out_is_not_worth_a_line():
    assert told_left_out([], "images", "whatever") == []
