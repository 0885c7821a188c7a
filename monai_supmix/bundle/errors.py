"""A user's mistake ends in one clear line, whoever raised it and however deep."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import TracebackType

from monai_supmix.errors import InputError


def causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what caused it, outermost first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def error_line(error: BaseException) -> str | None:
    """The line ``error: <file or key>: <what is wrong>: <what to do>`` of a user's mistake.

    Args:
        error: any exception; an :class:`monai_supmix.errors.InputError` is looked for among its causes.

    Returns:
        the line, or ``None`` when no user's mistake caused the exception.

    Example:
        >>> error_line(InputError("scan.nii.gz", "is empty", "copy it again"))
        'error: scan.nii.gz: is empty: copy it again'
        >>> error_line(RuntimeError("a bug")) is None
        True
    """
    for cause in causes(error):
        if isinstance(cause, InputError):
            return f"error: {' '.join(str(cause).split())}"
    return None


def show_error_line_last() -> None:
    """Let the error line of a user's mistake be the last thing an uncaught exception prints.

    ``python -m monai.bundle run`` prints its traceback first; this adds the line below it.
    """
    previous = sys.excepthook
    if getattr(previous, "shows_error_line", False):
        return

    def hook(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
        previous(kind, error, traceback)
        line = error_line(error)
        if line is not None:
            sys.stdout.flush()
            print(line, file=sys.stderr, flush=True)

    hook.shows_error_line = True  # type: ignore[attr-defined]
    sys.excepthook = hook
