"""A user's mistake ends in one clear line, whoever raised it and however deep."""

from __future__ import annotations

import sys
import traceback as tracebacks
from collections.abc import Iterator
from types import FrameType, TracebackType

from monai_supmix.config.remedies import in_words_of_options
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
        error: any exception. An :class:`monai_supmix.errors.InputError` is looked for among its causes, then a
            ``ValueError`` with which this package refused a setting while MONAI made a component.

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
            return _line(cause)
    refused = _refused_setting(error)
    return None if refused is None else _line(refused)


def _line(error: InputError) -> str:
    return f"error: {' '.join(str(in_words_of_options(error)).split())}"


def _refused_setting(error: BaseException) -> InputError | None:
    """The mistake behind a ``ValueError`` with which this package refused to make a component of a configuration."""
    made: list[str] = []
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        frames = [frame for frame, _ in tracebacks.walk_tb(error.__traceback__)]
        made += [frame.f_locals["self"].get_id() for frame in frames if _instantiates(frame)]
        error = error.__cause__
    if not (made and isinstance(error, ValueError) and _raised_here(error)):
        return None
    return InputError(made[-1].replace("::", "#"), str(error).strip().rstrip("."), "correct this setting")


def _instantiates(frame: FrameType) -> bool:
    """Whether MONAI makes a component of a configuration in a frame."""
    return frame.f_globals.get("__name__") == "monai.bundle.config_item" and frame.f_code.co_name == "instantiate"


def _raised_here(error: BaseException) -> bool:
    """Whether an exception comes from this package, and not from a library that it called."""
    *_, (last, _) = tracebacks.walk_tb(error.__traceback__)
    return last.f_globals.get("__name__", "").split(".")[0] == __name__.split(".")[0]


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
