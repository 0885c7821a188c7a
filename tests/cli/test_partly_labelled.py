"""A class that was labelled in no training case is refused by all commands that would train, before they do."""

import json

import numpy as np
import pytest

from tests.cli.test_data_mistakes import RUN, TRAIN, rewrite

SAYS = "no training case has labels of pleural_effusion, and nothing else tells it from the background: train on a case"
KNOWN = {"labelled_classes": ["ground_glass", "consolidation"]}


@pytest.fixture
def partly(chest):
    """All three labelled cases lack the last class; the test has it."""
    for path in (chest / "labelsTr").glob("*.nii.gz"):
        rewrite(path, lambda array: np.where(array == 3, 0, array))
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(KNOWN), encoding="utf-8")
    return chest


def test_every_command_that_trains_refuses_it(partly, refused):
    out = partly.parent / "out"
    more = ("--dataset_dir", partly, "--output_dir", out)
    refused("new", partly, "--output_dir", out, says=f"error: {partly}: {SAYS}")
    refused(*TRAIN, *more[:2], says=f"error: labelled_classes: {SAYS}")
    refused(*RUN, *more, says=f"error: labelled_classes: {SAYS}")
    refused(*RUN, "--folds", 2, *more, says=f"error: --folds (fold 1): {SAYS}")
    methods = ("--num_labeled", 3, "--methods", "supervised", "supmix")
    refused("compare", *TRAIN[1:2], *methods, *more, says=f"error: labelled_classes: {SAYS}")


def test_one_case_with_its_labels_is_enough_but_not_for_folds(partly, front, refused):
    (partly / "labelsTr" / "chest_001.json").unlink()
    more = ("--num_labeled", 3, "--dataset_dir", partly)
    assert front(*TRAIN[:3], *more).status == 0
    ended = refused(*RUN[:3], "--folds", 3, *more, "--output_dir", partly.parent / "out", says=SAYS)
    assert ended.err.startswith("error: --folds (fold "), "that of the case"


def test_weights_to_begin_with_may_know_it(partly, weights, front):
    more = ("--dataset_dir", partly, "--ckpt_path", weights)
    assert front(*TRAIN, *more).status == 0
    ended = front(*RUN, *more, "--output_dir", partly.parent / "out")
    assert ended.status == 0, ended
    assert "no training case has labels of pleural_effusion: what is known of it comes from the weights" in (
        ended.out + ended.err
    )
