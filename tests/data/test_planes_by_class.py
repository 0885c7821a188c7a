"""Every class of the labels gets an equal share of the samples, and nothing but the choice of planes changes."""

from collections import Counter
from itertools import islice

import pytest
import torch

from monai_supmix.data import PlanesByClass, RandPlane, StreamLoader
from monai_supmix.errors import InputError


def case(name, *classes, planes=20):
    """Planes of which number k shows class classes[k]; each plane holds its own number as its image."""
    label = torch.zeros(planes, 1, 4, 4, dtype=torch.uint8)
    for k, c in enumerate(classes):
        label[k, 0, 1, 2] = c
    number = torch.arange(planes, dtype=torch.float32) + 100 * ord(name)
    return {"image": number[:, None, None, None].expand(-1, 1, 4, 4), "label": label, "case": name}


def shown(group):
    """Number of planes of each foreground class in a group."""
    return Counter(int(c) for label in group["label"] for c in label.unique() if c)


def test_there_is_a_group_of_all_planes_and_one_of_each_class_over_all_cases():
    groups = list(PlanesByClass([case("a", 1, 1, 3), case("b", 1)], num_classes=4))
    assert [group["case"] for group in groups] == ["all", "class 1", "class 3"]
    assert [len(group["image"]) for group in groups] == [40, 3, 1]
    assert [shown(group) for group in groups] == [{1: 3, 3: 1}, {1: 3}, {3: 1}]
    assert [list(group["foreground"]) for group in groups] == [[0, 1, 2, 20], [0, 1, 2], [0]]


def test_image_and_label_stay_together_and_share_their_memory():
    first, second = case("a", 1), case("b", 0, 0, 2)
    group = PlanesByClass([first, second], num_classes=3)[2]
    assert torch.equal(group["image"][0], second["image"][2])
    assert group["label"][0].data_ptr() == second["label"][2].data_ptr()


def test_values_that_are_no_class_and_background_classes_have_no_group():
    item = case("a", 1, 2, 255)
    assert [group["case"] for group in PlanesByClass([item], num_classes=3)] == ["all", "class 1", "class 2"]
    groups = PlanesByClass([item], num_classes=3, background_classes=(0, 1))
    assert [group["case"] for group in groups] == ["all", "class 2"]


def test_a_stream_shows_a_rare_class_as_often_as_a_frequent_one():
    items = [case(name, *[1] * 10, planes=100) for name in "abc"] + [case("d", 2, planes=100)]
    stream = StreamLoader(PlanesByClass(items, num_classes=3), RandPlane(), batch_size=6, seed=0, stream="labeled")
    seen = Counter()
    for batch in islice(stream.batches(), 100):
        seen += shown(batch)
    assert seen[2] >= 200 and seen[1] >= 200  # of 600 samples; of all planes 1 in 400 shows class 2
    plain = StreamLoader(items, RandPlane(foreground_prob=0.0), batch_size=6, seed=0, stream="labeled")
    assert sum(shown(batch)[2] for batch in islice(plain.batches(), 100)) < 20


def test_a_case_without_a_label_is_refused():
    item = case("a")
    del item["label"]
    with pytest.raises(ValueError, match="a has no label"):
        PlanesByClass([item], num_classes=2)


def test_whole_volumes_are_refused():
    volume = {"image": torch.zeros(1, 8, 4, 4), "label": torch.zeros(1, 8, 4, 4, dtype=torch.uint8), "case": "a"}
    with pytest.raises(InputError, match="whole volumes"):
        PlanesByClass([volume], num_classes=2)


def test_planes_take_their_labelled_classes_along_and_ignored_pixels_are_no_foreground():
    partly = case("a", 1, 255) | {"labelled_classes": torch.tensor([False, True, False]).expand(20, -1)}
    groups = list(PlanesByClass([case("b", 0, 2), partly], num_classes=3))
    assert [list(group["foreground"]) for group in groups] == [[1, 20], [0], [0]]
    for group in groups:
        plane = RandPlane(foreground_prob=1.0).set_random_state(seed=0)(group)
        assert plane["labelled_classes"].tolist() == (
            [False, True, False] if plane["image"][0, 0, 0] < 9750 else [True] * 3
        )
