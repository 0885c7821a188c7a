"""Datalists: draws, splits, checks and the JSON form."""

import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_supmix.datalists.build import build_datalist, fixed_datalist
from monai_supmix.datalists.datalist import Datalist, check_datalist, require_unlabeled
from monai_supmix.datalists.draw import draw_validation_groups, select_labeled
from monai_supmix.datalists.folds import split_groups
from monai_supmix.datalists.items import SIDES
from monai_supmix.datalists.sides import group_by_pattern, hold_out_test, split_named
from monai_supmix.errors import InputError
from monai_supmix.listing import find_data_folder, list_files, read_names

CLASSES = ["background", "vessel"]


def make_items(groups, per_group=2, label=True, folder="/data"):
    items = []
    for group in groups:
        for k in range(per_group):
            case = f"{group}{'LR'[k]}"
            item = {"image": f"{folder}/{case}.png", "case": case, "group": str(group)}
            items.append({**item, "label": f"{folder}/{case}_m.png"} if label else item)
    return items


def cases(items):
    return [item["case"] for item in items]


def groups(items):
    return {item["group"] for item in items}


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 2**31), small=st.integers(1, 8), more=st.integers(0, 8), num_val=st.integers(0, 3))
def test_draws_are_deterministic_nested_spread_over_groups_and_disjoint(seed, small, more, num_val):
    train, test = make_items("abcdefgh"), make_items("xyz")

    def draw(count):
        return build_datalist(
            train, test, CLASSES, "here", num_labeled=count, labeled_seed=seed, num_val_patients=num_val
        )

    try:
        first, larger = draw(small), draw(small + more)
    except InputError as error:
        assert "available" in str(error)
        assert small + more > 2 * (8 - num_val)
        return
    assert first == draw(small)
    assert cases(larger.labeled)[:small] == cases(first.labeled)
    assert len(groups(first.labeled)) == min(small, 8 - num_val)
    assert larger.validation == first.validation
    assert len(groups(first.validation)) == num_val
    assert len(first.validation) == 2 * num_val
    assert not (groups(first.labeled) | groups(first.unlabeled)) & groups(first.validation)
    everything = cases(first.labeled) + cases(first.unlabeled) + cases(first.validation)
    assert sorted(everything) == sorted(cases(train))
    assert all("label" not in item for item in first.unlabeled)
    assert first.test == test


def test_holding_out_validation_does_not_move_the_labelled_draw():
    items = make_items("abcdefgh")
    for seed in range(10):
        before = cases(select_labeled(items, 3, seed))
        held = draw_validation_groups(items, 3, seed)
        after = cases(select_labeled([item for item in items if item["group"] not in held], 3, seed))
        assert before == after


def test_other_seeds_draw_others():
    draws = {tuple(cases(select_labeled(make_items("abcdefgh"), 2, seed))) for seed in range(20)}
    assert len(draws) > 10
    assert len({case for draw in draws for case in draw}) > 10


def test_the_order_of_the_files_does_not_matter():
    items = make_items("abcdefgh")
    assert cases(select_labeled(items, 5, 3)) == cases(select_labeled(items[::-1], 5, 3))


def test_images_without_a_label_are_never_drawn():
    items = make_items("abc") + make_items("uvw", label=False)
    datalist = build_datalist(items, make_items("x"), CLASSES, "here")
    assert sorted(cases(datalist.labeled)) == sorted(cases(make_items("abc")))
    assert sorted(cases(datalist.unlabeled)) == sorted(cases(make_items("uvw")))


def test_labeled_list_stands_over_the_draw_and_is_kept_out_of_validation():
    items = make_items("abcdef")
    for seed in range(8):
        datalist = build_datalist(
            items,
            make_items("x"),
            CLASSES,
            "here",
            labeled_list=["cR", "aL"],
            labeled_seed=seed,
            num_val_patients=4,
        )
        assert cases(datalist.labeled) == ["cR", "aL"]
        assert groups(datalist.validation) == set("bdef")
        assert cases(datalist.unlabeled) == ["aR", "cL"]


def test_labeled_list_from_a_text_file(tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("\ufeffbL\n\n aR \n", encoding="utf-8")
    assert read_names(names) == ["bL", "aR"]
    datalist = build_datalist(make_items("ab"), make_items("x"), CLASSES, "here", labeled_list=str(names))
    assert cases(datalist.labeled) == ["bL", "aR"]


def test_unlabelled_pool_all_uses_labelled_images_without_their_labels():
    datalist = build_datalist(make_items("abc"), make_items("x"), CLASSES, "here", num_labeled=2, unlabeled_pool="all")
    assert len(datalist.unlabeled) == 6
    assert set(cases(datalist.labeled)) < set(cases(datalist.unlabeled))
    assert all("label" not in item for item in datalist.unlabeled)


def test_validation_patients_take_their_unlabelled_images_along():
    extra = [{"image": f"/data/{g}3.png", "case": f"{g}3", "group": g} for g in "ab"]
    items = make_items("ab") + extra
    datalist = build_datalist(items, make_items("x"), CLASSES, "here", num_labeled=1, num_val_patients=1)
    assert not groups(datalist.validation) & groups(datalist.unlabeled)
    assert len(datalist.validation) == 2
    assert any("1 images without a label" in note for note in datalist.notes)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"num_labeled": 7}, ["7", "6"]),
        ({"num_labeled": 0}, ["num_labeled", "0"]),
        ({"num_labeled": 5, "num_val_patients": 1}, ["5", "4"]),
        ({"num_val_patients": 4}, ["num_val_patients", "4", "3"]),
        ({"num_val_patients": -1}, ["num_val_patients", "-1"]),
        ({"labeled_list": ["aL", "nobody"]}, ["labeled_list", "nobody"]),
        ({"labeled_list": ["aL", "aL"]}, ["labeled_list", "twice", "aL"]),
        ({"labeled_list": []}, ["labeled_list", "empty"]),
        ({"labeled_list": "/nowhere/names.txt"}, ["names.txt"]),
        ({"unlabeled_pool": "some"}, ["unlabeled_pool", "some"]),
    ],
)
def test_wishes_that_cannot_be_met_are_told_with_their_numbers(arguments, words):
    with pytest.raises(InputError) as error:
        build_datalist(make_items("abc"), make_items("x"), CLASSES, "here", **arguments)
    assert all(word in str(error.value) for word in words)


def test_a_group_on_two_sides_is_an_error_unless_the_split_says_so():
    items = make_items("ab")
    with pytest.raises(InputError, match=r"two sides.*b"):
        build_datalist(items[:3], items[3:], CLASSES, "here")
    datalist = build_datalist(items[:3], items[3:], CLASSES, "here", shared_groups=["b"])
    assert datalist.shared_groups == ["b"]


def test_the_same_case_or_file_twice_is_an_error():
    a, b, c = make_items("abc", per_group=1)
    for train in ([a, {**b, "case": a["case"]}], [a, {**b, "image": a["image"]}]):
        with pytest.raises(InputError, match="same case or the same file"):
            build_datalist(train, [c], CLASSES, "here")
    with pytest.raises(InputError, match="same case or the same file"):
        build_datalist([a, b], [{**c, "image": a["image"]}], CLASSES, "here")
    # slices of one file are different images
    slices = [
        {**a, "case": str(i), "group": str(i), "slice": i, "label": "m.nii.gz", "image": "i.nii.gz"} for i in range(3)
    ]
    build_datalist(slices[:2], slices[2:], CLASSES, "here")


def test_test_cases_need_labels_and_two_classes_are_needed():
    with pytest.raises(InputError, match="2 test cases have no label: xL"):
        build_datalist(make_items("a"), make_items("x", label=False), CLASSES, "here")
    with pytest.raises(InputError, match="no labelled image"):
        build_datalist(make_items("a", label=False), make_items("x"), CLASSES, "here")
    for names in (["background"], ["background", "background"]):
        with pytest.raises(InputError, match="class names"):
            build_datalist(make_items("a"), make_items("x"), names, "here")


def test_require_unlabeled():
    full = build_datalist(make_items("ab"), make_items("x"), CLASSES, "here")
    with pytest.raises(InputError, match="supmix needs unlabelled images"):
        require_unlabeled(full, "supmix")
    require_unlabeled(build_datalist(make_items("ab"), make_items("x"), CLASSES, "here", num_labeled=1))


def touch_files(datalist):
    for item in (*datalist.labeled, *datalist.unlabeled, *datalist.validation, *datalist.test):
        for key in {"image", "label"} & set(item):
            Path(item[key]).parent.mkdir(parents=True, exist_ok=True)
            Path(item[key]).touch()


def test_json_round_trip_and_a_moved_folder(tmp_path):
    items = make_items("abcd", folder=str(tmp_path / "old" / "files"))
    items[0].update(slice=3, turns=3, mirror=1)
    elsewhere = make_items("x", folder=str(tmp_path / "elsewhere"))
    datalist = build_datalist(items, elsewhere, CLASSES, "here", num_labeled=3, num_val_patients=1, notes=["läuft"])
    touch_files(datalist)
    path = tmp_path / "old" / "list.json"
    datalist.to_json(path)
    assert Datalist.from_json(path) == datalist
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["labeled"][0]["image"].startswith("files/")
    assert Path(record["test"][0]["image"]).is_absolute()

    (tmp_path / "old").rename(tmp_path / "new")
    moved = Datalist.from_json(tmp_path / "new" / "list.json")
    assert moved.labeled[0]["image"].startswith(str(tmp_path / "new"))
    assert cases(moved.unlabeled) == cases(datalist.unlabeled)


def test_json_of_a_shared_split_stays_valid(tmp_path):
    items = make_items("ab", folder=str(tmp_path))
    datalist = build_datalist(items[:3], items[3:], CLASSES, "here", shared_groups=["b"], notes=["b is shared"])
    touch_files(datalist)
    datalist.to_json(tmp_path / "list.json")
    assert Datalist.from_json(tmp_path / "list.json").notes == ["b is shared"]


def good_record(tmp_path):
    datalist = build_datalist(
        make_items("ab", folder=str(tmp_path)), make_items("x", folder=str(tmp_path)), CLASSES, "here"
    )
    touch_files(datalist)
    datalist.to_json(tmp_path / "list.json")
    return json.loads((tmp_path / "list.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.pop("test"), "no list 'test'"),
        (lambda r: r.update(class_names="vessel"), "no list 'class_names'"),
        (lambda r: r["labeled"][0].pop("group"), "lacks one of the strings"),
        (lambda r: r["labeled"].append("a.png"), "lacks one of the strings"),
        (lambda r: r["labeled"][0].update(slice="3"), "slice='3'"),
        (lambda r: r["labeled"][0].update(image="gone.png"), "gone.png"),
        (lambda r: r["test"].append(r["labeled"][0]), "same case or the same file"),
        (lambda r: r["test"][0].pop("label"), "has no label"),
    ],
)
def test_a_broken_json_is_refused_with_its_name(tmp_path, change, words):
    record = good_record(tmp_path)
    change(record)
    path = tmp_path / "broken.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    with pytest.raises(InputError) as error:
        Datalist.from_json(path)
    assert words in str(error.value)
    assert "broken.json" in error.value.subject


@pytest.mark.parametrize("text", ["{", "[1]", "\x00\xff"])
def test_a_file_that_is_no_json_object(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=r"x\.json"):
        Datalist.from_json(path)
    with pytest.raises(InputError, match="does not exist"):
        Datalist.from_json(tmp_path / "missing.json")


def test_a_fixed_list_refuses_other_wishes(tmp_path):
    good_record(tmp_path)
    path = tmp_path / "list.json"
    assert len(fixed_datalist(path, None, None, 0).labeled) == 4
    assert fixed_datalist(path, 4, None, 0) == fixed_datalist(path, None, None, 0)
    for wish in ((2, None, 0), (None, ["aL"], 0), (None, None, 1)):
        with pytest.raises(InputError, match=r"list\.json"):
            fixed_datalist(path, *wish)


def test_describe_counts_groups_and_repeats_notes():
    lines = build_datalist(
        make_items("abc"), make_items("x"), CLASSES, "here", num_labeled=2, notes=["patients are unknown"]
    ).describe()
    assert lines[0].startswith("labelled 2 (2 patients): ")
    unsorted = Datalist([*reversed(make_items("ab"))], [], [], [], CLASSES)
    assert unsorted.describe()[0] == "labelled 4 (2 patients): aL, aR, bL, bR"
    assert lines[1] == "unlabelled 4 (3 patients)"
    labelled = make_items("ab")
    pool = [{key: value for key, value in item.items() if key != "label"} for item in labelled[:3]]
    told = Datalist(labelled, [*pool, *make_items("x")], [], [], CLASSES).describe()[1]
    assert told == "unlabelled 5 (3 patients); 3 of them are labelled cases without their labels"
    assert lines[2] == "validation 0"
    assert lines[3] == "test 2 (1 patient)"
    assert lines[-1] == "note: patients are unknown"


def test_unknown_patients_are_not_claimed():
    """Each image its own group: nobody knows whether two are of one patient."""
    alone = [{**item, "group": item["case"]} for item in make_items("ab")]
    assert Datalist(alone[:2], [], [], alone[2:], CLASSES).describe()[0] == "labelled 2: aL, aR"
    for call in (
        lambda: hold_out_test(alone[:1], 0.2, 0, "here"),
        lambda: draw_validation_groups(alone, 9),
        lambda: split_groups(alone, 9),
    ):
        with pytest.raises(InputError) as told:
            call()
        assert "case" in str(told.value) and not re.search(r"\bpatient|group", str(told.value))
    assert "1 of 4 cases with labels was drawn" in hold_out_test(alone, 0.2, 0, "here")[2][0]


def test_hold_out_test_takes_whole_groups_and_is_fixed():
    items = make_items("abcdefghij") + make_items("uv", label=False)
    items += [{"image": f"/data/{g}3.png", "case": f"{g}3", "group": g} for g in "abcdefghij"]
    train, test, notes = hold_out_test(items, 0.2, 0, "here")
    assert len(groups(test)) == 2
    assert not groups(train) & groups(test)
    assert all("label" in item for item in test)
    assert (train, test) == hold_out_test(items[::-1][::-1], 0.2, 0, "here")[:2]
    assert "2 of 10 patients with labels were drawn" in notes[0]
    assert notes[1:] == ["2 images without a label are left out, of patients of the test"]
    with pytest.raises(InputError, match=r"1 patient with labels to draw one from: .* of two or more patients"):
        hold_out_test(make_items("a"), 0.2, 0, "here")
    train, test, _ = hold_out_test(make_items("ab"), 0.9, 0, "here")
    assert len(train) == len(test) == 2


KNOWN = st.sampled_from([None, None, [1], [2], [1, 2]])  # of three classes; None: all


@given(st.lists(st.tuples(KNOWN, KNOWN), min_size=2, max_size=8), st.integers(0, 99), st.integers(1, 9))
def test_a_drawn_test_prefers_whole_patients_and_leaves_training_the_labels_it_needs(known, seed, tenths):
    items = make_items("abcdefgh"[: len(known)])
    items = [
        item if classes is None else {**item, "labelled_classes": classes}
        for item, classes in zip(items, sum(known, ()), strict=True)
    ]

    def classes_of(side):
        return {number for item in side if "label" in item for number in item.get("labelled_classes", [1, 2, 3])}

    def without(group):
        return [item for item in items if item["group"] != group]

    def drawn():
        return hold_out_test([*items, *make_items("u", label=False)], tenths / 10, seed, "here")

    if all(classes_of(without(group)) < classes_of(items) for group in groups(items)):
        with pytest.raises(
            InputError, match=r"each patient is the only one with labels of a class, .* test_list to no"
        ):
            drawn()
        return
    train, test, _ = drawn()
    assert not groups(train) & groups(test)
    assert 1 <= len(groups(test)) <= min(max(1, round(tenths / 10 * len(known))), len(known) - 1)
    assert classes_of(train) == classes_of(items)
    whole = {name for name, both in zip("abcdefgh", known, strict=False) if both == (None, None)}
    assert any(both.count(None) for both in known) <= any("labelled_classes" not in item for item in train)
    if groups(test) - whole:
        assert len(groups(test) & whole) >= len(whole) // 2


def test_split_named(tmp_path):
    train, test, _ = split_named(make_items("abc"), ["aL", "aR"])
    assert cases(test) == ["aL", "aR"]
    assert groups(train) == {"b", "c"}
    with pytest.raises(InputError, match="test_list"):
        split_named(make_items("abc"), ["zL"])


def test_patients_by_pattern_and_table():
    items = make_items("ab")
    assert group_by_pattern(items, r"^[a-z]") == []
    assert groups(items) == {"a", "b"}
    assert group_by_pattern(items, None, dict.fromkeys(cases(items), "p")) == []
    assert groups(items) == {"p"}
    assert "unknown" in group_by_pattern(items, None)[0]
    for pattern, table, subject in (("(", None, "group_pattern"), ("^q", None, "group_pattern")):
        with pytest.raises(InputError) as error:
            group_by_pattern(items, pattern, table)
        assert error.value.subject == subject
    with pytest.raises(InputError, match=r"dataset\.json.*3 cases have no patient"):
        group_by_pattern(items, None, {"aL": "p"})
    with pytest.raises(InputError, match="not a table"):
        group_by_pattern(items, None, ["p"])


def test_list_files_skips_hidden_ones_and_refuses_twins(tmp_path):
    for name in ("a.nii.gz", "._a.nii.gz", "b.NII", "notes.txt"):
        (tmp_path / name).touch()
    assert list(list_files(tmp_path, (".nii.gz", ".nii"))) == ["a", "b"]
    (tmp_path / "a.nii").touch()
    with pytest.raises(InputError, match=r"a\.nii"):
        list_files(tmp_path, (".nii.gz", ".nii"))


def test_find_data_folder_looks_one_level_down_and_refuses_to_guess(tmp_path):
    def is_it(path):
        return (path / "mark").exists()

    assert find_data_folder(tmp_path, is_it) is None
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "mark").touch()
    assert find_data_folder(tmp_path, is_it) == tmp_path / "one"
    (tmp_path / "two" / "mark").touch()
    with pytest.raises(InputError, match="several"):
        find_data_folder(tmp_path, is_it)
    (tmp_path / "mark").touch()
    assert find_data_folder(tmp_path, is_it) == tmp_path


def test_check_datalist_sees_groups_between_all_pairs_of_sides():
    a, b, c = make_items("abc", per_group=1)
    twin = {**b, "case": "twin", "image": "/data/twin.png", "group": "a"}
    bare = {key: value for key, value in twin.items() if key != "label"}
    for sides in (
        {"labeled": [a], "unlabeled": [], "validation": [twin], "test": [c]},
        {"labeled": [a], "unlabeled": [], "validation": [], "test": [twin]},
        {"labeled": [c], "unlabeled": [bare], "validation": [], "test": [a]},
        {"labeled": [c], "unlabeled": [], "validation": [a], "test": [twin]},
    ):
        with pytest.raises(InputError, match="two sides"):
            check_datalist(Datalist(**sides, class_names=CLASSES), "here")


@pytest.mark.parametrize("case", ["../a", "p/..", "p\\..\\a", "/a", " a", "a ", "a\nb", ""])
@pytest.mark.parametrize("side", SIDES)
def test_a_case_name_that_leaves_its_folder_or_its_line_is_refused(case, side):
    items = {name: [{**make_items([1])[0], "case": name, "group": name, "image": name}] for name in SIDES}
    items[side][0]["case"] = case
    with pytest.raises(InputError, match=r"here: has the case name .*: leave out white space") as error:
        check_datalist(Datalist(**items, class_names=CLASSES), "here")
    assert "\n" not in str(error.value)
    items[side][0]["case"] = "p 1/..a b.c"
    check_datalist(Datalist(**items, class_names=CLASSES), "here")


def test_without_a_seed_there_is_no_draw():
    with pytest.raises(InputError, match="labeled_seed: is null, and no list of labelled cases is published"):
        build_datalist(make_items("ab"), make_items("x"), CLASSES, "here", num_labeled=1, labeled_seed=None)
