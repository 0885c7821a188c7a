"""What is read off a folder's names and label values: classes, patients, split."""

import json
import re
import shutil

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import SIDES
from monai_supmix.errors import InputError
from monai_supmix.imageio.cases import load_case
from monai_supmix.own_data.classes import classes_from_values
from monai_supmix.own_data.layout import find_cases
from monai_supmix.own_data.patients import guess_patients
from tests.own_data.folders import write_pair

BLANK = np.arange(64).reshape(8, 8)


def write_pairs(folder, labels, bare=()):
    for number, (name, values) in enumerate(labels.items()):
        label = np.zeros((8, 8))
        label.flat[: len(values)] = values
        write_pair(folder, name, BLANK + number, label)
    for number, name in enumerate(bare):
        write_pair(folder, name, BLANK + 100 + number)
    return folder


def test_nnunet_layout(data):
    found = find_cases(data["volumes"])
    assert (len(found.datalist.labeled), len(found.datalist.unlabeled), len(found.datalist.test)) == (2, 2, 1)
    assert found.datalist.class_names == ["background", "ground_glass", "consolidation", "pleural_effusion"]
    assert {item["group"] for item in found.datalist.test} == {"patient_005"}
    assert found.channel == "CT"
    assert find_cases(data["volumes"], class_names=list("abcd")).datalist.class_names == list("abcd")


def test_slices_of_a_volume_stay_on_one_side(data):
    """The test is drawn over volumes, not over slices, although nothing but names tells them apart."""
    datalist = find_cases(data["grey"]).datalist
    assert datalist.class_names[1] == "ground_glass"
    assert len(datalist.test) == len(datalist.labeled) == 3
    test, train = ({item["case"][:9] for item in side} for side in (datalist.test, datalist.labeled))
    assert len(test) == 1 and not test & train
    assert any("taken from the names" in note for note in datalist.notes)
    alone = find_cases(data["grey"], group_pattern=".+").datalist
    assert len({item["group"] for item in (*alone.test, *alone.labeled, *alone.unlabeled)}) == 12


def test_pairs_with_a_list_and_with_a_table_of_patients(data, tmp_path):
    root = write_pairs(tmp_path / "here" / "data", {"a": [1], "b": [2], "c": [1, 2]}, bare=["d"])
    drawn = find_cases(tmp_path / "here").datalist
    assert (len(drawn.labeled), len(drawn.unlabeled), len(drawn.test)) == (2, 1, 1)
    (root / "names.txt").write_text("b\nc\n", encoding="utf-8")
    named = find_cases(root, test_list=str(root / "names.txt"))
    assert [item["case"] for item in named.datalist.test] == ["b", "c"]
    (root / "dataset.json").write_text(
        json.dumps({"patients": {"a": "1", "b": "2", "c": "2", "d": "3"}}), encoding="utf-8"
    )
    listed = find_cases(root).datalist
    assert [item["group"] for item in listed.labeled + listed.unlabeled + listed.test].count("2") in (0, 2)
    (root / "test.txt").write_text("a\n", encoding="utf-8")
    assert [item["case"] for item in find_cases(root).datalist.test] == ["a"]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([[0, 1], [1]], ["background", "label_1"]),
        ([[0, 255], [255]], ["background", "label_1"]),
        ([[0, 1], [255]], ["background", "label_1"]),
        ([[1], [2]], ["background", "label_1", "label_2"]),
    ],
)
def test_classes_from_label_values(values, names, tmp_path):
    root = write_pairs(tmp_path / "data", dict(zip("ab", values, strict=True)))
    found = find_cases(root)
    assert found.datalist.class_names == names
    held = {value for each in values for value in each}
    assert ("1 and 255, of which no file holds both" in found.choices[0].why) == ({1, 255} <= held)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            [[1, 255], [2]],
            r"a.png: holds the label value 255, and all label files hold 0, 1, 2 and 255: name the values",
        ),
        ([[*range(1, 40)], [*range(40, 90)]], "b.png: holds the label value 89"),
        ([[0, 255], [0, 1, 2, 255]], "a.png: holds the label value 255, and all label files hold 0, 1, 2 and 255"),
        ([[0, 255], [0, 90, 180, 255]], "b.png: holds 4 label values, as a mask that was scaled"),
        ([[0, 255], [*range(256)]], "b.png: holds 64 label values, as a mask that was scaled"),
        ([[0], [0]], "holds label files that are 0 everywhere"),
    ],
)
def test_values_that_are_no_classes(values, says, tmp_path):
    root = write_pairs(tmp_path / "data", dict(zip("ab", values, strict=True)))
    with pytest.raises(InputError, match=says):
        find_cases(root)


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (
            {"a": [1, 2], "b": [2, 1], "c": [255]},
            "c.png: is the only label file with the value 255, the others hold 0, 1 and 2: save it again with these "
            "values, or name the values that are classes, the background first: "
            "--labels 0=background,1=NAME,2=NAME,255=NAME",
        ),
        (
            {"a": [255], "b": [1, 255], "c": [1, 2], "d": [1, 2], "e": [1, 2]},
            "a.png: is one of 2 label files (a.png, b.png) with the value 255, the others hold 0, 1 and 2: "
            "save them again with these values, or",
        ),
        ({"a": [255, 1], "b": [2, 1]}, "a.png: holds the label value 255, and all label files hold 0, 1, 2 and 255"),
        ({"a": [*range(1, 40)], "b": [*range(40, 90)]}, ",10=NAME,11=NAME,..."),
    ],
)
def test_a_value_that_few_files_hold_is_told_with_them(held, says, tmp_path):
    with pytest.raises(InputError) as failure:
        find_cases(write_pairs(tmp_path / "data", held))
    assert says in str(failure.value)


def test_a_file_of_other_values_is_not_answered_with_a_list_that_refuses_the_others(tmp_path):
    """What `new` proposes is taken; and who leaves a value out is not sent to leave out others."""
    root = write_pairs(tmp_path / "data", {"a": [1, 2], "b": [2, 1], "c": [255]})
    listed = {item["case"]: item for item in find_cases(root, labels="0=no,1=x,2=y", test_list="none").datalist.labeled}
    with pytest.raises(InputError, match=r"is which class in all files \(labels 0=background,255=NAME,\.\.\.\)"):
        load_case(listed["c"], 3)
    with pytest.raises(InputError) as failure:
        find_cases(root)
    proposed = failure.value.remedy.partition("--labels ")[2]
    names = ["background", "x", "y", "z"]
    for name in names[1:]:
        proposed = proposed.replace("NAME", name, 1)
    for item in find_cases(root, labels=proposed, test_list="none").datalist.labeled:
        assert load_case(item, len(names)).label is not None


@pytest.mark.parametrize(
    ("held", "odd"),
    [
        ({"a": [1, 2], "b": [1, 2], "c": [127, 254]}, "c.png holds 127 and 254 and none of 1 and 2, which the others"),
        ({"a": [1, 2], "b": [1, 2], "c": [1, 7]}, None),  # a rare class
        ({"a": [1], "b": [2], "c": [7]}, None),  # one organ in each
        ({"a": [1, 2], "c": [127, 254]}, None),  # which of the two?
    ],
)
def test_a_mask_that_may_have_been_scaled_is_told(held, odd, tmp_path):
    warnings = find_cases(write_pairs(tmp_path / "data", held, bare=["d"]), test_list="none").warnings
    assert [odd in warning for warning in warnings if "scaled" in warning] == ([True] if odd else [])


def test_a_value_that_no_mask_can_have_is_in_no_proposal(tmp_path):
    labels = []
    for name, value in (("a", -1), ("b", -1), ("c", 1)):
        labels.append(tmp_path / f"{name}.nii.gz")
        nib.save(nib.Nifti1Image(np.array([[[0, value]]], np.int16), np.eye(4)), labels[-1])
    with pytest.raises(InputError, match=r"value -1, and all .*: save it again with whole numbers from 0 to 65535$"):
        classes_from_values(labels)
    shutil.copy(labels[2], labels[0])
    with pytest.raises(InputError, match=r"b.nii.gz: .* -1, the others hold 0 and 1: save it again with these values$"):
        classes_from_values(labels)


@pytest.mark.parametrize(
    ("labels", "names", "values"),
    [
        (None, ["background", "label_3", "label_7"], "0 3 7"),
        ("0=none, 7=big cyst, 3=cyst", ["none", "big_cyst", "cyst"], "0 7 3"),
        ("0=none,3=cyst,7=tumour,9=never", ["none", "cyst", "tumour", "never"], "0 3 7 9"),
    ],
)
def test_values_with_gaps_become_classes_with_a_table(labels, names, values, tmp_path):
    root = write_pairs(tmp_path / "data", {"a": [3], "b": [7, 3], "c": [7]}, bare=["d"])
    found = find_cases(root, labels=labels)
    assert found.datalist.class_names == names
    assert found.datalist.label_values() == [int(value) for value in values.split()]
    shown = found.choices[0].value.split(", ")
    assert shown == [f"{value} {name}" for value, name in zip(values.split(), names, strict=True)]
    (item,) = (item for item in (*found.datalist.labeled, *found.datalist.test) if item["case"] == "b")
    label = load_case(item, len(names)).label
    assert label.flat[0] == values.split().index("7") and label.flat[1] == values.split().index("3")
    found.datalist.to_json(tmp_path / "list.json", root)
    assert Datalist.from_json(tmp_path / "list.json", root) == found.datalist


@pytest.mark.parametrize("layout", ["pairs", "nnunet"])
@pytest.mark.parametrize(
    ("labels", "names", "values"),
    [
        (None, ["background", "cyst", "tumour"], [0, 3, 7]),
        ("0=none,7=big,3=small", ["none", "big", "small"], [0, 7, 3]),
    ],
)
def test_values_with_gaps_in_dataset_json_become_classes_and_labels_win(layout, labels, names, values, tmp_path):
    root = write_pairs(tmp_path / "data", {"a": [3], "b": [7, 3], "c": [7]}, bare=["d"])
    (root / "labels" / "a.json").write_text(
        json.dumps({"labelled_classes": [names[values.index(3)]]}), encoding="utf-8"
    )
    if layout == "nnunet":
        (root / "images").rename(root / "imagesTr")
        (root / "labels").rename(root / "labelsTr")
    written = {"labels": {"background": 0, "tumour": 7, "cyst": 3}}
    (root / "dataset.json").write_text(json.dumps(written), encoding="utf-8")
    datalist = find_cases(root, labels=labels, test_list="none").datalist
    assert datalist.class_names == names and datalist.label_values() == values
    items = {item["case"]: item for item in datalist.labeled}
    assert items["a"]["labelled_classes"] == [values.index(3)]
    label = load_case(items["b"], len(names)).label
    assert [values[number] for number in label.flat[:3]] == [7, 3, 0]


def test_an_empty_folder_of_images_is_called_empty(tmp_path):
    for names in (("images", "labels"), ("imagesTr", "labelsTr")):
        for name in names:
            (tmp_path / names[0] / "data" / name).mkdir(parents=True)
        with pytest.raises(InputError, match=rf"{names[0]}: is empty: put the images there"):
            find_cases(tmp_path / names[0])


def test_labels_that_leave_a_value_out_or_contradict_are_refused(tmp_path):
    root = write_pairs(tmp_path / "data", {"a": [3], "b": [7]})
    item = find_cases(root, labels="0=none,7=cyst", test_list="none").datalist.labeled[0]
    with pytest.raises(InputError, match=r"a.png: holds the label value 3, which is no class: use 0, 7"):
        load_case(item, 2)
    for wrong in ("0=none", "0=none,0=cyst", "0=none,1=none", "none,cyst", "0=none,-1=cyst"):
        with pytest.raises(InputError, match="--labels: is"):
            find_cases(root, labels=wrong)
    with pytest.raises(InputError, match="--labels: says what --class_names say as well"):
        find_cases(root, ["none", "cyst"], labels="0=none,7=cyst")


def test_all_labels_of_other_names_than_their_images_are_told(tmp_path):
    root = write_pairs(tmp_path / "data", {f"case{number}": [1] for number in range(4)})
    for path in sorted((root / "labels").iterdir())[1:]:
        path.rename(path.with_name(f"{path.stem}_seg{path.suffix}"))
    with pytest.raises(InputError) as failure:
        find_cases(root)
    assert "rename case1_seg to case1, case2_seg to case2, case3_seg to case3, or" in failure.value.remedy


@pytest.mark.parametrize(
    ("values", "labels", "says"),
    [
        ([0, 255], None, "masks will hold 0 and 1"),
        ([0, 1], None, "masks will hold 0 and 1"),
        ([0, 127, 255], "0=background,127=iris,255=pupil", "masks will hold 0, 127 and 255"),
        ([0, 3, 7], None, "masks will hold 0, 3 and 7"),
        ([0, 1, 2], None, "masks will hold 0, 1 and 2"),
    ],
)
def test_it_is_always_said_which_values_masks_will_hold(tmp_path, values, labels, says):
    root = write_pairs(tmp_path / "data", dict.fromkeys("abc", values))
    assert find_cases(root, labels=labels).choices[0].why.endswith(says)


def test_files_in_sub_folders_are_told(tmp_path):
    root = write_pairs(tmp_path / "data", {name: [1] for name in "abcd"})
    assert not any("sub-folders" in note for note in find_cases(root).datalist.notes)
    for name in ("images", "labels"):
        ending = next((root / name).iterdir()).name.partition(".")[2]
        (root / name / "more").mkdir()
        (root / name / f"d.{ending}").rename(root / name / "more" / f"d.{ending}")
        (root / name / "more" / "notes.txt").touch()
    notes = [note for note in find_cases(root).datalist.notes if "sub-folders" in note]
    assert notes == [
        f"1 file of {name} is left out (in sub-folders: to use them, put them into {name} itself; "
        f"1 .{ending}): d.{ending}"
        for name in ("images", "labels")
    ]
    for path in [*(root / "labels").glob("*.*")]:
        path.rename(root / "labels" / "more" / path.name)
    with pytest.raises(InputError, match=r"holds label files in sub-folders only \(4\): put all into one folder"):
        find_cases(root)


def test_class_names_make_gaps_plain(tmp_path):
    root = write_pairs(tmp_path / "data", {"a": [1], "b": [3]})
    assert find_cases(root, class_names=list("wxyz")).datalist.class_names == list("wxyz")


@pytest.mark.parametrize(
    ("folders", "says"),
    [
        ((), "there is no folder in it"),
        (("images", "masks"), "there is images, and no labels: is it masks"),
        (("p1", "p2"), "there are the folders p1, p2"),
        (("images",), "there is the folder images"),
    ],
)
def test_an_unknown_layout_is_told_with_what_is_there(tmp_path, folders, says):
    for name in folders:
        (tmp_path / "data" / name).mkdir(parents=True)
    (tmp_path / "data").mkdir(exist_ok=True)
    with pytest.raises(InputError) as failure:
        find_cases(tmp_path / "data")
    assert says in failure.value.remedy


def test_folders_of_no_known_or_of_two_layouts(data, tmp_path):
    with pytest.raises(InputError, match="is not laid out as a data set: give imagesTr and labelsTr"):
        find_cases(tmp_path)
    root = write_pairs(tmp_path / "data", {"a": [1], "b": [1]})
    (root / "imagesTr").mkdir()
    with pytest.raises(InputError, match="holds both imagesTr and images"):
        find_cases(root)


def test_a_guess_does_not_stand_over_a_split_that_is_given(tmp_path):
    root = write_pairs(tmp_path / "data", {name: [1] for name in ("a_left", "a_right", "b_left", "b_right")})
    drawn = find_cases(root).datalist
    assert {item["group"] for item in drawn.test} in ({"a"}, {"b"})
    (root / "test.txt").write_text("a_left\n", encoding="utf-8")
    datalist = find_cases(root).datalist
    assert [item["case"] for item in datalist.test] == ["a_left"]
    assert any("as if 1 patient were on both sides of the split: a" in note for note in datalist.notes)
    with pytest.raises(InputError, match="on two sides of the split"):
        find_cases(root, group_pattern="^(.)_")


def test_a_patients_number_at_the_beginning_is_taken():
    names = [f"p{number:02}_s{scan:04}" for number in (8, 9) for scan in (854, 855)]
    pattern, told = guess_patients(names)
    assert [re.search(pattern, name).group(1) for name in names] == ["p08", "p08", "p09", "p09"]
    assert told == "names begin with a patient's number"
    pattern, _ = guess_patients(
        ["patient001_frame01_slice_1", "patient001_frame12_slice_1", "patient002_frame01_slice_1"]
    )
    assert re.search(pattern, "patient001_frame12_slice_1").group(1) == "patient001"


@pytest.mark.parametrize(
    "names",
    [
        "p01_left p01_right child03_left child03_right",
        "p01_s5 p01_s7 eye03_left eye03_right",
        "eye1_left_slice_1 eye1_left_slice_2 eye1_right_slice_1 eye2_left_slice_1",
        "child 1 scan 1|child 1 scan 2|child 2 scan 1",
    ],
)
def test_no_patient_of_a_folder_with_several_kinds_of_names_is_split(names):
    """The patient is the first number of each name here, whatever the rest."""
    cases = names.split("|") if "|" in names else names.split()
    pattern, _ = guess_patients(cases)
    found = {case: re.search(pattern, case).group(1) for case in cases}
    truth = {case: re.search(r"\D+\d+", case).group() for case in cases}
    assert found == truth


def groups_of(folder, names, **settings):
    found = find_cases(write_pairs(folder, {name: [1] for name in names}), **settings)
    return {item["case"]: item["group"] for side in SIDES for item in getattr(found.datalist, side)}


def test_names_of_patients_that_differ_in_case_alone_are_one(tmp_path):
    groups = groups_of(tmp_path / "sides", ["Anna_left", "anna_right", "bo_left", "BO_right", "cy_left", "cy_right"])
    assert {name: group for name, group in groups.items() if group == "anna"}.keys() == {"Anna_left", "anna_right"}
    assert len(set(groups.values())) == 3
    groups = groups_of(tmp_path / "joined by case alone", ["a_Left", "a_left", "b_left", "c_right", "d_left"])
    assert groups["a_Left"] == groups["a_left"] and len(set(groups.values())) == 4


def test_beginnings_that_differ_in_case_alone_are_not_split_in_silence(tmp_path):
    names = ["Anna_1", "anna_2", "Bo_1", "Bo_2", "cy_1", "cy_2"]
    root = write_pairs(tmp_path / "data", {name: [1] for name in names})
    (root / "test.txt").write_text("Anna_1\n", encoding="utf-8")
    warning = find_cases(root).warnings[0]
    assert "are on both sides of the split" in warning
    with pytest.raises(InputError, match="on two sides of the split"):
        find_cases(root, group_pattern=re.search("--group_pattern '(.+)'", warning)[1])


def test_beginnings_that_may_be_patients_are_never_split_in_silence(tmp_path):
    root = write_pairs(tmp_path / "data", {f"{name}_{scan}": [1] for name in ("anna", "bo", "cy") for scan in range(2)})
    (root / "test.txt").write_text("anna_0\n", encoding="utf-8")
    found = find_cases(root)
    warning = found.warnings[0]
    assert "(anna) are on both sides of the split, such as anna_1, anna_0" in warning
    pattern = re.search("--group_pattern '(.+)'", warning)[1]
    with pytest.raises(InputError, match="on two sides of the split"):
        find_cases(root, group_pattern=pattern)
    (root / "test.txt").write_text("anna_0\nanna_1\n", encoding="utf-8")
    found = find_cases(root)
    assert not any("both sides" in told for told in found.warnings) and "--group_pattern" in found.choices[1].why
    assert {item["group"] for item in find_cases(root, group_pattern=pattern).datalist.test} == {"anna"}


def test_all_labels_can_be_trained_on_and_a_test_of_few_is_called_an_example(tmp_path, data):
    root = write_pairs(tmp_path / "data", {name: [1] for name in "abcdef"})
    assert find_cases(root).warnings[-1].startswith("the test is 1 case: its figures are an example, no measurement")
    found = find_cases(root, test_list="none")
    assert (len(found.datalist.labeled), found.datalist.test, found.warnings) == (6, [], [])
    (root / "test.txt").write_text("a\nb\nc\n", encoding="utf-8")
    assert find_cases(root).warnings == []
    assert find_cases(root, test_list="none").datalist.test == []
    assert len(find_cases(data["volumes"], test_list="none").datalist.labeled) == 3
    assert find_cases(data["grey"]).warnings[-1].startswith("the test is 1 patient:")


def test_names_that_tell_nothing_are_left_alone():
    for names in (["a", "b"], ["case_001", "case_002"], ["sub-l", "sub-r"], ["eye_l", "eye_r"]):
        assert guess_patients(names) is None
    pattern, _ = guess_patients(["Image_01L", "Image_01R", "Image_02L"])
    assert pattern


def test_a_class_without_a_name_is_refused(tmp_path):
    root = write_pairs(tmp_path / "data", {"a": [1], "b": [1, 2], "c": [2]})
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "?": 1, "b": 2}}), encoding="utf-8")
    with pytest.raises(InputError, match=r"class names are \['background', '', 'b'\]: give two or more diff"):
        find_cases(root)


@pytest.mark.parametrize(
    "names",
    [
        ["a_left_z1", "a_right_z1", "b_left_z1", "b_right_z1"],
        ["b_left_z1", "b_right_z1", "a_left", "a_right"],
        ["a_z1_left", "a_z1_right", "b_z1_left", "b_z2_right"],
        ["a_z1_left", "a_right_z1", "b_left", "b_z2"],
        ["07R_left", "07R_right_z1", "07R_right_z2", "08_left", "08_right"],
        ["K_R_left", "K_R_right_z1", "K_R_right_z2", "M_left", "M_right"],
        ["p1_a_left_z1", "p1_a_left_z2", "p1_a_right_z1", "p1_b_left_z1", "p1_b_left_z2"],
    ],
)
def test_rules_that_join_only_together_keep_sides_together(names):
    found = guess_patients(names)
    assert found is not None
    groups = [re.search(found[0], name).group(1) for name in names]
    assert len(set(groups)) == 2
    assert len({group for name, group in zip(names, groups, strict=True) if "left" in name}) == 2
