"""Overrides on the command line, ``--key value``: read as MONAI reads them, and checked before they count.

MONAI takes any key, so that a misspelt one changes nothing and nobody notices. `check_overrides` closes that
gap for ``python -m monai.bundle run``; the front ``python -m monai_supmix`` checks by itself.
"""

from __future__ import annotations

import ast
import difflib
import importlib.util
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.config.error_lines import show_error_line_last
from monai_supmix.config.settings import is_dynamic, value_problem
from monai_supmix.errors import InputError

# Arguments of `monai.bundle.run` itself; all others are overrides.
_OWN = ("run_id", "init_id", "final_id", "meta_file", "config_file", "logging_file", "tracking", "args_file")
_OWN_TOO = ("workflow_name", "workflow_type", "properties_path")
_META = "_meta_"
_SAID_BY_A_DATALIST = ("observer", "split", "form", "test_list", "group_pattern", "unlabeled_pool")


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
            rest += taken
        elif key in pairs:
            raise InputError(flag, "is given twice", "give it once")
        else:
            pairs[key] = value
    return pairs, rest


def _is_flag(argument: str) -> bool:
    """Whether this begins a key; negative numbers do not."""
    return argument.startswith("--") or re.match(r"-[a-zA-Z]", argument) is not None


def parse_value(text: str | None, words: Mapping[str, Any] | None = None) -> Any:
    """Read a value as MONAI's command line does: numbers, lists, dictionaries, ``True``, or else text.

    Args:
        text: the value as written; ``None`` (a flag alone) is true.
        words: further words that stand for values, such as JSON's ``null``.

    Example:
        >>> parse_value("[a, 1]"), parse_value("1e-3"), parse_value("out/run#2"), parse_value("None")
        (['a', 1], 0.001, 'out/run#2', None)
    """
    if text is None:
        return True
    if words and text in words:
        return words[text]
    try:
        root = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError):
        return text
    if isinstance(root.body, (ast.BinOp, ast.Name)) or (
        "#" in text and not isinstance(root.body, (ast.List, ast.Dict))
    ):
        return text.strip() if isinstance(root.body, ast.Name) else text
    try:
        return ast.literal_eval(_Words(words or {}).visit(root))
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return text


class _Words(ast.NodeTransformer):
    """Bare words inside lists and dictionaries are text, apart from those that stand for values."""

    def __init__(self, words: Mapping[str, Any]) -> None:
        self.words = words

    def visit_Name(self, node: ast.Name) -> ast.Constant:  # the name that ast asks for
        return ast.copy_location(ast.Constant(self.words.get(node.id, node.id)), node)


JSON_WORDS = {"true": True, "false": False, "null": None}
"""What the front understands beside Python's ``True``, ``False`` and ``None``."""


def check_keys(config: Mapping[str, Any], overrides: Mapping[str, Any], files: Sequence[Path]) -> None:
    """Raise `InputError` for the first override that no configuration file knows, or whose value cannot be.

    Args:
        config: the merged configuration.
        overrides: values by key; ``::`` (or ``#``) goes one level down. A new key is accepted only as a
            further argument of a component.
        files: the configuration files, for the message.

    An option that a datalist file as ``dataset_dir`` would leave without effect is refused, too.
    """
    for key, value in overrides.items():
        parts = key.replace("#", "::").split("::")
        if parts[0] == _META:
            continue
        place: Any = config
        for depth, part in enumerate(parts):
            entries = _entries(place)
            if part not in entries and not (depth == len(parts) - 1 and _is_open(place)):
                found = difflib.get_close_matches(part, entries, n=1)
                meant = "#".join([*parts[:depth], *found, *parts[depth + 1 :]])
                raise InputError(
                    f"--{key}",
                    f"is no key of {', '.join(file.name for file in files)}",
                    f"did you mean {meant}?" if found else "look up the keys in that file",
                )
            place = entries.get(part)
        expected = value_problem("::".join(parts), value, place)
        if expected is not None:
            raise InputError(f"--{key}", f"is {value!r}", f"give {expected}")
        if key in _SAID_BY_A_DATALIST and str(overrides.get("dataset_dir", "")).endswith(".json"):
            problem = f"has no effect on {overrides['dataset_dir']}, a datalist that says it itself"
            raise InputError(f"--{key}", problem, "leave it out, or give the data set's folder")


def _is_open(place: Any) -> bool:
    """Whether new keys have a meaning here: arguments of a component, entries of an empty dictionary."""
    return isinstance(place, Mapping) and ("_target_" in place or not place)


def _entries(place: Any) -> dict[str, Any]:
    """What lies one level below: by key, or by index."""
    if isinstance(place, Mapping):
        return dict(place)
    return {str(index): entry for index, entry in enumerate(place)} if isinstance(place, list) else {}


def read_overrides(config: Mapping[str, Any], pairs: Mapping[str, str | None], files: Sequence[Path]) -> dict[str, Any]:
    """Turn what stands on the command line of the front into checked overrides.

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
        value = parse_value(text, JSON_WORDS)
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


def check_overrides(argv: Sequence[str] | None = None) -> None:
    """Check the overrides of ``python -m monai.bundle run``; the first thing a bundle's ``initialize`` does.

    Whatever started the process, other than MONAI's command line, has checked its overrides itself: then this
    does nothing. From here on a user's mistake also ends in one clear last line.

    Args:
        argv: the process's arguments; by default those of this one.

    Raises:
        InputError: an unknown key, a value of the wrong kind, or one that MONAI would silently drop or
            misunderstand (``None``, ``true``, ``false``); tracking without what it takes.
    """
    argv = sys.argv if argv is None else argv
    if Path(argv[0]).parts[-3:] != ("monai", "bundle", "__main__.py"):
        return
    show_error_line_last()
    if len(argv) < 2 or argv[1] not in ("run", "run_workflow"):
        return
    from monai.bundle import ConfigParser  # noqa: PLC0415  # slow; the front's mistakes are told without it

    given = _read_as_monai(split_flags(argv[2:])[0])
    if isinstance(given.get("args_file"), str):
        given = {**ConfigParser.load_config_file(given["args_file"]), **given}
    files = given.get("config_file")
    if not files:
        return
    check_tracking(given.get("tracking"))
    config = ConfigParser.load_config_files(files)
    names = [Path(file) for file in ([files] if isinstance(files, str) else files)]
    overrides = {key: value for key, value in given.items() if key not in (*_OWN, *_OWN_TOO)}
    for key, value in overrides.items():
        if value is None:
            raise InputError(
                f"--{key}",
                "is None, which monai.bundle leaves out without a word",
                "use python -m monai_supmix run, or a further configuration file with null",
            )
        if isinstance(value, str) and "#" in value and not is_dynamic(value):
            raise InputError(
                f"--{key}",
                f"is {value!r}, in which monai.bundle changes the #",
                "use python -m monai_supmix run, or rename it",
            )
        if isinstance(value, str) and value in JSON_WORDS:
            raise InputError(f"--{key}", f"is the word {value!r} to monai.bundle", f"write {JSON_WORDS[value]}")
    check_keys(config, overrides, names)


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
        raise InputError("--tracking", f"is {tracking!r}, which is no file", "give mlflow, or a file of settings")


def _read_as_monai(pairs: Mapping[str, str | None]) -> dict[str, Any]:
    """Values as MONAI's command line (fire) makes them, with its oddities."""
    given: dict[str, Any] = {}
    for key, text in pairs.items():
        if text is None and key.startswith("no"):
            given[key[2:]] = False
            continue
        given[key] = parse_value(text)
    return given


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
