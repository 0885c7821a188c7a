"""One thing that was settled by looking at the data."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """What was chosen, and why.

    Args:
        subject: what it is about, one or two words.
        value: the choice in words.
        why: what in the data speaks for it.
    """

    subject: str
    value: str
    why: str
