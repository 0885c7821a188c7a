"""A run refuses what would take background for certain, or ignored pixels for a class."""

import pytest
import torch

from monai_supmix.bundle.attached import check_learnable, check_partly_labelled
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


def test_only_other_networks_can_teach_a_class_without_labels(caplog):
    partly, names = datalist(labelled_classes=[1]).labeled, ["background", "disc", "cup"]
    pool = [{"image": "b.png", "case": "b", "group": "b"}]
    listed = [{**pool[0], "label": "b_seg.png"}]  # a label of an unlabelled image that is not trained on
    with pytest.raises(
        InputError, match=r"labelled_classes: no training case has labels of cup, .*: train on a case where it was l"
    ):
        check_learnable(Datalist(partly, listed, [], [], names), None, given_pseudo_labels=False)
    for begins_with, masks, told in (
        ("a.pt", False, "the weights"),
        (None, True, "the pseudo-labels"),
    ):
        caplog.clear()
        check_learnable(Datalist(partly, listed, [], [], names), begins_with, given_pseudo_labels=masks)
        assert f"no training case has labels of cup: what is known of it comes from {told} alone." in caplog.text
    caplog.clear()
    check_learnable(Datalist(datalist().labeled, pool, [], [], names), None, given_pseudo_labels=False)
    assert not caplog.text


def test_pixels_to_ignore_need_ignore_index():
    check_partly_labelled(datalist(ignored=3), SupervisedLoss(ignore_index=255), [TOLD])
    with pytest.raises(InputError, match=r"ignore_index: is not set, .*: set it to 255"):
        check_partly_labelled(datalist(ignored=3), SupervisedLoss(), [TOLD])
