"""The Dice to expect of a mask, from cases whose truth is known."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import theilslopes

from monai_supmix.metrics import CaseMeasures, calibrate, dice
from monai_supmix.metrics.calibration import COVERAGE, LEAST_VALUES, LOOK_BELOW, Calibration, from_plain


def case(overlaps, sure):
    """A case of two classes with these Dice values and confidences."""
    counts = [[1000, 0, 0], *([round(1000 * d), round(1000 - 1000 * d), round(1000 - 1000 * d)] for d in overlaps)]
    return CaseMeasures(np.array(counts), confidence=(None, *sure))


def draw(random, count):
    """Cases as they are: the surer, the better, with some noise."""
    sure = random.uniform(0.6, 0.98, (count, 2))
    overlaps = np.clip(1.6 * sure - 0.65 + random.normal(0, 0.05, sure.shape), 0, 1)
    return [case(*pair) for pair in zip(overlaps.tolist(), sure.tolist(), strict=True)], sure, overlaps


def test_a_few_odd_cases_do_not_move_it():
    random = np.random.default_rng(0)
    cases, _, _ = draw(random, 30)
    odd = [case((0.0, 0.0), (0.97, 0.97)), case((1.0, 0.95), (0.61, 0.6))]
    plain, with_odd = calibrate(cases), calibrate(cases + odd)
    for sure in (0.65, 0.8, 0.95):
        assert plain.predict(sure)["dice"] == pytest.approx(1.6 * sure - 0.65, abs=0.03)
        assert with_odd.predict(sure)["dice"] == pytest.approx(plain.predict(sure)["dice"], abs=0.05)


@pytest.mark.parametrize("count", [9, 12, 40])
def test_an_interval_holds_nine_of_ten_new_cases(count):
    random, inside, widths = np.random.default_rng(1), [], []
    for _ in range(60):
        learnt = calibrate(draw(random, count)[0])
        _, sure, overlaps = draw(random, 20)
        told = [learnt.predict(value) for value in sure.ravel()]
        inside += [one["low"] <= overlap <= one["high"] for one, overlap in zip(told, overlaps.ravel(), strict=True)]
        widths += [one["high"] - one["low"] for one in told]
    assert COVERAGE - 0.01 < np.mean(inside) < COVERAGE + 0.08
    assert np.mean(widths) < 0.4


@pytest.mark.parametrize(("count", "least"), [(9, COVERAGE), (20, COVERAGE), (4, COVERAGE - 0.13)])
def test_classes_of_one_case_that_are_wrong_together_count_as_one(count, least):
    """With 4 cases nothing can promise nine of ten; it says so."""
    random, inside = np.random.default_rng(2), []

    def draw_together(count):
        sure = random.uniform(0.6, 0.98, (count, 3))
        overlaps = np.clip(1.6 * sure - 0.65 + random.normal(0, 0.08, (count, 1)), 0, 1)
        return sure, overlaps

    for _ in range(60):
        sure, overlaps = draw_together(count)
        learnt = calibrate([case(*pair) for pair in zip(overlaps.tolist(), sure.tolist(), strict=True)])
        sure, overlaps = (values.ravel() for values in draw_together(20))
        told = [learnt.predict(value) for value in sure]
        inside += [one["low"] <= overlap <= one["high"] for one, overlap in zip(told, overlaps, strict=True)]
        assert learnt.cases == count
    assert np.mean(inside) > least - 0.01
    assert ("too narrow" in replace(learnt, margin=0.1).in_words()) == (count < 9)


@pytest.mark.parametrize("count", [5, 12])
def test_line_and_margin_agree_with_a_slow_reference(count):
    """Theil-Sen of SciPy, each case left out by a loop, and the rank counted by hand."""
    cases, sure, overlaps = draw(np.random.default_rng(7), count)
    overlaps = np.array([dice(one.counts)[1:] for one in cases])
    learnt, distances = calibrate(cases), []

    def line(x, y):
        slope = theilslopes(y, x).slope
        return slope, np.median(y - slope * x)

    for number in range(count):
        others = np.arange(count) != number
        slope, intercept = line(sure[others].ravel(), overlaps[others].ravel())
        distances += np.abs(overlaps[number] - np.clip(slope * sure[number] + intercept, 0, 1)).tolist()
    assert (learnt.slope, learnt.intercept) == pytest.approx(line(sure.ravel(), overlaps.ravel()), abs=1e-3)
    position = min(1.0, COVERAGE * (1 + 1 / count)) * (2 * count - 1)
    assert learnt.margin == pytest.approx(sorted(distances)[math.ceil(position - 1e-9)], abs=2e-3)


def test_nothing_is_learnt_of_a_single_case_and_a_falling_line_is_a_level_one():
    many = 12
    one = CaseMeasures(
        np.array([[1000, 0, 0], *([500, k, k] for k in range(many))]), confidence=(None, *np.linspace(0.5, 0.9, many))
    )
    assert calibrate([one]) is None
    falling = [case((d, d), (1 - d / 2, 1 - d / 2)) for d in np.linspace(0.5, 0.9, 9)]
    assert calibrate(falling).slope == 0


def test_thousands_of_cases_take_a_second_or_two():
    cases, _, _ = draw(np.random.default_rng(8), 1500)
    learnt = calibrate(cases)
    assert learnt.values == 3000 and learnt.predict(0.8)["dice"] == pytest.approx(0.63, abs=0.02)


def test_all_classes_of_many_cases_count():
    """One class of three is far worse than its confidence says: the median is not its own, and an interval knows it."""
    random = np.random.default_rng(9)
    sure = random.uniform(0.6, 0.98, (1000, 3))
    overlaps = np.clip(sure - [0.5, 0.0, 0.0] + random.normal(0, 0.02, sure.shape), 0, 1)
    learnt = calibrate([case(*pair) for pair in zip(overlaps.tolist(), sure.tolist(), strict=True)])
    assert learnt.predict(0.8)["dice"] == pytest.approx(0.8, abs=0.05) and learnt.margin > 0.4


def test_a_class_that_is_not_there_counts_as_wrong_and_one_that_was_not_found_says_nothing():
    cases = draw(np.random.default_rng(2), 6)[0]
    spurious = CaseMeasures(np.array([[9, 5, 0], [0, 5, 0], [0, 0, 7]]), confidence=(None, 0.7, None))
    assert calibrate([*cases, spurious]).values == 13


def test_too_little_is_not_learnt_from():
    enough = [case((0.5, 0.5), (0.5, 0.5)), *draw(np.random.default_rng(3), 10)[0]][: -(-LEAST_VALUES // 2)]
    assert calibrate(enough).values >= LEAST_VALUES
    assert calibrate(enough[:-1]) is None
    assert calibrate([case((0.5, 0.9), (0.8, 0.8))] * 20) is None, "equal confidences"
    assert calibrate([CaseMeasures(one.counts) for one in enough]) is None, "nothing is known of their confidence"


@pytest.mark.parametrize("margin", [0.1, 0.44])
def test_a_wide_interval_is_said_to_tell_little(margin):
    told = Calibration(2.82, -0.98, margin, 30).in_words()
    assert f"mean confidence 0.90 is expected to have a Dice of 1.00 ± {margin:.2f} (90 %)" in told
    assert ("tells little" in told) == (margin > 0.3)


def test_the_example_is_a_confidence_of_the_cases():
    cases, sure, _ = draw(np.random.default_rng(5), 21)
    learnt = calibrate(cases)
    assert learnt.usual == pytest.approx(np.median(sure), abs=5e-4)
    expected = learnt.predict(learnt.usual)["dice"]
    assert f"confidence {learnt.usual:.2f} is expected to have a Dice of {expected:.2f}" in learnt.in_words()
    old = {key: value for key, value in learnt.plain().items() if key not in ("usual", "cases")}
    assert from_plain(old) == replace(learnt, usual=0.9, cases=0)
    assert "learnt from 42 values" in from_plain(old).in_words()


def test_who_is_flagged():
    cases, sure, _ = draw(np.random.default_rng(4), 40)
    learnt = calibrate(cases)
    for value in sure.ravel():
        told = learnt.predict(value)
        assert told["look"] == (told["dice"] < LOOK_BELOW)
        assert 0 <= told["low"] <= told["dice"] <= told["high"] <= 1
