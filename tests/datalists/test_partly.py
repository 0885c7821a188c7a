"""Which classes were labelled: read from datalists and files beside masks, checked against the masks, and told."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_supmix.data import check_cases, listed_datalist, load_case, nnunet_datalist
from monai_supmix.datalists.build import build_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.fingerprint import fingerprint
from monai_supmix.datalists.folders import left_out_of_pairs, pair_files
from monai_supmix.datalists.partly import KEY, numbered, read_sidecar
from monai_supmix.datalists.survey import survey_datalist
from monai_supmix.errors import InputError

NAMES = ["background", "disc", "cup", "vessel"]


def write(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values, np.uint8)).save(path)


def make_items(folder, known=None):
    """Four pictures with masks of discs; ``known`` are the labelled classes of the first."""
    items = []
    for number, case in enumerate("abcd"):
        write(folder / f"images/{case}.png", [[0, 9, number, 50]])
        write(folder / f"labels/{case}.png", [[0, 1, 1, 0]])
        paths = {"image": str(folder / f"images/{case}.png"), "label": str(folder / f"labels/{case}.png")}
        items.append({**paths, "case": case, "group": case})
    if known is not None:
        items[0]["labelled_classes"] = known
    return items


@pytest.mark.parametrize(
    ("known", "read"),
    [
        *((["disc"], [1]), (["cup", "disc"], [1, 2]), ([3, "disc", 1], [1, 3]), (["background", "disc"], [1])),
        (["Disc "], [1]),  # as people write, and as `dataset.json` may have it
    ],
)
def test_names_and_numbers_become_numbers_that_a_file_keeps(tmp_path, known, read):
    datalist = build_datalist(make_items(tmp_path, known)[:3], make_items(tmp_path)[3:], NAMES, "here", num_labeled=3)
    assert [item.get("labelled_classes") for item in datalist.labeled if item["case"] == "a"] == [read]
    datalist.to_json(tmp_path / "list.json")
    assert Datalist.from_json(tmp_path / "list.json") == datalist
    drawn = listed_datalist(tmp_path, tmp_path / "list.json", unlabeled_pool="all")
    assert next(item for item in drawn.labeled if "labelled_classes" in item)["labelled_classes"] == read
    assert not any("labelled_classes" in item for item in drawn.unlabeled)


@pytest.mark.parametrize(
    ("listed", "beside", "read"),
    [(None, ["disc"], [1]), (["disc"], [1], [1]), (None, NAMES, None), ([2], ["disc"], "cup"), ([1], NAMES, "disc")],
)
def test_what_a_file_beside_a_mask_says_later_is_read_with_the_list(tmp_path, listed, beside, read):
    items = make_items(tmp_path, listed)
    build_datalist(items[:3], items[3:], NAMES, "here").to_json(tmp_path / "list.json")
    (tmp_path / "labels/a.json").write_text(json.dumps({"labelled_classes": beside}), encoding="utf-8")
    if isinstance(read, str):
        with pytest.raises(InputError, match=rf"a.json: names other labelled_classes than .* has {read}: make them"):
            Datalist.from_json(tmp_path / "list.json")
        return
    for datalist in (Datalist.from_json(tmp_path / "list.json"), listed_datalist(tmp_path, tmp_path / "list.json")):
        assert {item["case"]: item.get("labelled_classes") for item in datalist.labeled} == {
            "a": read,
            "b": None,
            "c": None,
        }


def test_a_hidden_label_that_is_partly_labelled_by_now_is_no_truth(tmp_path):
    items = make_items(tmp_path)
    build_datalist(items, [], NAMES, "here", labeled_list=["a"]).to_json(tmp_path / "list.json")
    for case, classes in {"b": ["disc"], "c": NAMES}.items():
        (tmp_path / f"labels/{case}.json").write_text(json.dumps({"labelled_classes": classes}), encoding="utf-8")
    assert sorted(Datalist.from_json(tmp_path / "list.json").hidden_labels) == ["c", "d"]


def test_the_record_of_a_predicted_mask_is_about_other_things(tmp_path):
    make_items(tmp_path)
    (tmp_path / "labels/a.json").write_text('{"label_values": [0, 5]}', encoding="utf-8")
    assert not any("labelled_classes" in item for item in pair_files(tmp_path))


def test_a_list_of_all_classes_says_nothing(tmp_path):
    made = [build_datalist(make_items(tmp_path, known), [], NAMES, "here") for known in (None, NAMES, NAMES[1:])]
    assert made[0] == made[1] == made[2]


def test_a_spelling_that_two_classes_share_is_of_neither():
    item = {"case": "a", "label": "a.png", "labelled_classes": ["left eye"]}
    with pytest.raises(InputError, match="'left eye', which is no class"):
        numbered([item], ["background", "left_eye", "left-eye"], "here")


@pytest.mark.parametrize(
    ("known", "words"),
    [
        (
            ["cap"],
            r"a lists the labelled class 'cap', which is no class: use disc, cup, vessel, or numbers from 1 to 3",
        ),
        ([4], "labelled class 4, which is no class"),
        ([True], "labelled class True, which is no class"),
        ([], "a has no labelled class: name one, or leave out its label"),
        (["background"], "no labelled class"),
        ("disc", "labelled_classes='disc'"),
    ],
)
def test_what_is_no_list_of_classes_is_refused(tmp_path, known, words):
    items = make_items(tmp_path, known)
    with pytest.raises(InputError, match=words):
        build_datalist(items, [], NAMES, "here")
    record = {"labeled": items, "unlabeled": [], "validation": [], "test": [], "class_names": NAMES}
    (tmp_path / "list.json").write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError, match=r"list.json: a (has|lists) "):
        Datalist.from_json(tmp_path / "list.json")


def test_a_mask_that_shows_a_class_which_is_not_labelled_is_refused(tmp_path):
    (item, *_) = build_datalist(make_items(tmp_path, ["cup"]), [], NAMES, "here").labeled
    with pytest.raises(InputError, match=r"a.png: shows class 1, which its labelled_classes leave out"):
        load_case(item, 4)
    (problem,) = check_cases([item], 4)
    assert problem.case == "a"


def test_cases_and_the_classes_that_they_lack_are_counted_and_belong_to_the_data_of_a_run(tmp_path):
    plain, partly = (build_datalist(make_items(tmp_path, k), [], NAMES, "here") for k in (None, ["disc"]))
    told = "1 of 4 partly labelled: 1 lacks cup, 1 lacks vessel"
    assert partly.describe()[0].endswith(told) and "partly" not in plain.describe()[0]
    assert fingerprint(plain) != fingerprint(partly)


def test_a_class_is_rare_only_where_it_is_labelled(tmp_path):
    items = []
    for case, cup in (("a", 1), ("b", 0)):
        values = np.zeros((40, 40))
        values[:20] = 1
        values[-1, :3] = 2 * cup  # 3 in 1600: less than 1 in 500
        write(tmp_path / f"images/{case}.png", values + ord(case))
        write(tmp_path / f"labels/{case}.png", values)
        paths = {"image": str(tmp_path / f"images/{case}.png"), "label": str(tmp_path / f"labels/{case}.png")}
        items.append({**paths, "case": case, "group": case})
    share = lambda items: next(w for w in survey_datalist(build_datalist(items, [], NAMES, "x")).warnings if "cup" in w)  # noqa: E731
    assert "cup (0.094 %)" in share(items)
    items[1]["labelled_classes"] = ["disc"]
    assert "cup (0.19 %)" in share(items)


def test_a_file_beside_a_mask_says_it_in_both_folder_layouts(tmp_path):
    make_items(tmp_path)
    (tmp_path / "labels/b.json").write_text('{"labelled_classes": ["disc", "vessel"]}', encoding="utf-8")
    found = {item["case"]: item.get("labelled_classes") for item in pair_files(tmp_path)}
    assert found == {"a": None, "b": ["disc", "vessel"], "c": None, "d": None}
    assert left_out_of_pairs(tmp_path) == []
    (tmp_path / "images/c.json").write_text("{}", encoding="utf-8")  # there it is of no use
    assert "c.json" in left_out_of_pairs(tmp_path)[0]

    root = tmp_path / "nnunet"
    for old, new in (("images", "imagesTr"), ("labels", "labelsTr")):
        (root / new).mkdir(parents=True)
        for path in sorted((tmp_path / old).iterdir()):
            path.rename(root / new / path.name)
    record = {"labels": {name: number for number, name in enumerate(NAMES)}}
    (root / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    datalist = nnunet_datalist(root, test_list=["a"])
    assert {i["case"]: i.get("labelled_classes") for i in datalist.labeled} == {"b": [1, 3], "c": None, "d": None}
    (root / "labelsTr/b.json").write_text('{"labeled_classes": ["disc"]}', encoding="utf-8")
    with pytest.raises(InputError, match=r"b.json: has the key 'labeled_classes': write 'labelled_classes'"):
        nnunet_datalist(root, test_list=["a"])
    (root / "labelsTr/b.json").write_text('{"weights_sha256": "of a predicted mask"}', encoding="utf-8")
    assert "labelled_classes" not in nnunet_datalist(root, test_list=["a"]).labeled[0]
    (root / "labelsTr/b.json").write_text('{"labelled_classes": ["dics"]}', encoding="utf-8")
    with pytest.raises(InputError, match="b lists the labelled class 'dics'"):
        nnunet_datalist(root, test_list=["a"])


@pytest.mark.parametrize("version", [1, 2])
def test_pixels_of_nnunets_label_ignore_are_ignored(tmp_path, version):
    for case, value in (("a", 2), ("b", 0)):
        write(tmp_path / f"imagesTr/{case}_0000.png", [[ord(case), 2, 3]])
        write(tmp_path / f"labelsTr/{case}.png", [[0, 1, value]])
    labels = {"background": 0, "disc": 1, "ignore": 2}
    labels = labels if version == 2 else {str(value): name for name, value in labels.items()}
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}), encoding="utf-8")
    datalist = nnunet_datalist(tmp_path, test_list=["b"])
    assert datalist.class_names == ["background", "disc"]
    assert load_case(datalist.labeled[0], 2).label.tolist() == [[0, 1, 255]]
    assert survey_datalist(datalist).errors == []
    labels = {
        name: 1 if name == "ignore" else value for name, value in {"background": 0, "disc": 1, "ignore": 2}.items()
    }
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": labels}), encoding="utf-8")
    with pytest.raises(InputError, match="label 'ignore' has the value 1"):
        nnunet_datalist(tmp_path, test_list=["b"])


def test_a_list_of_slices_in_single_files_can_be_read_again(tmp_path):
    h5py = pytest.importorskip("h5py")
    for number in (1, 2):
        with h5py.File(tmp_path / f"p_slice_{number}.h5", "w") as file:
            file["image"], file["label"] = np.zeros((4, 4), np.float32), np.zeros((4, 4), np.uint8)
    pattern = str(tmp_path / "p_slice_*.h5")
    item = {"image": pattern, "label": pattern, "case": "p", "group": "p"}
    datalist = build_datalist([item], [], NAMES, "here")
    datalist.to_json(tmp_path / "list.json")
    assert Datalist.from_json(tmp_path / "list.json") == datalist
    Path(tmp_path / "p_slice_1.h5").unlink()
    Path(tmp_path / "p_slice_2.h5").unlink()
    with pytest.raises(InputError, match="1 missing files"):
        Datalist.from_json(tmp_path / "list.json")


@pytest.mark.parametrize("layout", ["pairs", "nnunet"])
def test_a_file_that_tells_classes_beside_no_mask_is_refused(tmp_path, layout):
    """Its case would pass for a fully labelled one, and what is missing from its mask for background."""
    make_items(tmp_path)
    labels, make = tmp_path / "labels", pair_files
    if layout == "nnunet":
        (tmp_path / "images").rename(tmp_path / "imagesTr")
        labels, make = (tmp_path / "labels").rename(tmp_path / "labelsTr"), nnunet_datalist
        record = {"labels": {name: number for number, name in enumerate(NAMES)}}
        (tmp_path / "dataset.json").write_text(json.dumps(record), encoding="utf-8")
    for key in ("labelled_classes", "labeled_classes"):
        (labels / "bb.json").write_text(json.dumps({key: ["disc"]}), encoding="utf-8")
        with pytest.raises(InputError, match=r"bb.json: tells labelled_classes, .*such as b.json, or remove it"):
            make(tmp_path)
    for other in ('{"weights_sha256": "of a predicted mask"}', "no JSON", "[1]"):
        (labels / "bb.json").write_text(other, encoding="utf-8")
        make(tmp_path)
    (labels / "bb.json").rename(labels / "b.json").write_text('{"labelled_classes": ["disc"]}', encoding="utf-8")
    make(tmp_path)


@pytest.mark.parametrize("text", ["[1, 2]", "{"])
def test_a_file_beside_a_mask_that_is_no_json_object_is_told_what_it_is_for(text, tmp_path):
    label = tmp_path / "a.png"
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        InputError, match=r'a.json: is not .* a file of this name says .* in a.png: write {"labelled_cl'
    ):
        read_sidecar(label)


def test_a_list_without_a_class_to_label_is_a_mistake_of_its_own():
    item = {"case": "a", "label": "a.png", KEY: ["x"]}
    with pytest.raises(InputError, match="'x', which is no class"):
        numbered([item], ["background"], "list.json")
