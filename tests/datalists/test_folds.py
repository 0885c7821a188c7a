"""Folds of labelled cases: every case judged once, by a training that saw nothing of its patient."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.folds import fold_datalists, split_groups
from monai_supmix.errors import InputError

CLASSES = ["background", "vessel"]


def item(case, group, labelled=True):
    label = {"label": f"{case}_mask.png"} if labelled else {}
    return {"image": f"{case}.png", "case": case, "group": group, **label}


@st.composite
def datalists(draw):
    """Some patients with one to four labelled images, some with unlabelled ones, one in the test."""
    labelled = draw(st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 4), min_size=2))
    pool = draw(st.lists(st.sampled_from("abcdefghxyz"), max_size=8))
    everything = [item(f"{group}{n}", group) for group, count in labelled.items() for n in range(count)]
    unlabelled = [item(f"u{n}", group, labelled=False) for n, group in enumerate(pool)]
    if draw(st.booleans()):  # unlabeled_pool="all"
        unlabelled += [{k: v for k, v in one.items() if k != "label"} for one in everything]
    return Datalist(everything, unlabelled, [item("v", "v")], [item("t", "t")], CLASSES)


@given(datalists(), st.data())
def test_each_case_is_judged_once_by_a_training_that_saw_nothing_of_its_patient(datalist, data):
    groups = {one["group"] for one in datalist.labeled}
    count = data.draw(st.integers(2, len(groups)))
    folds = fold_datalists(datalist, count)
    assert len(folds) == count and all(fold.test for fold in folds)
    judged = [one["case"] for fold in folds for one in fold.test]
    assert sorted(judged) == sorted(one["case"] for one in datalist.labeled)
    for fold in folds:
        held = {one["group"] for one in fold.test}
        assert not held & {one["group"] for one in (*fold.labeled, *fold.unlabeled)}
        assert fold.validation == datalist.validation and "t" not in {one["case"] for one in fold.labeled}
        assert fold.unlabeled == [one for one in datalist.unlabeled if one["group"] not in held]
        assert len(fold.labeled) + len(fold.test) == len(datalist.labeled)


@given(datalists())
def test_the_division_depends_on_the_groups_alone(datalist):
    assert split_groups(datalist.labeled, 2) == split_groups(datalist.labeled[::-1], 2)


def test_folds_hold_about_as_many_cases():
    sizes = {"a": 6, "b": 1, "c": 1, "d": 1, "e": 1, "f": 1, "g": 1}
    folds = split_groups([item(f"{g}{n}", g) for g, count in sizes.items() for n in range(count)], 2)
    assert sorted(sum(sizes[g] for g in fold) for fold in folds) == [6, 6]


@given(st.integers(0, 99), st.lists(st.integers(1, 3), min_size=4, max_size=9), st.integers(2, 4))
def test_a_class_that_few_cases_know_is_trained_on_in_every_fold(seed, sizes, count):
    """Two patients of many know the cup: never are both judged by a network that has not seen one."""
    names = ["background", "disc", "cup"]
    items = [
        {**item(f"{g}{n}", str(g)), "labelled_classes": [1 + (g < 2)]} for g, s in enumerate(sizes) for n in range(s)
    ]
    groups = split_groups(items, count, seed)
    assert all(groups) and not any({"0", "1"} <= fold for fold in groups)
    for fold in fold_datalists(Datalist(items, [], [], [], names), count, seed):
        assert not any("has labels of" in note for note in fold.notes)
    alone = [one for one in items if one["group"] != "0"]
    lists = fold_datalists(Datalist(alone, [], [], [], names), count if count < len(sizes) else 2, seed)
    for fold in lists:
        told = [note for note in fold.notes if note == "no case of its training has labels of cup"]
        assert bool(told) == any(one["group"] == "1" for one in fold.test)


@pytest.mark.parametrize(
    ("groups", "folds", "says"),
    [
        ("abc", 4, "and the labels are of 3 cases: give 2 to 3"),
        ("ab", 5, ": give 2"),
        ("ab", 1, "is 1,"),
        ("a", 2, "label"),
    ],
)
def test_too_many_folds_are_refused_with_the_largest_number(groups, folds, says):
    with pytest.raises(InputError) as told:
        split_groups([item(g, g) for g in groups], folds)
    assert says in str(told.value)


def test_a_fold_survives_its_file(tmp_path):
    """Also pictures that are read as grey, which a check of the files marks."""
    for name in "ab":
        for ending in (".png", "_mask.png"):
            (tmp_path / f"{name}{ending}").touch()
    items = [{**item(str(tmp_path / g), g), "case": g, "grey": 1} for g in "ab"]
    items = [{**one, "image": f"{tmp_path}/{one['case']}.png"} for one in items]
    fold = fold_datalists(Datalist(items, [], [], [], CLASSES), 2)[0]
    fold.to_json(tmp_path / "fold.json")
    assert Datalist.from_json(tmp_path / "fold.json") == fold
