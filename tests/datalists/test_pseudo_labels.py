"""Masks of the unlabelled cases become their labels; no other case changes."""

import dataclasses

import pytest

from monai_supmix.data import Datalist, with_pseudo_labels
from monai_supmix.errors import InputError


@pytest.fixture
def datalist():
    items = [{"image": f"{name}.png", "case": name, "group": name} for name in "abcd"]
    labeled, test = items[0] | {"label": "a_label.png"}, items[3] | {"label": "d_label.png"}
    return Datalist([labeled], items[1:3], [], [test], ["background", "lesion"], hidden_labels={"b": "b_truth.png"})


@pytest.mark.parametrize("ending", ["_seg.nii.gz", "_seg.png", ".nii.gz", ".png"])
def test_only_unlabelled_items_get_a_label(datalist, tmp_path, ending):
    for name in "abcd":
        (tmp_path / f"{name}{ending}").touch()
    found = with_pseudo_labels(datalist, tmp_path)
    assert [item["label"] for item in found.unlabeled] == [str(tmp_path / f"{name}{ending}") for name in "bc"]
    assert dataclasses.replace(found, unlabeled=datalist.unlabeled) == datalist
    assert found.hidden_labels == datalist.hidden_labels and not any("label" in item for item in datalist.unlabeled)


def test_cases_without_a_mask_are_left_out_and_told(datalist, tmp_path):
    (tmp_path / "c_seg.png").touch()
    found = with_pseudo_labels(datalist, tmp_path)
    assert [item["case"] for item in found.unlabeled] == ["c"]
    assert found.notes == ["1 of 2 unlabelled images without a pseudo-label are left out"]


def test_a_labelled_case_in_the_pool_gets_no_second_label(datalist, tmp_path):
    """``unlabeled_pool="all"`` has it on both sides."""
    bare = {key: value for key, value in datalist.labeled[0].items() if key != "label"}
    both = dataclasses.replace(datalist, unlabeled=[bare, *datalist.unlabeled])
    for name in "abc":
        (tmp_path / f"{name}_seg.png").touch()
    found = with_pseudo_labels(both, tmp_path)
    assert [item["case"] for item in found.unlabeled] == ["b", "c"] and not found.notes


def test_nothing_is_given(datalist):
    assert with_pseudo_labels(datalist, None) is datalist


def test_a_folder_without_a_mask_of_these_images_is_refused(datalist, tmp_path):
    (tmp_path / "a_seg.png").touch()
    with pytest.raises(InputError, match="no mask of an unlabelled image: give masks named by case, such as b_seg"):
        with_pseudo_labels(datalist, tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        with_pseudo_labels(datalist, tmp_path / "nowhere")
