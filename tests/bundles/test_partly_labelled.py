"""A run refuses what would take background for certain, or ignored pixels for a class."""

import pytest
import torch

from monai_supmix.bundle.attached import check_partly_labelled
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.errors import InputError
from monai_supmix.losses import SupervisedLoss

TOLD = {"labelled_classes": torch.ones(3, dtype=torch.bool)}


def datalist(**more):
    item = {"image": "a.png", "label": "a_mask.png", "case": "a", "group": "a", **more}
    return Datalist([item], [], [], [], ["background", "disc", "cup"])


def test_whole_cases_take_any_loss_and_loading():
    check_partly_labelled(datalist(), lambda logits, label: logits.mean(), [{}])


def test_partly_labelled_cases_need_a_loss_and_a_loading_that_know():
    partly = datalist(labelled_classes=[1])
    check_partly_labelled(partly, SupervisedLoss(), [TOLD])
    check_partly_labelled(partly, lambda logits, label, labelled_classes: logits.mean(), [TOLD])
    with pytest.raises(InputError, match="supervised_loss: takes no labelled_classes"):
        check_partly_labelled(partly, lambda logits, label: logits.mean(), [TOLD])
    with pytest.raises(InputError, match="loading: gives no labelled_classes"):
        check_partly_labelled(partly, SupervisedLoss(), [{}])


def test_a_class_that_no_case_has_labels_of_is_warned_of(caplog):
    whole = datalist().labeled
    for items, told in ((datalist(labelled_classes=[1]).labeled, True), (whole, False)):
        caplog.clear()
        check_partly_labelled(Datalist(items, [], [], [], ["background", "disc", "cup"]), SupervisedLoss(), [TOLD])
        assert ("no case of its training has labels of cup: masks may show it anywhere" in caplog.text) == told


def test_pixels_to_ignore_need_ignore_index():
    check_partly_labelled(datalist(ignored=3), SupervisedLoss(ignore_index=255), [TOLD])
    with pytest.raises(InputError, match=r"ignore_index: is not set, .*: set it to 255"):
        check_partly_labelled(datalist(ignored=3), SupervisedLoss(), [TOLD])
