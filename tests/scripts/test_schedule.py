"""The schedule's own parts; whole runs are in `test_cells`."""

import pytest
from reproduction.schedule import Pace, _told_mistake


def test_time_left_is_by_method_and_by_jobs():
    pace = Pace(jobs=1)
    assert pace.left(["supmix"], begun=3.0) is None
    pace.add("supervised", 100.0)
    pace.add("supmix", 300.0)
    assert pace.left(["supervised", "supmix"], begun=0.0) == 400.0
    assert pace.left(["sufd"], begun=0.0) == 200.0  # as long as the others on average
    pace.jobs = 4
    assert pace.left(["supmix", "supmix"], begun=100.0) == 250.0  # no more side by side than there are
    assert pace.left(["supervised"], begun=1000.0) == 0.0


@pytest.mark.parametrize("above", ["", "error: an earlier one: x: y\nRuntimeError: something\n"])
@pytest.mark.parametrize("below", ["", "leaked 1 semaphore\n"])
def test_a_mistake_is_the_last_error_line_of_a_log(tmp_path, above, below):
    log = tmp_path / "log.txt"
    log.write_text(above + "error: scan.png: is empty: copy it again: twice\n" + below, encoding="utf-8")
    assert str(_told_mistake(log)) == "scan.png: is empty: copy it again: twice"
