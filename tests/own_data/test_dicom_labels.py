"""Series in sub-folders of images/, with segmentations and structure sets in labels/, are a data set of one's own."""

import numpy as np
import pydicom
import pytest

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import SIDES
from monai_supmix.errors import InputError
from monai_supmix.imageio import load_case, read_image
from monai_supmix.inferers.inputs import find_inputs
from monai_supmix.own_data.layout import find_cases
from tests.imageio.dicom_series import write_series
from tests.imageio.test_dicom_labels import RTSTRUCT, SEG, rename
from tests.imageio.test_rtstruct import AFFINE, KINDS, make_mask, shuffle_files, write


@pytest.fixture
def data(tmp_path):
    """Four series, the labels of three, of both kinds in turn; and the masks they were made of."""
    masks = {}
    for number, case in enumerate("abcd"):
        volume = np.random.default_rng(number).integers(0, 3000, (12, 10, 5))
        files = write_series(tmp_path / "images" / case, volume, AFFINE)
        if case != "d":
            image = read_image(tmp_path / "images" / case)
            masks[case] = make_mask(image.array.shape, number)
            (tmp_path / "labels").mkdir(exist_ok=True)
            write(sorted(KINDS)[number % 2], masks[case], image, tmp_path / "labels" / f"{case}.dcm")
        shuffle_files(files, number)
    return tmp_path, masks


def test_every_label_is_read_on_the_voxels_of_its_series(data, tmp_path):
    root, masks = data
    found = find_cases(root)
    assert found.datalist.class_names == ["background", "ground_glass", "vessel"]
    assert [item["case"] for item in found.datalist.unlabeled] == ["d"]
    assert not [note for note in found.datalist.notes if "left out" in note]
    found.datalist.to_json(tmp_path / "list.json")
    for datalist in (found.datalist, Datalist.from_json(tmp_path / "list.json")):
        labelled = [item for side in SIDES for item in getattr(datalist, side) if "label" in item]
        assert sorted(item["case"] for item in labelled) == sorted(masks)
        for item in labelled:
            assert np.array_equal(load_case(item, 3).label, masks[item["case"]])
    assert len(find_inputs(root / "images")[0]) == 4


def test_class_names_choose_the_number_of_a_class_and_must_know_all_segments(data):
    root, masks = data
    datalist = find_cases(root, class_names=["background", "Vessel", "Ground glass"]).datalist
    item = datalist.labeled[0]
    assert np.array_equal(load_case(item, 3).label, np.array([0, 2, 1])[masks[item["case"]]])
    item = find_cases(root, class_names=["background", "vessel"]).datalist.labeled[0]
    with pytest.raises(InputError, match=r"no class: 1 \(ground_glass\): name segments like the classes vessel, or"):
        load_case(item, 2)


def change_names(path, names):
    data = pydicom.dcmread(path)
    rename(SEG if data.Modality == SEG else RTSTRUCT, names)(data)
    data.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize(("numbered", "telling"), [("a", "b.dcm"), ("c", "a.dcm")])
def test_numbers_in_one_label_and_names_in_another_are_no_classes_unless_somebody_says_so(data, numbered, telling):
    root, masks = data
    change_names(root / "labels" / f"{numbered}.dcm", ["Segment_1", "2"])
    with pytest.raises(InputError, match=rf"{numbered}\.dcm: its segments have no names .* {telling} have names: name"):
        find_cases(root)
    datalist = find_cases(root, labels="0=background,1=ground glass,2=vessel", test_list="none").datalist
    for item in datalist.labeled:
        assert np.array_equal(load_case(item, 3).label, masks[item["case"]])


@pytest.mark.parametrize("names", [["grade<2", "grade>2"], ["ER+", "ER-"], ["GGO", "GGO (2)"]])
def test_names_that_differ_in_a_sign_alone_are_different_classes(data, names):
    root, masks = data
    for label in (root / "labels").iterdir():
        change_names(label, names)
    datalist = find_cases(root, test_list="none").datalist
    assert len(set(datalist.class_names)) == 3
    for item in datalist.labeled:
        assert np.array_equal(load_case(item, 3).label, masks[item["case"]])


def test_a_label_of_another_case_is_refused(data):
    root, _ = data
    first, second = root / "labels/a.dcm", root / "labels/b.dcm"
    first.rename(root / "c")
    second.rename(first)
    (root / "c").rename(second)
    items = {item["case"]: item for item in find_cases(root, test_list="none").datalist.labeled}
    assert load_case(items["c"], 3).label is not None
    for case in "ab":
        with pytest.raises(InputError, match="belongs to another frame of reference than its image"):
            load_case(items[case], 3)


def test_a_series_and_a_file_of_one_name(data):
    root, _ = data
    (root / "images" / "a.nii.gz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"both a\.nii\.gz and the series a exist"):
        find_cases(root)
