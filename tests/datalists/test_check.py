"""Checking cases: every file is read, copies are found, what is broken is refused or left out."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_supmix.datalists import check as check_module
from monai_supmix.datalists.check import check_cases, check_sides, usable_cases
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.errors import InputError


@pytest.fixture
def items(tmp_path):
    """Six grey pictures with labels 0 and 1."""
    made = []
    for number in range(6):
        rng = np.random.default_rng(number)
        item = {"case": f"c{number}", "group": f"g{number}"}
        for key, high in (("image", 255), ("label", 2)):
            item[key] = str(tmp_path / f"c{number}_{key}.png")
            Image.fromarray(rng.integers(0, high, (8, 9)).astype(np.uint8)).save(item[key])
        made.append(item)
    return made


def bare(item):
    return {key: value for key, value in item.items() if key != "label"}


def datalist(items):
    return Datalist(items[:2], [bare(item) for item in items[2:4]], [items[4]], [items[5]], ["a", "b"])


def empty(path):
    Path(path).write_bytes(b"")


def test_sound_cases_have_no_problems(items):
    assert check_cases(items, 2, channels=1) == []
    assert usable_cases(datalist(items), 2) == (datalist(items), [])


def test_problems_are_collected_in_order_with_their_case(items):
    empty(items[1]["image"])
    empty(items[3]["label"])
    problems = check_cases(items, 2)
    assert [problem.case for problem in problems] == ["c1", "c3"]
    assert [problem.error.subject for problem in problems] == [items[1]["image"], items[3]["label"]]


def test_label_values_are_compared_with_the_classes(items):
    Image.fromarray(np.full((8, 9), 3, np.uint8)).save(items[0]["label"])
    (problem,) = check_cases(items, 3)
    assert "not classes: 3" in problem.error.problem
    assert check_cases(items, 4) == []


def test_channels_and_further_conditions(items):
    assert [p.error.problem for p in check_cases(items[:1], 2, channels=3)] == ["has 1 channel and the network takes 3"]

    def refuse(image):
        raise InputError(image.path, "is too dark", "light it")

    assert len(check_cases(items, 2, fits=refuse)) == 6


def test_copies_are_found_under_other_names_and_other_formats(items, tmp_path):
    copy = str(tmp_path / "copy.bmp")
    Image.open(items[0]["image"]).save(copy)
    items[4]["image"] = copy
    (problem,) = check_cases(items, 2)
    assert problem.case == "c4" and items[0]["image"] in problem.error.problem
    assert check_cases(items, 2, unique=False) == []
    items[4]["image"] = items[0]["image"]
    assert [problem.case for problem in check_cases(items, 2)] == ["c4"]


def test_pictures_of_the_same_bytes_in_another_shape_are_no_copies(items):
    for item, shape in zip(items[:2], ((8, 9), (9, 8)), strict=True):
        Image.fromarray(np.arange(72, dtype=np.uint8).reshape(shape)).save(item["image"])
    assert check_cases([bare(item) for item in items], 2) == []


def test_blank_images_are_no_copies(items):
    for item in items[:3]:
        Image.fromarray(np.zeros((8, 9), np.uint8)).save(item["image"])
    assert check_cases(items, 2) == []


def test_the_copy_in_training_goes_and_the_one_in_the_test_stays(items):
    Image.open(items[5]["image"]).save(items[0]["image"])
    usable, problems = usable_cases(datalist(items), 2, on_error="skip")
    assert [problem.case for problem in problems] == ["c0"]
    assert [item["case"] for item in usable.labeled] == ["c1"]
    assert [item["case"] for item in usable.test] == ["c5"]
    assert "1 broken case was left out: c0" in usable.notes


def test_labelled_images_may_be_unlabelled_ones_too(items):
    both = Datalist(items[:2], [bare(item) for item in items[:4]], [], items[5:], ["a", "b"])
    assert check_sides(both, 2) == []
    empty(items[0]["image"])
    assert [problem.case for problem in check_sides(both, 2)] == ["c0"], "told once"
    usable, _ = usable_cases(both, 2, "skip")
    assert [item["case"] for item in usable.unlabeled] == ["c1", "c2", "c3"]


def test_broken_cases_are_refused_by_default(items):
    empty(items[3]["image"])
    empty(items[4]["label"])
    with pytest.raises(InputError, match=r"c4_label.png: is empty \(0 bytes\) \(the first of 2 problems\)"):
        usable_cases(datalist(items), 2)


def test_too_little_may_be_left(items):
    for item in items[:2]:
        empty(item["label"])
    with pytest.raises(InputError, match="no labelled image"):
        usable_cases(datalist(items), 2, "skip")


def test_wrong_arguments_are_told(items):
    with pytest.raises(InputError, match="on_error: is 'ignore'"):
        usable_cases(datalist(items), 2, "ignore")
    with pytest.raises(InputError, match="has the 2 classes a, b, the configuration has 4"):
        usable_cases(datalist(items), 4)


def test_a_reader_that_crashes_is_a_problem_of_its_file(items, monkeypatch):
    def crash(item, num_classes):
        raise MemoryError("no room")

    monkeypatch.setattr(check_module, "load_case", crash)
    (problem,) = check_cases(items[:1], 2)
    assert problem.error.problem == "cannot be read (MemoryError: no room)"


def test_slices_of_one_file_are_told_apart(tmp_path):
    nib = pytest.importorskip("nibabel")
    voxels = np.random.default_rng(0).integers(0, 99, (6, 5, 4)).astype(np.int16)
    voxels[..., 3] = voxels[..., 1]
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), tmp_path / "all.nii.gz")
    items = [{"image": str(tmp_path / "all.nii.gz"), "case": f"s{k}", "group": f"s{k}", "slice": k} for k in range(5)]
    problems = check_cases(items, 2)
    assert [problem.case for problem in problems] == ["s3", "s4"]
    assert "holds the same image as" in problems[0].error.problem and "(slice 1)" in problems[0].error.problem
    assert "no slice 4" in problems[1].error.problem
