"""Masks of the unlabelled cases become their labels; no other case changes."""

import dataclasses

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.data import Datalist, load_case, with_pseudo_labels
from monai_supmix.datalists.from_file import listed_datalist
from monai_supmix.errors import InputError
from monai_supmix.imageio.masks import write_mask


@pytest.fixture
def datalist():
    items = [{"image": f"{name}.png", "case": name, "group": name} for name in "abcd"]
    labeled, test = items[0] | {"label": "a_label.png"}, items[3] | {"label": "d_label.png"}
    return Datalist([labeled], items[1:3], [], [test], ["background", "lesion"], hidden_labels={"b": "b_truth.png"})


@pytest.mark.parametrize("ending", ["_seg.nii.gz", "_seg.png", ".nii.gz", ".png", "_0000_seg.nii.gz"])
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


def test_a_mask_that_may_be_of_two_cases_or_is_there_twice_is_refused(datalist, tmp_path):
    similar = dataclasses.replace(
        datalist, unlabeled=[{"image": f"{n}.png", "case": n, "group": n} for n in ("b", "b_seg")]
    )
    (tmp_path / "b_seg.png").touch()
    with pytest.raises(InputError, match="may be that of b_seg or of b"):
        with_pseudo_labels(similar, tmp_path)
    (tmp_path / "b.png").touch()
    with pytest.raises(InputError, match="lies beside it"):
        with_pseudo_labels(datalist, tmp_path)


def test_masks_have_the_label_values_of_the_labelled_cases(datalist, tmp_path):
    (tmp_path / "b_seg.png").touch()
    labeled = [datalist.labeled[0] | {"values": "0 2"}]
    found = with_pseudo_labels(dataclasses.replace(datalist, labeled=labeled), tmp_path)
    assert found.unlabeled[0]["values"] == "0 2"


def test_the_mask_of_one_slice_of_a_file_is_read(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 100, (6, 5, 4)).astype(np.int16)
    nib.save(nib.Nifti1Image(voxels, np.diag([1.0, 1.0, 5.0, 1.0])), tmp_path / "all.nii.gz")
    item = {"image": str(tmp_path / "all.nii.gz"), "case": "slice_2", "group": "a", "slice": 2}
    image, _ = load_case(item, 2)
    mask = (image.array[..., :1] > 50).astype(np.uint8).reshape(image.label_shape)
    write_mask(mask, image, tmp_path / "slice_2_seg.nii.gz")
    labeled = {**item, "case": "slice_0", "slice": 0, "label": item["image"]}
    datalist = with_pseudo_labels(Datalist([labeled], [item], [], [], ["background", "lesion"]), tmp_path)
    datalist.to_json(tmp_path / "list.json")
    for found in (datalist, Datalist.from_json(tmp_path / "list.json")):
        assert found == datalist
        assert np.array_equal(load_case(found.unlabeled[0], 2).label, mask) and mask.any()
    drawn = listed_datalist(tmp_path, tmp_path / "list.json")
    assert drawn.labeled == datalist.labeled and drawn.unlabeled == [item]


def test_nothing_is_given(datalist):
    assert with_pseudo_labels(datalist, None) is datalist


def test_a_folder_without_a_mask_of_these_images_is_refused(datalist, tmp_path):
    (tmp_path / "a_seg.png").touch()
    with pytest.raises(InputError, match="no mask of an unlabelled image: give masks named by case, such as b_seg"):
        with_pseudo_labels(datalist, tmp_path)
    with pytest.raises(InputError, match="does not exist: give the folder of the masks"):
        with_pseudo_labels(datalist, tmp_path / "nowhere")


def test_a_case_with_the_number_of_a_channel_in_its_name_has_a_mask_of_its_own(datalist, tmp_path):
    items = [{"image": f"{name}.png", "case": name, "group": name} for name in ("p6", "p6_0000")]
    for item in items:
        (tmp_path / f"{item['case']}_seg.png").touch()
    found = with_pseudo_labels(dataclasses.replace(datalist, unlabeled=items), tmp_path)
    assert [item["label"] for item in found.unlabeled] == [str(tmp_path / f"{item['case']}_seg.png") for item in items]
