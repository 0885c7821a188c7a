"""The two-level bootstrap, against cases done by hand and against all draws there are."""

import itertools

import numpy as np
import pytest

from monai_supmix.metrics import Difference, class_differences, iou, paired_bootstrap, paired_case_bootstrap
from monai_supmix.metrics.paired import show_difference


def every_draw(ours, theirs, groups, classes):
    """Differences of all draws of seeds and groups, each as likely as the others."""
    names = sorted(set(groups))
    members = {name: [i for i, group in enumerate(groups) if group == name] for name in names}
    found = []
    for drawn in itertools.product(names, repeat=len(names)):
        cases = [case for name in drawn for case in members[name]]
        differences = [
            np.nanmean(iou(ours[s][cases].sum(axis=0))[classes])
            - np.nanmean(iou(theirs[s][cases].sum(axis=0))[classes])
            for s in range(len(ours))
        ]
        found += [np.mean(seeds) for seeds in itertools.product(differences, repeat=len(ours))]
    return np.array(found)


def test_one_group_and_two_seeds_by_hand():
    """IoU 0.6 and 0.8 against 0.5 both times: draws of seeds give 0.1, 0.2, 0.2, 0.3."""
    ours = np.array([[[[6, 2, 2]]], [[[8, 1, 1]]]])
    theirs = np.array([[[[5, 2, 3]]], [[[5, 5, 0]]]])
    found = paired_bootstrap(ours, theirs, ["a"], [0])
    assert (found.mean, found.low, found.high) == pytest.approx((0.2, 0.1, 0.3))
    narrow = paired_bootstrap(ours, theirs, ["a"], [0], confidence=0.4)
    assert (narrow.low, narrow.high) == pytest.approx((0.2, 0.2))


def test_counts_are_summed_before_ratios_are_taken():
    """A large image weighs more than a small one: 0.99 * 1000 pixels and 0 of 10."""
    ours, theirs = np.array([[[[990, 5, 5]], [[0, 5, 5]]]]), np.array([[[[0, 500, 500]], [[0, 5, 5]]]])
    assert paired_bootstrap(ours, theirs, ["a", "a"], [0]).mean == pytest.approx(990 / 1010)


def test_all_images_of_a_patient_are_drawn_together():
    """Of two patients with two images each, three draws differ: one, the other, and both."""
    ours = np.array([[[[9, 1, 0]], [[9, 0, 1]], [[1, 4, 5]], [[1, 5, 4]]]])
    theirs = np.array([[[[1, 4, 5]], [[1, 4, 5]], [[1, 4, 5]], [[1, 4, 5]]]])
    found = paired_bootstrap(ours, theirs, ["a", "a", "b", "b"], [0])
    assert (found.low, found.high) == pytest.approx((0.0, 0.8))


@pytest.mark.parametrize("classes", [[1], [1, 2]])
def test_intervals_are_those_of_all_draws(classes):
    random = np.random.default_rng(1)
    ours, theirs = random.integers(1, 100, (2, 3, 6, 3, 3))
    groups = ["a", "b", "b", "c", "c", "c"]
    draws = every_draw(ours, theirs, groups, classes)
    found = paired_bootstrap(ours, theirs, groups, classes, resamples=40_000)
    assert found.mean == pytest.approx(np.mean([
        np.mean(iou(a.sum(0))[classes]) - np.mean(iou(b.sum(0))[classes]) for a, b in zip(ours, theirs, strict=True)
    ]))  # fmt: skip
    assert [found.low, found.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)
    again = paired_bootstrap(ours, theirs, groups, classes, resamples=40_000)
    assert again == found


def test_a_method_does_not_differ_from_itself():
    same = np.random.default_rng(0).integers(1, 100, (3, 4, 2, 3))
    found = paired_bootstrap(same, same, list("aabb"), [1])
    assert (found.mean, found.low, found.high) == (0.0, 0.0, 0.0)


def test_an_absent_class_has_no_difference():
    nothing = np.zeros((1, 2, 1, 3), int)
    assert np.isnan(paired_bootstrap(nothing, nothing, ["a", "b"], [0]).mean)


def test_a_class_absent_from_some_patients_is_judged_by_the_others():
    ours = np.array([[[[6, 2, 2]], [[0, 0, 0]]]])
    theirs = np.array([[[[5, 2, 3]], [[0, 0, 0]]]])
    found = paired_bootstrap(ours, theirs, ["a", "b"], [0])
    assert found.mean == pytest.approx(0.1) and show_difference(found) == "+10.00", "one patient makes no interval"
    two = paired_bootstrap(np.repeat(ours, 2, 0), np.repeat(theirs, 2, 0), ["a", "b"], [0])
    assert (two.low, two.high) == pytest.approx((0.1, 0.1)), "two seeds that agree do"


def test_a_class_that_the_truth_lacks_counts_for_neither():
    """Of two classes the second is predicted by one method alone, and nowhere true."""
    ours, theirs = np.array([[[[6, 2, 2], [0, 9, 0]]]]), np.array([[[[5, 2, 3], [0, 0, 0]]]])
    assert paired_bootstrap(ours, theirs, ["a"], [0, 1]).mean == pytest.approx(0.1)
    assert np.isnan(paired_bootstrap(ours, theirs, ["a"], [1]).mean)


def test_each_class_has_its_difference_and_the_foreground_their_mean():
    ours = np.array([[[[1, 9, 9], [6, 2, 2], [8, 1, 1]]]])
    theirs = np.array([[[[9, 0, 0], [5, 2, 3], [4, 3, 3]]]])
    found = class_differences(ours, theirs, ["a"], ["background", "liver", "tumour"])
    assert {name: round(one.mean, 6) for name, one in found.items()} == {
        "liver": 0.1,
        "tumour": 0.4,
        "foreground": 0.25,
    }
    assert [*class_differences(ours[:, :, :2], theirs[:, :, :2], ["a"], ["background", "liver"])] == ["liver"]


@pytest.mark.parametrize("missing", [[2], [1, 2, 3, 4, 5]], ids=["one case", "all but one patient"])
def test_figures_of_cases_are_averaged_over_all_draws_of_seeds_and_patients(missing):
    random = np.random.default_rng(2)
    ours, theirs = random.random((2, 3, 6))
    ours[0, missing] = np.nan  # cases that one seed has no figure of
    groups = ["a", "b", "b", "c", "c", "c"]
    members = {name: [i for i, group in enumerate(groups) if group == name] for name in "abc"}
    draws = []
    for drawn in itertools.product("abc", repeat=3):
        cases = [case for name in drawn for case in members[name]]
        known = [row[~np.isnan(row)] for row in (ours - theirs)[:, cases]]
        of_seeds = [row.mean() if row.size else np.nan for row in known]
        means = [np.array(seeds) for seeds in itertools.product(of_seeds, repeat=3)]
        draws += [np.nanmean(seeds) for seeds in means if not np.isnan(seeds).all()]
    found = paired_case_bootstrap(ours, theirs, groups, resamples=40_000)
    assert found.mean == pytest.approx(np.nanmean(ours - theirs, axis=1).mean())
    assert [found.low, found.high] == pytest.approx(np.quantile(draws, [0.025, 0.975]), abs=0.01)
    rare = np.full((1, 6), np.nan)
    rare[0, 0] = 0.5
    lone = paired_case_bootstrap(rare, 0.75 * rare, groups)
    assert lone.mean == 0.125 and show_difference(lone) == "+12.50", "one case of one seed makes no interval"
    twice = np.repeat(rare, 2, 0)
    assert paired_case_bootstrap(twice, 0.75 * twice, groups) == Difference(0.125, 0.125, 0.125)
    assert np.isnan(paired_case_bootstrap(np.nan * rare, rare, groups).low)
    with pytest.raises(ValueError, match="of 2 cases"):
        paired_case_bootstrap(ours, theirs, ["a", "b"])
