"""Options of the command line, ``--key value``: read as MONAI reads them, and checked before they count."""

from __future__ import annotations

import importlib.util
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fire.parser import DefaultParseValue

from monai_supmix.config.settings import NAMES, is_dynamic, value_problem
from monai_supmix.errors import InputError, nearest

PROGRAMS = ("initialize", "run", "finalize", "imports")
"""Entries that a configuration does in turn: never what a misspelt option means, and each configuration has its own."""
_OTHER_TEST = "write a datalist of these cases (scripts/prepare_data.py), or put them into the data's own test side"
_MEANT = {
    ("evaluate.json", "run_dir"): "give --ckpt_path the weights of that training, or --output_dir its folder",
    ("evaluate.json", "test_list"): _OTHER_TEST,
}
JSON_WORDS = {"true": True, "false": False, "null": None}
"""What the command line understands beside Python's ``True``, ``False`` and ``None``."""


def split_flags(arguments: Sequence[str], own: Sequence[str] = ()) -> tuple[dict[str, str | None], list[str]]:
    """Take ``--key value`` and ``--key=value`` out of a command line.

    A flag that another flag follows, or nothing, stands for true. Hyphens inside a key become underscores.

    Args:
        arguments: the command line without the program.
        own: keys that are none of ours: left among the rest with their values.

    Returns:
        values by key as written (``None`` for a flag without one), and the rest in its order.

    Raises:
        InputError: a key is given twice.

    Example:
        >>> split_flags(["train", "--seed", "3", "--tta", "--max-epochs=-1"])
        ({'seed': '3', 'tta': None, 'max_epochs': '-1'}, ['train'])
    """
    pairs: dict[str, str | None] = {}
    rest: list[str] = []
    given: set[str] = set()
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        index += 1
        if not _is_flag(argument):
            rest.append(argument)
            continue
        flag, equals, written = argument.partition("=")
        value: str | None = written if equals else None
        taken = [argument]
        if not equals and index < len(arguments) and not _is_flag(arguments[index]):
            value = arguments[index]
            taken.append(value)
            index += 1
        key = flag.lstrip("-").replace("-", "_")
        if key in own:
            if key in given:  # the last would count, without a word
                raise InputError(flag, "is given twice", "give it once")
            given.add(key)
            rest += taken
        elif key in pairs:
            raise InputError(flag, "is given twice", "give it once")
        else:
            pairs[key] = value
    return pairs, rest


def with_home(argument: str) -> str:
    """An argument ``--key=~/folder`` with the user's home, which a shell puts only where a word begins with ``~``.

    Example:
        >>> with_home("--output_dir=~/out") == f"--output_dir={Path.home()}/out", with_home("--name=a~b")
        (True, '--name=a~b')
    """
    key, equals, value = argument.partition("=")
    is_home = _is_flag(argument) and value.startswith("~")
    return f"{key}{equals}{os.path.expanduser(value)}" if is_home else argument  # noqa: PTH111  # leaves ~ no user's


def _is_flag(argument: str) -> bool:
    """Whether this begins a key; negative numbers do not."""
    return argument.startswith("--") or re.match(r"-[a-zA-Z]", argument) is not None


def parse_value(text: str | None) -> Any:
    """Read a value as MONAI's command line does, and as JSON: numbers, lists, dictionaries, ``true``, or else text.

    Args:
        text: the value as written; ``None`` (a flag without a value) is true.

    Example:
        >>> parse_value("[a, 1]"), parse_value("1e-3"), parse_value("out/run#2"), parse_value("null")
        (['a', 1], 0.001, 'out/run#2', None)
    """
    if text is None:
        return True
    container = text.lstrip()[:1] in ("[", "{")
    if "#" in text and not container:
        return text  # to Python's grammar the rest would be a comment
    try:
        return json.loads(text) if container else _with_words(DefaultParseValue(text))
    except (TypeError, ValueError, RecursionError, MemoryError):
        pass
    try:
        return _with_words(DefaultParseValue(text))
    except (TypeError, RecursionError, MemoryError):
        return text


def _with_words(value: Any) -> Any:
    """Put values in the place of JSON's words, also inside lists and dictionaries."""
    if isinstance(value, (list, tuple)):
        return type(value)(_with_words(entry) for entry in value)
    if isinstance(value, dict):
        return {key: _with_words(entry) for key, entry in value.items()}
    return JSON_WORDS.get(value, value) if isinstance(value, str) else value


def parse_names(text: str | None) -> Any:
    """Read a list of names or paths, or a single one; digits are letters here. Other values are left to `parse_value`.

    Example:
        >>> parse_names("[1,2]"), parse_names("['1', 'b c']"), parse_names("01"), parse_names("null")
        (['1', '2'], ['1', 'b c'], '01', None)
        >>> parse_names("[/out/a.pt,/out/b.pt]")
        ['/out/a.pt', '/out/b.pt']
    """
    value = parse_value(text)
    if text is None or (isinstance(value, (list, tuple)) and all(isinstance(entry, str) for entry in value)):
        return value
    if re.fullmatch(r"\s*[\[(].*[\])]\s*", text, re.DOTALL):
        return [part.strip().strip("'\"") for part in text.strip().strip("[]()").split(",") if part.strip()]
    return text if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def check_keys(config: Mapping[str, Any], overrides: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Raise `InputError` for the first override that no configuration file knows, or whose value cannot be.

    Args:
        config: the merged configuration.
        overrides: values by key; ``::`` (or ``#``) goes one level down. A new key is accepted only as a
            further argument of a component, see :mod:`monai_supmix.config.components`.
        files: the configuration files, for the message.
    """
    for key, value in overrides.items():
        parts = key.replace("#", "::").split("::")
        if parts[0] == "_meta_":
            continue
        place: Any = config
        for depth, part in enumerate(parts):
            entries = _entries(place)
            if part not in entries and not (depth == len(parts) - 1 and _is_open(place)):
                shown = "#".join([*parts[:depth], "{}", *parts[depth + 1 :]])
                known = [entry for entry in entries if depth > 0 or entry not in PROGRAMS]
                main = files[0].name if files else ""
                remedy = _MEANT.get((main, key)) or nearest(part, known, "look up the keys in that file", shown)
                raise InputError(f"--{key}", f"is not a key of {', '.join(file.name for file in files)}", remedy)
            place = entries.get(part)
        expected = value_problem("::".join(parts), value, place)
        if expected is not None:
            raise InputError(f"--{key}", f"is {value!r}", f"give {expected}")


def _is_open(place: Any) -> bool:
    """Whether new keys have a meaning here: arguments of a component, entries of an empty dictionary."""
    return isinstance(place, Mapping) and ("_target_" in place or not place)


def _entries(place: Any) -> dict[str, Any]:
    """What lies one level below: by key, or by index."""
    if isinstance(place, Mapping):
        return dict(place)
    return {str(index): entry for index, entry in enumerate(place)} if isinstance(place, list) else {}


def read_overrides(config: Mapping[str, Any], pairs: Mapping[str, str | None], files: Sequence[Path]) -> dict[str, Any]:
    """Turn what stands on the command line into checked overrides.

    Args:
        config: the merged configuration.
        pairs: values as written, from `split_flags`.
        files: the configuration files, for messages.

    Returns:
        values by key.

    Raises:
        InputError: see `check_keys`.

    Example:
        >>> read_overrides({"output_dir": "out", "tta": True}, {"output_dir": "2024", "tta": "false"}, [])
        {'output_dir': '2024', 'tta': False}
    """
    overrides = {}
    for key, text in pairs.items():
        value = parse_names(text) if key in (*NAMES, "ckpt_path") else parse_value(text)
        if type(value) in (int, float) and text is not None:
            try:
                check_keys(config, {key: value}, files)
            except InputError:
                try:  # a folder may be called 2024
                    check_keys(config, {key: text}, files)
                    value = text
                except InputError:
                    pass
        overrides[key] = value
    check_keys(config, overrides, files)
    return overrides


def check_tracking(tracking: Any) -> None:
    """Check MONAI's argument ``tracking`` before anything is made.

    Args:
        tracking: ``"mlflow"``, a file of settings, settings, or ``None``.

    Raises:
        InputError: MLflow is not installed, or there is no such file.
    """
    if tracking == "mlflow":
        if importlib.util.find_spec("mlflow") is None:
            problem = "takes mlflow, which is not installed"
            raise InputError("--tracking", problem, "pip install 'monai-supmix[mlflow]', or leave it out")
    elif isinstance(tracking, str) and not Path(tracking).is_file():
        raise InputError("--tracking", f"is {tracking!r}, which is not a file", "give mlflow, or a file of settings")


def for_monai(value: Any) -> Any:
    r"""Protect ``#`` in texts such as folder names, which MONAI would turn into ``::``.

    Args:
        value: the value of an override; expressions, references and macros are left as they are.

    Returns:
        the value, texts with the sign as an expression that gives the text.

    Example:
        >>> print(for_monai("out/run#2"))
        $'out/run\x232'
        >>> for_monai(["a", 1, "@seed"])
        ['a', 1, '@seed']
    """
    if isinstance(value, (list, tuple)):
        return [for_monai(entry) for entry in value]
    if isinstance(value, Mapping):
        return {key: for_monai(entry) for key, entry in value.items()}
    if isinstance(value, str) and "#" in value and not is_dynamic(value):
        return "$" + repr(value).replace("#", "\\x23").replace("@", "\\x40")
    return value
