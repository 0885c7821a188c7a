"""A user's mistake ends in one clear line, whoever raised it and however deep."""

from __future__ import annotations

import re
import sys
import traceback as tracebacks
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from monai_supmix.config.remedies import in_words_of_options
from monai_supmix.errors import InputError

_MISTAKE = 2  # exit status
_ASKED = {"divisor": "what sides its images may have", "in_channels": "how many channels its images have"}
_PACKAGE = Path(__file__).resolve().parents[1]


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
            ``ValueError`` with which this package, or a class of another one, refused a setting while MONAI made a
            component, then a network that lacks the ``divisor`` of a :class:`monai_supmix.networks.TrainingNetwork`.

    Returns:
        the line, or ``None`` when no user's mistake caused the exception.

    Example:
        >>> error_line(InputError("scan.nii.gz", "is empty", "copy it again"))
        'error: scan.nii.gz: is empty: copy it again'
        >>> error_line(RuntimeError("a bug")) is None
        True
    """
    mistake = _mistake(error)
    return None if mistake is None else f"error: {' '.join(str(in_words_of_options(mistake)).split())}"


def told_mistake(error: Exception) -> int:
    """Print the line of a user's mistake that ends a command; anything else is raised again.

    Returns:
        the exit status, 2.

    Example:
        >>> told_mistake(InputError("scan.nii.gz", "is empty", "copy it again"))  # the line goes to standard error
        2
    """
    line = error_line(error)
    if line is None:
        raise error
    sys.stdout.flush()
    print(line, file=sys.stderr)
    return _MISTAKE


@contextmanager
def mistakes_as_themselves() -> Iterator[None]:
    """Let a user's mistake leave this block as the `InputError` that it is, not as MONAI's error about it.

    Example:
        >>> with mistakes_as_themselves():
        ...     raise RuntimeError("in MONAI") from InputError("scan.nii.gz", "is empty", "copy it again")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: scan.nii.gz: is empty: copy it again
    """
    try:
        yield
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None or mistake is error:
            raise
        raise mistake from mistake.__cause__


def _mistake(error: BaseException) -> InputError | None:
    """The user's mistake behind an exception."""
    mistakes = (cause for cause in causes(error) if isinstance(cause, InputError))
    return next(mistakes, None) or _refused_setting(error) or _plain_network(error)


def _refused_setting(error: BaseException) -> InputError | None:
    """The mistake behind a ``ValueError`` with which a component of a configuration was refused.

    It comes from this package, or from the ``__init__`` of another one's class, as optimizers refuse learning rates.
    """
    component = None
    while isinstance(error, RuntimeError) and error.__cause__ is not None:
        match = re.match(r"Failed to instantiate component '([\w.]+)'", str(error))  # as MONAI says it
        component = match[1].rpartition(".")[2] if match else component
        error = error.__cause__
    if component is None or not isinstance(error, ValueError) or not _refused_here(error):
        return None
    return InputError(component, str(error).strip().rstrip("."), "correct this setting")


def _plain_network(error: BaseException) -> InputError | None:
    """The mistake of a configuration whose expression asks a network of another library what it does not say."""
    while isinstance(error, RuntimeError) and error.__cause__ is not None:  # as MONAI raises it
        error = error.__cause__
    if isinstance(error, AttributeError) and error.name in _ASKED and hasattr(error.obj, "named_modules"):
        asked = [frame for frame in tracebacks.extract_tb(error.__traceback__) if frame.name != "__getattr__"]
        if asked and asked[-1].filename == "<string>":
            problem = f"is a {type(error.obj).__name__} and does not say {_ASKED[error.name]}"
            wrap = '{"_target_": "monai_supmix.networks.HookedNetwork", "network": {...}, "divisor": 16}'
            return InputError("network_def", problem, f"wrap it, {wrap}: sides become multiples of the divisor")
    return None


def _refused_here(error: BaseException) -> bool:
    """Whether an exception comes from this package, or from the ``__init__`` of a class, and not from its work."""
    lines = tracebacks.extract_tb(error.__traceback__)
    return bool(lines) and (lines[-1].name == "__init__" or Path(lines[-1].filename).resolve().is_relative_to(_PACKAGE))


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
