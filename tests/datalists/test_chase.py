"""CHASE_DB1's datalist, on phantom files and on the real data set."""

import os
import shutil
from pathlib import Path

import pytest

from monai_supmix.datalists.chase import CHASE_CHILDREN, chase_datalist, holds_chase
from monai_supmix.datalists.survey import survey_datalist
from monai_supmix.errors import InputError


def touch_chase(folder):
    """CHASE's names as empty files: the datalist never opens them."""
    folder.mkdir(parents=True, exist_ok=True)
    for child in CHASE_CHILDREN:
        for eye in "LR":
            for ending in (".jpg", "_1stHO.png", "_2ndHO.png"):
                (folder / f"Image_{child}{eye}{ending}").touch()
    return folder


@pytest.fixture
def chase(tmp_path):
    return touch_chase(tmp_path / "CHASE_DB1")


def cases(items):
    return [item["case"] for item in items]


def groups(items):
    return {item["group"] for item in items}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("num_labeled", [2, 5])
def test_default_split_keeps_children_apart(chase, seed, num_labeled):
    datalist = chase_datalist(chase, num_labeled=num_labeled, labeled_seed=seed)
    assert len(datalist.labeled) == len(groups(datalist.labeled)) == num_labeled
    assert len(datalist.unlabeled) == 20 - num_labeled
    assert groups(datalist.test) == {"11", "12", "13", "14"}
    assert len(datalist.test) == 8
    assert datalist.validation == []
    assert datalist.class_names == ["background", "vessel"]
    assert (groups(datalist.labeled) | groups(datalist.unlabeled)) == set(CHASE_CHILDREN[:10])
    # the fellow eye stays in the unlabelled pool
    fellows = {case[:-1] + ("L" if case[-1] == "R" else "R") for case in cases(datalist.labeled)}
    assert fellows <= set(cases(datalist.unlabeled))
    smaller = chase_datalist(chase, num_labeled=2, labeled_seed=seed)
    assert cases(smaller.labeled) == cases(datalist.labeled)[:2]


def test_observers_differ_in_masks_only(chase):
    first, second = chase_datalist(chase), chase_datalist(chase, observer="second")
    assert cases(first.labeled) == cases(second.labeled)
    assert all(item["label"].endswith("_1stHO.png") for item in (*first.labeled, *first.test))
    assert all(item["label"].endswith("_2ndHO.png") for item in (*second.labeled, *second.test))


def test_paper_split_is_23_to_5_and_names_the_shared_child(chase):
    datalist = chase_datalist(chase, split="paper", num_labeled=None)
    assert len(datalist.labeled) == 23
    assert cases(datalist.test) == ["Image_12R", "Image_13L", "Image_13R", "Image_14L", "Image_14R"]
    assert datalist.shared_groups == ["12"]
    assert any("child 12" in note for note in datalist.notes)
    # a validation child is never one of the test
    held = chase_datalist(chase, split="paper", num_labeled=1, num_val_patients=11).validation
    assert groups(held) == set(CHASE_CHILDREN) - {"12", "13", "14"}


def test_validation_children_leave_training_with_both_eyes(chase):
    datalist = chase_datalist(chase, num_labeled=2, num_val_patients=3)
    assert len(datalist.validation) == 6
    assert len(groups(datalist.validation)) == 3
    assert not groups(datalist.validation) & (groups(datalist.labeled) | groups(datalist.unlabeled))
    assert not groups(datalist.validation) & groups(datalist.test)
    assert cases(datalist.labeled) == cases(chase_datalist(chase, num_labeled=2).labeled)


def test_masks_of_images_used_without_label_need_not_exist(chase):
    datalist = chase_datalist(chase, num_labeled=2)
    for item in datalist.unlabeled:
        (chase / f"{item['case']}_1stHO.png").unlink()
    assert chase_datalist(chase, num_labeled=2) == datalist
    with pytest.raises(InputError, match=r"3 of 13 files are missing.*_1stHO\.png"):
        chase_datalist(chase, num_labeled=5)


def test_missing_files_are_named_and_counted(chase):
    for name in ("Image_03L.jpg", "Image_11R.jpg"):
        (chase / name).unlink()
    with pytest.raises(InputError) as error:
        chase_datalist(chase)
    assert str(chase) in str(error.value)
    assert "2 of 28 files are missing: Image_03L.jpg, Image_11R.jpg" in str(error.value)


def test_missing_test_mask(chase):
    (chase / "Image_13R_1stHO.png").unlink()
    with pytest.raises(InputError, match=r"Image_13R_1stHO\.png"):
        chase_datalist(chase)
    chase_datalist(chase, observer="second")


def test_wrong_folders_and_words(chase, tmp_path):
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "missing", tmp_path / "empty", "", chase / "Image_01L.jpg"):
        with pytest.raises(InputError):
            chase_datalist(folder)
    with pytest.raises(InputError, match="observer"):
        chase_datalist(chase, observer="third")
    with pytest.raises(InputError, match="split"):
        chase_datalist(chase, split="mine")
    with pytest.raises(InputError, match="Image_11L"):
        chase_datalist(chase, labeled_list=["Image_11L"])


def test_a_folder_one_level_up_is_found_unless_ambiguous(chase):
    assert chase_datalist(chase.parent) == chase_datalist(chase)
    assert holds_chase(chase.parent)
    shutil.copytree(chase, chase.parent / "copy")
    with pytest.raises(InputError, match="several"):
        chase_datalist(chase.parent)


def test_other_pictures_are_left_out_with_a_note(chase):
    (chase / "Image_15L.jpg").touch()
    datalist = chase_datalist(chase)
    assert any("Image_15L" in note for note in datalist.notes)
    assert len(datalist.labeled) + len(datalist.unlabeled) + len(datalist.test) == 28


def test_a_datalist_json_in_place_of_the_folder(chase, tmp_path):
    datalist = chase_datalist(chase, num_labeled=5, split="paper")
    datalist.to_json(tmp_path / "list.json")
    assert chase_datalist(tmp_path / "list.json", num_labeled=5) == datalist
    with pytest.raises(InputError, match="num_labeled"):
        chase_datalist(tmp_path / "list.json", num_labeled=2)


@pytest.mark.skipif("SUPMIX_DATA" not in os.environ, reason="SUPMIX_DATA is not set")
def test_real_data_set():
    datalist = chase_datalist(Path(os.environ["SUPMIX_DATA"]) / "CHASE_DB1", num_labeled=2)
    assert len(datalist.unlabeled) == 18
    survey = survey_datalist(datalist)
    assert survey.errors == []
    assert "size: 999 x 960" in survey.lines
