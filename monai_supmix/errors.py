"""The one exception type for mistakes in what a user gave: files, folders, configuration keys."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in the input, told in three parts so that the reader can fix it.

    Args:
        subject: the file, folder or configuration key that is wrong.
        problem: what is wrong with it.
        remedy: what to do about it.
        code: a name of the mistake, by which the command line finds a remedy in its own words.

    Example:
        >>> raise InputError("scan.nii.gz", "has 4 dimensions", "give one 3D volume per file")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: scan.nii.gz: has 4 dimensions: give one 3D volume per file
    """

    def __init__(self, subject: object, problem: str, remedy: str, code: str = "") -> None:
        super().__init__(f"{subject}: {problem}: {remedy}")
        self.subject, self.problem, self.remedy, self.code = str(subject), problem, remedy, code

    def __reduce__(self) -> tuple[type[InputError], tuple[str, str, str, str]]:
        return type(self), (self.subject, self.problem, self.remedy, self.code)


def first_line(error: Exception) -> str:
    r"""Another library's error in the few words that fit into a message of ours.

    Example:
        >>> first_line(RuntimeError("\nno such operator.\nSee the manual."))
        'no such operator'
    """
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    lines = text.strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:")


def nearest(name: str, known: Iterable[str], otherwise: str, shown: str = "{}") -> str:
    """Say which known name was probably meant; capitals do not count.

    Args:
        name: what was written.
        known: the names there are.
        otherwise: what to say if none is near; ``{}`` stands for all of them.
        shown: how the nearest one is written; ``{}`` stands for it.

    Example:
        >>> nearest("Trian", ["train", "evaluate"], "use one of {}")
        'did you mean train?'
        >>> nearest("zzz", ["train", "evaluate"], "use one of {}")
        'use one of train, evaluate'
    """
    names = {entry.casefold(): entry for entry in known}
    matches = difflib.get_close_matches(name.casefold(), names, n=1)
    if matches:
        return f"did you mean {shown.format(names[matches[0]])}?"
    return otherwise.format(", ".join(names.values()) or "(none)")
