"""Which code made a figure."""

from __future__ import annotations

import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_CODE = ("monai_supmix", "bundles/*/configs", "scripts/reproduction", "scripts/reproduce.py")
UNKNOWN = "unknown"


def current_commit() -> str:
    """The commit of the code at hand.

    Returns:
        its first 12 hexadecimal digits, with ``-dirty`` where the code has changed since; ``"unknown"`` outside a
        clone.

    Example:
        >>> current_commit() == UNKNOWN or len(current_commit().removesuffix("-dirty")) == 12
        True
    """
    commit = _git("rev-parse", "--short=12", "HEAD")
    if commit is None:
        return UNKNOWN
    return f"{commit[:12]}-dirty" if _git("status", "--porcelain", "--", *_CODE) else commit[:12]


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(_ROOT), *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
