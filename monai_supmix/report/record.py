"""What a report of a training is made of, as one plain file beside the weights."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.errors import InputError
from monai_supmix.files import without_nan, write_json
from monai_supmix.listing import read_json

HISTORY_NAME = "history.json"
_FORMAT = 1
_KEYS: dict[str, type | tuple[type, ...]] = {
    **{"method": str, "preset": (str, type(None)), "seed": (int, type(None)), "total_iterations": int},
    **{"class_names": list, "versions": dict, "command": str, "data": dict, "settings": dict},
    **{"rows": list, "validation_rows": list},
}
_SIDES = {"labeled": "labelled", "unlabeled": "unlabelled", "validation": "validation", "test": "test"}


def training_record(
    method: str,
    settings: Mapping[str, Any],
    class_names: Sequence[str],
    versions: Mapping[str, str],
    total_iterations: int,
    datalist: Datalist | None = None,
    rows: Sequence[Mapping[str, Any]] = (),
    validation_rows: Sequence[Mapping[str, Any]] = (),
    pseudo_label_rows: Sequence[Mapping[str, Any]] = (),
    command: Sequence[str] | None = None,
    burn_in: int = 0,
) -> dict[str, Any]:
    """Put together what was run and how it went.

    Args:
        method: what the method is called.
        settings: the run's configuration, see `monai_supmix.config.comparison.comparable`.
        class_names: names of the classes, background first.
        versions: of the packages.
        total_iterations: length of the training.
        datalist: what was trained on; names of cases, counts and notes are kept, of no image its path or patient.
        rows: of :class:`monai_supmix.handlers.TrainingHistory`.
        validation_rows: of the same.
        pseudo_label_rows: of the same.
        command: the words of the command line; ``None`` is that of this process.
        burn_in: iterations at the beginning that trained on labelled images only.

    Returns:
        plain values without NaN, for `write_history` and the report.

    Example:
        >>> record = training_record("mine", {"seed": 3}, ["background", "vessel"], {}, 100, command=["train"])
        >>> record["method"], record["seed"], record["command"]
        ('mine', 3, 'train')
    """
    words = _own_command() if command is None else list(command)
    return without_nan(
        {
            "format": _FORMAT,
            "method": method,
            "preset": preset_name(words),
            "seed": settings.get("seed"),
            "total_iterations": total_iterations,
            "burn_in": burn_in,
            "class_names": list(class_names),
            "versions": {"python": sys.version.split()[0], **versions},
            "command": _typed(words),
            "data": {"sides": {}, "notes": []} if datalist is None else _data(datalist),
            "settings": dict(settings),
            "rows": list(rows),
            "validation_rows": list(validation_rows),
            "pseudo_label_rows": list(pseudo_label_rows),
        }
    )


def command_line() -> str:
    """The command line of this process, as one would type it.

    Example:
        >>> Path(command_line().split()[0]).name == command_line().split()[0]  # the program's name without its folder
        True
    """
    return _typed(_own_command())


def _typed(words: Sequence[str]) -> str:
    """Words for a shell; a list of names, full of single quotes, in double quotes to be readable."""
    return " ".join(
        f'"{word}"' if "'" in word and not set(word) & set('"$`\\!') else shlex.quote(word) for word in words
    )


def _own_command() -> list[str]:
    python, *words = sys.orig_argv
    folders = {Path(python).parent, Path(sys.executable).parent}
    if words and words[0] == sys.argv[0] and Path(words[0]).parent in folders:  # a console script
        return [Path(words[0]).name, *words[1:]]
    return [Path(python).name, *words]


def preset_name(command: Sequence[str]) -> str | None:
    """Find the preset in the words of a command, or ``None``.

    Example:
        >>> preset_name(["run", "--config_file", "['a/train.json','a/presets/paper.json']"])
        'paper'
        >>> preset_name(["run", "chase", "--preset", "paper"]), preset_name(["run"])
        ('paper', None)
    """
    text = "\n".join(command)
    match = re.search(r"^--preset[\n=]([^\n]+)$", text, re.MULTILINE) or re.search(
        r"\bpresets[\\/](\w+)\.(?:json|ya?ml)", text
    )
    return Path(match[1]).stem if match else None


def _data(datalist: Datalist) -> dict[str, Any]:
    sides = {
        name: {
            "images": len(items),
            "groups": len({item["group"] for item in items}),
            "cases": [item["case"] for item in items],
        }
        for side, name in _SIDES.items()
        for items in [getattr(datalist, side)]
    }
    return {"sides": sides, "notes": list(datalist.notes)}


def write_history(path: Path, record: Mapping[str, Any]) -> None:
    """Write a training's record, atomically.

    Args:
        path: the file; its folder must exist.
        record: from `training_record`.

    Raises:
        InputError: the system refuses to write.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / HISTORY_NAME
        >>> write_history(path, training_record("supmix", {"seed": 3}, ["background", "vessel"], {}, 100))
        >>> read_history(path)["total_iterations"]
        100
    """
    write_json(record, path, indent=None)


def read_history(path: Path) -> dict[str, Any]:
    """Read a training's record.

    Args:
        path: the file that `write_history` has written.

    Returns:
        the record, as `training_record` made it.

    Raises:
        InputError: the file is missing, damaged, or not one of these.

    Example:
        >>> read_history(Path("missing.json"))
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: missing.json: ...
    """
    record = read_json(path)
    fits = record.get("format") == _FORMAT and all(isinstance(record.get(k), t) for k, t in _KEYS.items())
    if not fits:
        raise InputError(path, "is not a record of a training of this version", "train again to have one")
    return record
