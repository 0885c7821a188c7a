"""Which cases are chosen: the most doubtful ones that differ, whole patients together."""

import itertools

import numpy as np
import pytest

from monai_supmix.labelling import CaseScore, choose, doubts, farthest_first


def made_up(seed=0, patients=12, features=3):
    """A pool of two cases of each patient, and two labelled cases."""
    random = np.random.default_rng(seed)

    def case(name, group):
        confidence, disagreement, *signature = random.random(2 + features).tolist()
        return CaseScore(name, group, confidence, "lesion", None, disagreement, tuple(signature))

    pool = [case(f"p{number:02d}_{phase}", f"p{number:02d}") for number in range(patients) for phase in ("ed", "es")]
    return pool, [case("z1", "z"), case("z2", "z")]


@pytest.mark.parametrize("seed", range(5))
def test_farthest_first_covers_within_twice_the_best_radius(seed):
    """The bound of Gonzalez (1985), against all possible choices."""
    points = np.random.default_rng(seed).random((9, 2))
    apart = np.linalg.norm(points[:, None] - points[None], axis=2)

    def radius(centres):
        return apart[:, [0, *centres]].min(axis=1).max()

    chosen = farthest_first(points, taken=[0], candidates=range(1, 9), count=3)
    best = min(radius(centres) for centres in itertools.combinations(range(1, 9), 3))
    assert len(set(chosen)) == 3 and radius(chosen) <= 2 * best + 1e-12


@pytest.mark.parametrize(("by_patient", "count"), [(True, 1), (True, 4), (True, 12), (False, 5)])
def test_the_suggested_come_first_and_nothing_is_lost(by_patient, count):
    pool, labelled = made_up()
    units = choose(pool, labelled, count, by_patient)
    assert [unit.suggested for unit in units] == [number < count for number in range(len(units))]
    assert sorted(score.case for unit in units for score in unit.cases) == sorted(score.case for score in pool)
    for unit in units:  # a patient is never divided
        assert {score.case for score in unit.cases} == (
            {score.case for score in pool if score.group == unit.name} if by_patient else {unit.name}
        )
    rest = [unit.doubt for unit in units[count:]]
    assert rest == sorted(rest, reverse=True)
    highest = sorted((unit.doubt for unit in units), reverse=True)
    assert units[0].doubt == highest[0]
    considered = max(count, -(-len(units) // 3))
    assert min(unit.doubt for unit in units[:count]) >= highest[considered - 1]


def test_the_order_of_the_files_does_not_matter():
    pool, labelled = made_up()
    turned = choose(pool[::-1], labelled[::-1], 4)
    assert [unit.name for unit in turned] == [unit.name for unit in choose(pool, labelled, 4)]


def test_of_two_alike_one_is_suggested():
    """b is like a, which is the least sure; d and c differ from it, and d more from the labelled one."""
    places = {"a": 0.0, "b": 0.01, "c": 1.5, "d": 3.0}
    pool = [CaseScore(n, n, 0.5 + i / 100, signature=(places[n],)) for i, n in enumerate("abcd")]
    pool += [CaseScore(f"sure{number}", f"sure{number}", 0.99, signature=(9.0,)) for number in range(8)]
    units = choose(pool, [CaseScore("z", "z", signature=(2.0,))], count=3)
    assert [unit.name for unit in units if unit.suggested] == ["a", "d", "c"]


def test_doubt_is_of_ranks_whatever_the_scale_and_unknown_is_in_the_middle():
    pool = [CaseScore(n, n, confidence, disagreement=d) for n, confidence, d in (("a", 0.99, 0.5), ("b", 0.98, 0.1))]
    assert doubts(pool) == [0.5, 0.5]  # each is first in one of the two
    pool.append(CaseScore("empty", "empty"))
    assert doubts(pool)[2] == 0.5
    assert doubts([CaseScore("a", "a"), CaseScore("b", "b")]) == [0.5, 0.5]
