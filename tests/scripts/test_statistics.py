"""Which cells are compared, and which must not be."""

import pytest
from reproduction.statistics import check_same_data, compare

from monai_supmix.errors import InputError
from tests.scripts.made_up import counts, finished

GOOD, POOR = counts(*[(8, 1, 1)] * 4), counts(*[(5, 2, 3)] * 4)


def test_methods_are_paired_by_seed():
    cells = [
        finished("supervised", POOR, seed=0), finished("supervised", GOOD, seed=1),
        finished("supmix", GOOD, seed=1), finished("supmix", POOR, seed=2), finished("supmix", GOOD, 5, seed=0),
    ]  # fmt: skip
    (found,) = compare(cells)
    assert (str(found.method), str(found.baseline), found.seeds, found.num_groups) == (
        "supmix", "supervised", (1,), 2
    )  # fmt: skip
    assert found.differences["vessel"].mean == 0.0
    assert set(found.differences) == {"vessel"}


def test_every_method_meets_every_baseline_once():
    cells = [finished(method, GOOD) for method in ("supmix", "supervised@9", "unimatch", "sufd", "supervised")]
    assert [(str(one.method), str(one.baseline)) for one in compare(cells)] == [
        ("supervised@9", "supervised"), ("unimatch", "supervised"), ("unimatch", "supervised@9"),
        ("supmix", "supervised"), ("supmix", "supervised@9"), ("supmix", "unimatch"),
        ("sufd", "supervised"), ("sufd", "supervised@9"), ("sufd", "unimatch"),
    ]  # fmt: skip


def test_cells_of_other_data_are_not_compared():
    one = finished("supervised", POOR)
    with pytest.raises(InputError, match="tested on different images"):
        check_same_data([one, finished("supmix", GOOD, groups=dict.fromkeys(one.cases, "11"))])
    with pytest.raises(InputError, match="different labelled images"):
        check_same_data([one, finished("supmix", GOOD, labeled=["01R", "02R"])])
    check_same_data([one, finished("supmix", GOOD, labeled=["01R", "02R"], labeled_seed=1)])
