"""How far the prediction of many cases is: a bar on a terminal, a line now and then in a log; alike warnings as one."""

from __future__ import annotations

import logging
import math
import re
import sys
import time
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from monai_supmix.inferers.cohort import Cohort
from monai_supmix.listing import shorten
from monai_supmix.processes import rank

logger = logging.getLogger(__name__)

FIRST, INTERVAL = 15.0, 60.0
"""Seconds until the first line in a log, and between two lines."""
SHOWN = 3
"""Messages of one kind that are told one by one."""
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


class CaseProgress:
    """Shows how far a prediction has come; among the processes of a launch, the first one reports for all.

    Args:
        cohort: is informed after each case, and knows of the other processes.
        total: number of cases that this process is to predict.
        shown: whether to show anything.
    """

    def __init__(self, cohort: Cohort, total: int, shown: bool) -> None:
        self._cohort, self._shown = cohort, shown and rank() == 0
        self._bar = tqdm(total=total, desc="cases") if self._shown and sys.stderr.isatty() else None
        self._begun = time.monotonic()
        self._due = self._begun + FIRST
        self._kinds: dict[str, int] = {}
        cohort.progress = {"cases": total, "done": 0, "failed": 0}

    def step(self, failed: int | None = None) -> None:
        """Tell that a case is through, and how many have failed so far."""
        done = self._cohort.progress["done"] + 1
        failed = self._cohort.progress["failed"] if failed is None else failed
        self._cohort.progress = {**self._cohort.progress, "done": done, "failed": failed}
        now = time.monotonic()
        if self._bar is not None:
            self._bar.update()
        elif self._shown and now >= self._due:
            self._due = now + INTERVAL
            logger.info(progress_line(self._cohort.progress_of_group(), now - self._begun))

    def warn(self, case: str, warnings: Sequence[str]) -> None:
        """Tell what a reader of a mask should know, unless `SHOWN` others have had the same."""
        kind = " ".join(map(kind_of, warnings))
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if rank() == 0 and self._kinds[kind] <= SHOWN:
            more = "; further ones of this kind are counted" if self._kinds[kind] == SHOWN else ""
            logger.warning("%s: %s%s", case, "; ".join(warnings), more)

    def __enter__(self) -> CaseProgress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()


def progress_line(counts: Mapping[str, int], seconds: float) -> str:
    """How far a prediction is, in a line.

    Args:
        counts: ``cases`` to predict, of which are ``done`` (with or without success) and ``failed``.
        seconds: since the begin.

    Example:
        >>> progress_line({"cases": 6250, "done": 120, "failed": 2}, seconds=90)
        'case 120 of 6250, 80.0 per minute, 1:16:38 left, 2 failed'
    """
    done = counts["done"]
    left = tqdm.format_interval(math.ceil(seconds * (counts["cases"] - done) / max(1, done)))
    line = f"case {done} of {counts['cases']}, {60 * done / seconds:.1f} per minute, {left} left"
    return f"{line}, {counts['failed']} failed"


def alike(messages: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Sort cases by what was said about them, numbers aside.

    Args:
        messages: what was said, by case.

    Returns:
        cases by kind of message, the most frequent kind first.

    Example:
        >>> alike({"a": ["pixels of 3 mm"], "b": ["blank"], "c": ["pixels of 2.5 mm"]})
        {'pixels of # mm': ['a', 'c'], 'blank': ['b']}
    """
    kinds: dict[str, list[str]] = {}
    for case, texts in messages.items():
        for kind in dict.fromkeys(kind_of(text) for text in texts):
            kinds.setdefault(kind, []).append(case)
    return dict(sorted(kinds.items(), key=lambda item: -len(item[1])))


def alike_lines(messages: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each kind of message that many cases had, see `alike`.

    Example:
        >>> alike_lines({f"{number}.png": [f"pixels of {number} mm"] for number in range(400)})
        ['400 cases, such as 0.png: pixels of 0 mm (0.png, 1.png, 2.png, ... (400 in all))']
    """
    kinds = alike(messages)
    return [
        f"{len(cases)} cases, such as {cases[0]}: {first_of(kind, messages[cases[0]])} ({shorten(cases, SHOWN)})"
        for kind, cases in kinds.items()
        if len(cases) > SHOWN
    ]


def first_of(kind: str, texts: Sequence[str]) -> str:
    """The first message of a kind, with its numbers."""
    return next(text for text in texts if kind_of(text) == kind)


def kind_of(message: str) -> str:
    """A message without its numbers."""
    return _NUMBER.sub("#", message)
