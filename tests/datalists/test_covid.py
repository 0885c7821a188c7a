"""The three forms of the COVID-19 CT data set, on made-up files and on the real pictures."""

import json
import os
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_supmix.datalists.covid import COVID_CLASSES, LYING, covid_datalist
from monai_supmix.datalists.nnunet import nnunet_datalist, read_classes
from monai_supmix.errors import InputError
from monai_supmix.imageio.cases import load_case
from monai_supmix.imageio.usual_view import lies_on_its_side, to_usual_view

SUPMIX_DATA = os.environ.get("SUPMIX_DATA")
needs_data = pytest.mark.skipif(SUPMIX_DATA is None, reason="SUPMIX_DATA is not set")


def cases(items):
    return [item["case"] for item in items]


def groups(items):
    return {item["group"] for item in items}


def save(path, array, affine=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.eye(4) if affine is None else affine), path)


# MedSeg


@pytest.fixture
def medseg(tmp_path):
    rng = np.random.RandomState(0)
    save(tmp_path / "tr_im.nii.gz", rng.randint(-1000, 100, (6, 5, 100)).astype(np.int16))
    save(tmp_path / "tr_mask.nii.gz", rng.randint(0, 4, (6, 5, 100)).astype(np.uint8))
    return tmp_path


def test_medseg_is_split_70_10_20_in_document_order(medseg):
    datalist = covid_datalist(medseg, num_labeled=9)
    assert len(datalist.labeled) == 9
    assert len(datalist.unlabeled) == 61
    assert datalist.validation == []
    assert [item["slice"] for item in datalist.test] == list(range(80, 100))
    assert {item["slice"] for item in (*datalist.labeled, *datalist.unlabeled)} == set(range(70))
    assert datalist.class_names == list(COVID_CLASSES)
    assert any("patients are unknown" in note for note in datalist.notes)
    assert cases(covid_datalist(medseg, num_labeled=18).labeled)[:9] == cases(datalist.labeled)


def test_medseg_validation_comes_from_the_slices_set_aside(medseg):
    datalist = covid_datalist(medseg, num_labeled=9, num_val_patients=10)
    assert [item["slice"] for item in datalist.validation] == list(range(70, 80))
    assert len(datalist.labeled) + len(datalist.unlabeled) == 70
    with pytest.raises(InputError, match="num_val_patients"):
        covid_datalist(medseg, num_val_patients=11)


def test_medseg_items_load_their_own_slice(medseg):
    item = covid_datalist(medseg).test[0]
    image, label = load_case(item, 4)
    stored = np.asarray(nib.load(medseg / "tr_im.nii.gz").dataobj)
    truth = np.asarray(nib.load(medseg / "tr_mask.nii.gz").dataobj)
    assert np.array_equal(image.array[..., 0], stored[..., 80])
    assert np.array_equal(label[..., 0], truth[..., 80])


def test_medseg_with_a_test_list(medseg):
    datalist = covid_datalist(medseg, test_list=["slice_003", "slice_099"], num_labeled=2)
    assert cases(datalist.test) == ["slice_003", "slice_099"]
    assert len(datalist.unlabeled) == 96


def test_medseg_files_that_do_not_fit(medseg):
    save(medseg / "tr_mask.nii.gz", np.zeros((6, 5, 99), np.uint8))
    with pytest.raises(InputError, match=r"tr_mask\.nii\.gz.*\(6, 5, 99\)"):
        covid_datalist(medseg)
    (medseg / "tr_mask.nii.gz").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"tr_mask\.nii\.gz.*cannot be read"):
        covid_datalist(medseg)
    (medseg / "tr_mask.nii.gz").unlink()
    with pytest.raises(InputError, match=r"tr_mask\.nii\.gz.*does not exist"):
        covid_datalist(medseg)


# pictures


def chest_picture(rng, lying=False):
    """A crude axial chest: dark lungs left and right, bright back below."""
    picture = np.full((40, 48), 150.0)
    picture[5:36, 4:20] = picture[5:36, 28:44] = 20
    picture[30:, 18:30] = 240
    picture = np.clip(picture + rng.normal(scale=8, size=picture.shape), 0, 255).astype(np.uint8)
    return picture.T if lying else picture


@pytest.fixture
def pictures(tmp_path):
    rng = np.random.RandomState(0)
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for i in range(12):
        Image.fromarray(chest_picture(rng, lying=True)).save(tmp_path / f"images/p{i:02d}.png")
        label = np.zeros((48, 40), np.uint8)
        label[10:12, 10 + i] = 1
        Image.fromarray(label).save(tmp_path / f"labels/p{i:02d}.png")
    return tmp_path


def write_list(path, numbers):
    path.write_text("".join(f"p{i:02d}\n" for i in numbers), encoding="utf-8")


def test_pictures_with_both_lists(pictures):
    write_list(pictures / "train7.txt", range(5, 12))
    write_list(pictures / "test4.txt", range(4))
    datalist = covid_datalist(pictures, num_labeled=3)
    assert cases(datalist.test) == ["p00", "p01", "p02", "p03"]
    assert sorted(cases(datalist.labeled) + cases(datalist.unlabeled)) == [f"p{i:02d}" for i in range(5, 12)]
    assert any("1 labelled image is in no list" in note and "p04" in note for note in datalist.notes)


@pytest.mark.parametrize("side", ["train", "test"])
def test_pictures_with_one_list(pictures, side):
    write_list(pictures / f"{side}.txt", range(3))
    datalist = covid_datalist(pictures)
    listed = datalist.labeled if side == "train" else datalist.test
    rest = datalist.test if side == "train" else datalist.labeled
    assert sorted(cases(listed)) == ["p00", "p01", "p02"]
    assert sorted(cases(rest)) == [f"p{i:02d}" for i in range(3, 12)]


def test_pictures_without_lists_hold_out_a_test_that_no_seed_moves(pictures):
    datalist = covid_datalist(pictures, num_labeled=2)
    assert len(datalist.test) == 2
    assert datalist.test == covid_datalist(pictures, num_labeled=4, labeled_seed=9).test
    assert any("no test set" in note for note in datalist.notes)


def test_pictures_without_a_label_join_the_unlabelled_pool(pictures):
    write_list(pictures / "train.txt", range(6))
    write_list(pictures / "test.txt", range(6, 10))
    for name in ("p05", "p11"):
        (pictures / f"labels/{name}.png").unlink()
    datalist = covid_datalist(pictures)
    assert sorted(cases(datalist.unlabeled)) == ["p05", "p11"]
    (pictures / "labels/p07.png").unlink()
    with pytest.raises(InputError, match=r"test\.txt.*p07"):
        covid_datalist(pictures)


def test_mistakes_in_lists_and_folders(pictures):
    write_list(pictures / "train.txt", range(6))
    write_list(pictures / "test.txt", range(5, 9))
    with pytest.raises(InputError, match=r"test\.txt.*train\.txt.*p05"):
        covid_datalist(pictures)
    write_list(pictures / "test.txt", range(11, 14))
    with pytest.raises(InputError, match=r"test\.txt.*2 unknown cases: p12, p13"):
        covid_datalist(pictures)
    write_list(pictures / "test2.txt", range(9, 10))
    with pytest.raises(InputError, match="several lists"):
        covid_datalist(pictures)
    (pictures / "labels/q.png").write_bytes(b"")
    with pytest.raises(InputError, match="1 label file has no image of the same name: q: names must match"):
        covid_datalist(pictures)


def test_lying_pictures_are_marked_and_upright_ones_are_not(pictures):
    datalist = covid_datalist(pictures)
    assert all(item["turns"] == 3 and item["mirror"] == 1 for item in (*datalist.labeled, *datalist.test))
    assert any("lie on their side" in note for note in datalist.notes)
    upright = covid_datalist(pictures, view="upright")
    assert not any("turns" in item for item in (*upright.labeled, *upright.test))

    rng = np.random.RandomState(1)
    for path in (pictures / "images").iterdir():
        Image.fromarray(chest_picture(rng)).save(path)
    assert not any("turns" in item for item in covid_datalist(pictures).labeled)
    assert all("turns" in item for item in covid_datalist(pictures, view="lying").labeled)


def test_groups_from_a_pattern_stay_together(pictures):
    datalist = covid_datalist(pictures, group_pattern=r"^p\d", num_val_patients=0)
    assert groups(datalist.labeled) | groups(datalist.test) == {"p0", "p1"}
    assert not groups(datalist.labeled) & groups(datalist.test)
    assert not any("patients are unknown" in note for note in datalist.notes)


def test_a_picture_that_cannot_be_read(pictures):
    (pictures / "images/p00.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"p00\.png"):
        covid_datalist(pictures)


def test_to_usual_view_turns_counter_clockwise_then_mirrors():
    array = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(to_usual_view(array), array)
    assert np.array_equal(to_usual_view(array, 1)[0], np.rot90(array[0]))
    assert np.array_equal(to_usual_view(array, 0, 1)[0], np.fliplr(array[0]))
    assert np.array_equal(to_usual_view(array, **LYING), array.transpose(0, 2, 1))
    assert lies_on_its_side([]) is False


# nnU-Net

LABELS = {"background": 0, "ground_glass": 1, "consolidation": 2}


def make_nnunet(root, test=2, record=None, suffix="_0000"):
    volume = np.zeros((3, 4, 2), np.int16)
    for i in range(8):
        save(root / f"imagesTr/case_{i}{suffix}.nii.gz", volume)
        if i < 6:
            save(root / f"labelsTr/case_{i}.nii.gz", volume.astype(np.uint8))
    for i in range(test):
        save(root / f"imagesTs/test_{i}{suffix}.nii.gz", volume)
        save(root / f"labelsTs/test_{i}.nii.gz", volume.astype(np.uint8))
    (root / "dataset.json").write_text(json.dumps({"labels": LABELS} if record is None else record), encoding="utf-8")
    return root


@pytest.mark.parametrize("suffix", ["_0000", ""])
def test_nnunet_layout(tmp_path, suffix):
    datalist = covid_datalist(make_nnunet(tmp_path, suffix=suffix), num_labeled=2)
    assert len(datalist.labeled) == 2
    assert len(datalist.unlabeled) == 6
    assert {"case_6", "case_7"} <= set(cases(datalist.unlabeled))
    assert cases(datalist.test) == ["test_0", "test_1"]
    assert datalist.class_names == list(LABELS)
    for item in (*datalist.labeled, *datalist.test):
        assert Path(item["image"]).name.replace(suffix, "") == Path(item["label"]).name


def test_nnunet_test_images_without_labels_are_noted_and_left_out(tmp_path):
    root = make_nnunet(tmp_path)
    (root / "labelsTs/test_1.nii.gz").unlink()
    datalist = covid_datalist(root)
    assert cases(datalist.test) == ["test_0"]
    assert any("imagesTs" in note and "test_1" in note for note in datalist.notes)
    assert "test_1" not in cases(datalist.unlabeled)


def test_nnunet_without_a_test_set_holds_out_whole_patients(tmp_path):
    table = {f"case_{i}": f"patient_{i // 2}" for i in range(8)}
    root = make_nnunet(tmp_path, test=0, record={"labels": LABELS, "patients": table})
    datalist = nnunet_datalist(root, test_fraction=0.34)
    assert len(groups(datalist.test)) == 1
    assert len(datalist.test) == 2
    assert not any("patients are unknown" in note for note in datalist.notes)
    assert datalist.test == nnunet_datalist(root, test_fraction=0.34, labeled_seed=5, num_labeled=1).test
    by_pattern = nnunet_datalist(root, group_pattern=r"case_[0-4]|case_.")
    assert not any("patients are unknown" in note for note in by_pattern.notes)


def test_nnunet_test_list_stands_over_the_folders(tmp_path):
    datalist = covid_datalist(make_nnunet(tmp_path), test_list=["case_0"])
    assert cases(datalist.test) == ["case_0"]
    assert "test_0" in cases(datalist.labeled)


def test_class_names_of_both_versions():
    names = ["background", "ground_glass", "pleural_effusion"]
    for values in ([0, 1, 2], [0, 5, 9], [0, 5, 255]):
        read = list(zip(values, names, strict=True))
        assert list(read_classes({"labels": {str(value): name for value, name in read}}, "x").items()) == read
        assert list(read_classes({"labels": {name: value for value, name in read}}, "x").items()) == read
        assert list(read_classes({"labels": {name: value for value, name in reversed(read)}}, "x").items()) == read


@pytest.mark.parametrize(
    "labels",
    [
        None,
        {},
        {"background": 0, "a": 70000},
        {"background": 0, "ignore": 1},
        {"background": 0, "a": [1, 2]},
        {"background": 0, "a": "one"},
        {"background": 0, "a": 0},
        {"1": "a", "2": "b"},
    ],
)
def test_labels_that_name_no_classes(labels):
    with pytest.raises(InputError, match=r"dataset\.json"):
        read_classes({} if labels is None else {"labels": labels}, "dataset.json")


def test_mistakes_in_the_nnunet_layout(tmp_path):
    root = make_nnunet(tmp_path / "a")
    save(root / "imagesTr/case_0_0001.nii.gz", np.zeros((3, 4, 2), np.int16))
    with pytest.raises(InputError, match="second channel"):
        covid_datalist(root)
    root = make_nnunet(tmp_path / "b")
    (root / "imagesTr/case_1_0000.nii.gz").unlink()
    with pytest.raises(InputError, match=r"1 label file has no image in imagesTr: case_1"):
        covid_datalist(root)
    root = make_nnunet(tmp_path / "c")
    (root / "dataset.json").unlink()
    with pytest.raises(InputError, match=r"dataset\.json"):
        nnunet_datalist(root)
    assert covid_datalist(root).class_names == list(COVID_CLASSES)
    root = make_nnunet(tmp_path / "d", record={"labels": LABELS, "patients": {"case_0": "p"}})
    with pytest.raises(InputError, match="have no patient"):
        covid_datalist(root)


# which form


def test_the_form_is_told_by_the_names(medseg, tmp_path_factory):
    root = tmp_path_factory.mktemp("above")
    make_nnunet(root / "Dataset001_Covid")
    assert covid_datalist(root) == covid_datalist(root / "Dataset001_Covid")
    make_nnunet(medseg)
    with pytest.raises(InputError, match="several forms: medseg, nnunet"):
        covid_datalist(medseg)
    assert len(covid_datalist(medseg, form="medseg").test) == 20
    assert len(covid_datalist(medseg, form="nnunet").test) == 2
    with pytest.raises(InputError, match="pictures"):
        covid_datalist(medseg, form="pictures")
    with pytest.raises(InputError, match="form"):
        covid_datalist(medseg, form="dicom")
    with pytest.raises(InputError, match="view"):
        covid_datalist(medseg, view="down")


def test_a_folder_of_no_form(tmp_path):
    with pytest.raises(InputError, match=r"known form.*tr_im\.nii\.gz.*imagesTr"):
        covid_datalist(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        covid_datalist(tmp_path / "missing")


# the real pictures


@needs_data
def test_real_pictures():
    root = Path(SUPMIX_DATA) / "COVID_MedSeg98"
    datalist = covid_datalist(root, num_labeled=6)
    assert (len(datalist.labeled), len(datalist.unlabeled), len(datalist.test)) == (6, 44, 48)
    assert cases(datalist.test) == (root / "test48.txt").read_text(encoding="utf-8").split()
    assert all(item["turns"] == 3 and item["mirror"] == 1 for item in datalist.test)


@needs_data
def test_real_pictures_turned_to_the_usual_view_have_spine_below_and_liver_on_the_left():
    root = Path(SUPMIX_DATA) / "COVID_MedSeg98"
    turned = {}
    for name in ("014", "029", "036", "045", "069", "074"):
        turned[name] = to_usual_view(np.asarray(Image.open(root / f"images/{name}.jpg")), **LYING)
    for picture in turned.values():
        height, width = picture.shape
        middle = picture[:, 2 * width // 5 : 3 * width // 5].astype(float)
        assert middle[2 * height // 3 :].mean() > middle[: height // 10].mean() - 30
    # slices through the dome of the liver: solid on the left, lung at the same place on the right
    for name in ("014", "045"):
        height, width = turned[name].shape
        band = turned[name][height // 4 : height // 2]
        assert band[:, width // 8 : width // 3].mean() > band[:, width - width // 8 :].mean()
    assert not lies_on_its_side(list(turned.values()))
    assert lies_on_its_side([picture.T for picture in turned.values()])
