"""Silence around libraries is of the whole process, and ends with the last thread that asked for it."""

import logging
import threading
import warnings

from monai_supmix.imageio.silence import quiet


def test_threads_that_overlap_leave_levels_and_filters_as_they_were():
    logger = logging.getLogger("pydicom")
    level, filters = logger.level, list(warnings.filters)
    first_in, first_out = threading.Event(), threading.Event()
    seen = []

    def first():
        with quiet():
            first_in.set()
            second_in.wait(60)
        first_out.set()

    second_in = threading.Event()
    thread = threading.Thread(target=first)
    thread.start()
    assert first_in.wait(60)
    with quiet():
        second_in.set()
        assert first_out.wait(60)
        seen.append(logger.isEnabledFor(logging.CRITICAL))
        with warnings.catch_warnings(record=True) as caught:
            warnings.warn("of a library", stacklevel=1)
        seen.append(len(caught))
    thread.join()
    assert seen == [False, 0], "the one that is still inside keeps its silence"
    assert logger.level == level and warnings.filters == filters
