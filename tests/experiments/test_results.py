"""Equal time, pairs and the sentence that says what to use."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_supmix.experiments.results import (
    EQUAL_STEPS,
    EQUAL_TIME,
    OWN_STEPS,
    Pair,
    Row,
    equal_time_steps,
    pair_up,
    settled,
)
from monai_supmix.experiments.verdict import shortcomings, verdict
from monai_supmix.metrics import Difference

SECONDS = st.floats(1.0, 1000.0)


@given(st.dictionaries(st.sampled_from("abcdef"), SECONDS, min_size=1), SECONDS, st.integers(1, 5000))
def test_the_baseline_gets_at_least_the_time_of_each_method_and_hardly_more(others, own, steps):
    found = equal_time_steps({**others, "baseline": own}, "baseline", steps)
    assert found.keys() == others.keys()
    for method, seconds in others.items():
        given_seconds = found[method] / steps * own
        rounding = 0.5 / steps * own
        assert given_seconds >= own - rounding
        if found[method] == steps:
            assert seconds <= own * 1.1 + rounding
        else:
            assert seconds - rounding <= given_seconds <= seconds / 0.9 + rounding


def test_what_was_begun_stands_until_times_are_really_others():
    assert settled({"a": 105, "b": 100}, {"a": 100, "b": 100}) == {"a": 100, "b": 100}
    assert settled({"a": 150, "b": 100}, {"a": 100, "b": 100}) == {"a": 150, "b": 100}
    assert settled({"a": 105, "b": 90}, {"a": 100}) == {"a": 105, "b": 90}  # a method more


def row(method, steps, seeds, right, long=False):
    """Of 10 foreground elements in each of two cases, how many are right with each seed."""
    counts = np.array([[[[90, 0, 0], [n, 0, 10 - n]]] * 2 for n in right])
    return Row(method, steps, 1.0, seeds, counts, long)


def test_methods_meet_the_baseline_seed_by_seed():
    rows = [
        row("supervised", 10, (0, 1, 2), (5, 6, 0)),
        row("supmix", 10, (1, 0), (8, 6)),
        row("supervised", 30, (0,), (6,), long=True),
    ]
    usual, timed = pair_up(rows, "supervised", {"supmix": 30}, ["a", "b"], ["background", "vessel"])
    assert (usual.at, usual.seeds, timed.at, timed.seeds) == (EQUAL_STEPS, (1, 0), EQUAL_TIME, (0,))
    assert usual.overall.mean == pytest.approx(0.15)  # 0.8 - 0.6 and 0.6 - 0.5
    assert timed.overall.mean == pytest.approx(0.0)
    assert [one.at for one in pair_up(rows, "supervised", {}, ["a", "b"], ["background", "vessel"])] == [EQUAL_STEPS]
    rows[1] = row("supmix", 20, (1, 0), (8, 6))
    assert [one.at for one in pair_up(rows, "supervised", {}, ["a", "b"], ["background", "vessel"])] == [OWN_STEPS]


def pairs(**intervals):
    """Pairs of methods with their intervals at equal steps and at equal time."""
    made = []
    for method, both in intervals.items():
        for at, (low, high) in zip((EQUAL_STEPS, EQUAL_TIME), both, strict=True):
            ours, theirs = (
                row(method, 500, (0,), (5,)),
                row("supervised", 500 if at == EQUAL_STEPS else 900, (0,), (5,)),
            )
            made.append(Pair(ours, theirs, at, (0,), {"vessel": Difference((low + high) / 2, low, high)}))
    return made


BETTER, LEVEL, WORSE = (0.01, 0.03), (-0.01, 0.02), (-0.04, -0.01)


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (pairs(supmix=(BETTER, BETTER)), "Use supmix: its IoU is higher than that of supervised by +2.0 points"),
        (pairs(sufd=(BETTER, BETTER), supmix=(BETTER, (0.02, 0.06))), "Use supmix:"),
        (pairs(supmix=(BETTER, LEVEL)), "Use supervised with 900 steps: supmix gains +2.0 points"),
        (pairs(supmix=(BETTER, WORSE)), "Use supervised with 900 steps: "),
        (pairs(supmix=(LEVEL, LEVEL)), "Use supervised: no other method is shown to be better"),
        (pairs(supmix=(LEVEL, BETTER)), "Use supervised: no other method is shown to be better"),
        (pairs(supmix=(WORSE, WORSE), sufd=(LEVEL, WORSE)), "Use supervised: the others are worse"),
        (pairs(supmix=((float("nan"),) * 2,) * 2), "Use supervised: no other method is shown to be better"),
    ],
)
def test_a_method_is_recommended_if_it_gains_at_equal_steps_and_at_equal_time(found, says):
    assert verdict(found, "supervised", []).startswith(says)


@pytest.mark.parametrize(("seeds", "groups", "steps"), [(2, 50, 5000), (30, 4, 5000), (30, 50, 199)])
def test_too_little_evidence_recommends_nothing(seeds, groups, steps):
    short = shortcomings(seeds, groups, steps)
    assert len(short) == 1
    assert ("4 images" in shortcomings(seeds, groups, steps, "image")[0]) == (groups == 4), "no patient is claimed"
    told = verdict(pairs(supmix=(BETTER, BETTER)), "supervised", short)
    assert told.startswith("Too little to tell the methods apart") and "Use supmix" not in told
