"""Truth of unlabelled cases: known to who asks for it, and to nobody else."""

import itertools
import json
from dataclasses import replace

import pytest

from monai_supmix.data import hidden_truth
from monai_supmix.datalists.build import build_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.fingerprint import fingerprint
from monai_supmix.datalists.items import SIDES
from monai_supmix.errors import InputError

CLASSES = ["background", "vessel"]


@pytest.fixture
def datalist(tmp_path):
    """Six patients with two images each, one of them labelled for training, two without any label file."""
    items = []
    for group in "abcdef":
        for eye in "LR":
            case = group + eye
            (tmp_path / f"{case}.png").touch()
            item = {"image": str(tmp_path / f"{case}.png"), "case": case, "group": group}
            if group != "f":
                (tmp_path / f"{case}_m.png").touch()
                item["label"] = str(tmp_path / f"{case}_m.png")
            items.append(item)
    test = [{**items[0], "case": "t", "group": "t", "image": str(tmp_path / "t.png")}]
    (tmp_path / "t.png").touch()
    return build_datalist(items, test, CLASSES, "here", num_labeled=1)


def test_the_label_files_of_unlabelled_cases_are_known_and_in_no_item(datalist):
    assert all("label" not in item for item in datalist.unlabeled)
    labelled = datalist.labeled[0]["case"]
    assert datalist.hidden_labels.keys() == {c + e for c in "abcde" for e in "LR"} - {labelled}
    everyone = replace(datalist, unlabeled=[*datalist.unlabeled, {**datalist.labeled[0]}])
    assert labelled not in {item["case"] for item in hidden_truth(everyone, 99)}


def test_a_pick_is_spread_over_patients_and_a_part_of_a_larger_one(datalist):
    picks = [[item["case"] for item in hidden_truth(datalist, count)] for count in range(11)]
    assert [len(pick) for pick in picks] == [*range(10), 9]
    assert all(larger[: len(smaller)] == smaller for smaller, larger in itertools.pairwise(picks))
    assert len({case[0] for case in picks[5]}) == 5
    for item in hidden_truth(datalist, 9):
        assert item["label"] == datalist.hidden_labels[item["case"]]
        assert {k: v for k, v in item.items() if k != "label"} in datalist.unlabeled


def test_only_files_that_exist_and_cases_that_are_still_used_are_picked(datalist, tmp_path):
    (case, *_) = datalist.hidden_labels
    (tmp_path / f"{case}_m.png").unlink()
    assert case not in {item["case"] for item in hidden_truth(datalist, 9)}
    assert hidden_truth(replace(datalist, unlabeled=[]), 9) == []
    assert hidden_truth(replace(datalist, hidden_labels={}), 9) == []


def test_what_is_trained_is_the_same_with_and_without_them(datalist):
    bare = replace(datalist, hidden_labels={})
    assert bare == datalist
    assert fingerprint(bare) == fingerprint(datalist)


def test_a_file_keeps_them(datalist, tmp_path):
    datalist.to_json(tmp_path / "list.json")
    assert Datalist.from_json(tmp_path / "list.json").hidden_labels == datalist.hidden_labels
    record = json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))
    assert all("label" not in item for item in record["unlabeled"])
    assert all(not label.startswith("/") for label in record["hidden_labels"].values())
    for wrong in ([], {"a": 1}):
        (tmp_path / "wrong.json").write_text(json.dumps(record | {"hidden_labels": wrong}), encoding="utf-8")
        with pytest.raises(InputError, match=r"wrong\.json: its 'hidden_labels'"):
            Datalist.from_json(tmp_path / "wrong.json")
    (tmp_path / "old.json").write_text(
        json.dumps({k: v for k, v in record.items() if k in (*SIDES, "class_names")}), encoding="utf-8"
    )
    assert Datalist.from_json(tmp_path / "old.json").hidden_labels == {}
