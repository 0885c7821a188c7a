"""What the logging of a bundle can do: MONAI reads its file before anything else, and Python evaluates parts of it."""

from __future__ import annotations

import ast
import configparser
from collections.abc import Iterator
from pathlib import Path

from monai_supmix.config.audit_rules import path_problem

_PRINTING = {"StreamHandler", "NullHandler"}
_WRITING = "FileHandler"
_EVALUATED = ("args", "kwargs", "defaults")


def logging_problems(path: Path) -> Iterator[tuple[str, str, str]]:
    """Entries of a file of `logging.config.fileConfig` that do more than print, or write into a relative file.

    Args:
        path: the file.

    Yields:
        section and key with ``#`` between them, the text there, and what is wrong with it.
    """
    parser = configparser.ConfigParser()
    try:
        parser.read(path, encoding="utf-8")
        parts = [
            (section, key, parser.get(section, key))
            for section in parser.sections()
            for key in ("class", *_EVALUATED)
            if parser.has_option(section, key)
        ]
    except (configparser.Error, ValueError) as error:
        yield "", "", f"cannot be read ({type(error).__name__})"
        return
    for section, key, text in parts:
        problem = _class_problem(section, text) if key == "class" else _evaluated_problem(text)
        if problem:
            yield f"{section}#{key}", text, problem


def _class_problem(section: str, name: str) -> str | None:
    if section.startswith("handler_"):
        plain = name.removeprefix("logging.")
        return None if plain in {*_PRINTING, _WRITING} else "is a handler that may do more than print"
    return None if name == "logging.Formatter" else "is imported and called"


def _evaluated_problem(text: str) -> str | None:
    """Allowed are plain values, among them relative paths, and the two streams."""
    try:
        values = ast.literal_eval(text.replace("sys.stdout", "None").replace("sys.stderr", "None").strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return "is evaluated, and no plain value"
    parts = values.values() if isinstance(values, dict) else values if isinstance(values, (tuple, list)) else [values]
    problems = (path_problem(part) for part in parts if isinstance(part, str))
    return next((problem for problem in problems if problem), None)
