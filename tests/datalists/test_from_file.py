"""The datalist that a bundle brings with it."""

import json
import shutil

import pytest

from monai_supmix.data import listed_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.errors import InputError

CLASSES = ["background", "vessel"]


def cases(items):
    return [item["case"] for item in items]


@pytest.fixture
def bundle(tmp_path):
    """Data in one folder, the list in another: six labelled cases of three patients, two bare ones, one test."""
    data, names = tmp_path / "data", ["1L", "1R", "2L", "2R", "3L", "3R", "4L", "4R", "5L"]
    data.mkdir()
    items = []
    for name in names:
        for file in (f"{name}.png", f"{name}_m.png"):
            (data / file).touch()
        items.append({"image": str(data / f"{name}.png"), "case": name, "group": name[0]})
    labels = [{**item, "label": item["image"].replace(".png", "_m.png")} for item in items]
    listed = Datalist(labels[:6], items[6:8], [], labels[8:], CLASSES, ["a note"])
    listed.to_json(tmp_path / "bundle" / "datalist.json", data)
    return tmp_path


def test_paths_follow_the_data_folder(bundle):
    file = bundle / "bundle" / "datalist.json"
    assert json.loads(file.read_text(encoding="utf-8"))["labeled"][0]["image"] == "1L.png"
    here = listed_datalist(bundle / "data", file)
    (bundle / "data").rename(bundle / "moved")
    shutil.move(bundle / "bundle", bundle / "other")
    there = listed_datalist(bundle / "moved", bundle / "other" / "datalist.json")
    assert cases(there.labeled) == cases(here.labeled)
    assert there.test[0]["image"] == str(bundle / "moved" / "5L.png")
    assert there.notes == ["a note"]


def test_links_below_the_data_folder_keep_their_name_there(bundle):
    (bundle / "data" / "1L.png").unlink()
    (bundle / "elsewhere.png").touch()
    (bundle / "data" / "1L.png").symlink_to(bundle / "elsewhere.png")
    file = bundle / "bundle" / "datalist.json"
    listed_datalist(bundle / "data", file).to_json(bundle / "again.json", bundle / "data")
    named = {item["image"] for item in json.loads((bundle / "again.json").read_text(encoding="utf-8"))["labeled"]}
    assert named == {f"{number}{eye}.png" for number in "123" for eye in "LR"}


def test_draws_take_from_the_labelled_and_leave_the_rest_to_the_pool(bundle):
    file = bundle / "bundle" / "datalist.json"
    whole = listed_datalist(bundle / "data", file)
    assert sorted(cases(whole.labeled)) == ["1L", "1R", "2L", "2R", "3L", "3R"]
    assert cases(whole.unlabeled) == ["4L", "4R"]
    some = listed_datalist(bundle / "data", file, num_labeled=2, labeled_seed=1, num_val_patients=1)
    assert len(some.labeled) == 2 and len({item["group"] for item in some.labeled}) == 2
    assert len(some.validation) == 2
    assert sorted(cases([*some.labeled, *some.unlabeled, *some.validation])) == sorted(
        cases([*whole.labeled, *whole.unlabeled])
    )
    assert not any("label" in item for item in some.unlabeled)
    assert some.test == whole.test
    assert cases(listed_datalist(bundle / "data", file, labeled_list=["2R"]).labeled) == ["2R"]
    assert len(listed_datalist(bundle / "data", file, unlabeled_pool="all").unlabeled) == 8


def test_a_whole_other_list_can_stand_in(bundle):
    other = bundle / "data" / "list.json"
    listed_datalist(bundle / "data", bundle / "bundle" / "datalist.json", num_labeled=1).to_json(other)
    assert len(listed_datalist(other, bundle / "missing.json").labeled) == 1


@pytest.mark.parametrize(
    ("data", "file", "says"),
    [
        ("data", "bundle/none.json", "set bundle_root to the folder of the bundle"),
        ("none", "bundle/datalist.json", "does not exist: set dataset_dir"),
        ("bundle", "bundle/datalist.json", "missing files: .*: set dataset_dir to the folder of the data"),
    ],
)
def test_mistakes(bundle, data, file, says):
    with pytest.raises(InputError, match=says):
        listed_datalist(bundle / data, bundle / file)
