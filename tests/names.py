"""Every name of Python that a configuration uses, whether as a ``_target_`` or inside an expression."""

import ast
import importlib.util
import re
from pathlib import Path

from monai.bundle import ConfigParser

_REFERENCE = re.compile(r"[@%][\w#:.]+")


def dotted_names(folder):
    """The dotted names below this package in all configuration files of a bundle.

    Args:
        folder: the bundle.

    Returns:
        a set such as ``{"monai_supmix.data.images_in", "monai_supmix.bundle.rank"}``.
    """
    files = sorted(Path(folder).glob("configs/**/*.json"))
    configs = [ConfigParser.load_config_file(file) for file in files]
    aliases = {}
    texts = [text for config in configs for text in _strings(config)]
    for text in texts:
        for node in _nodes(text):
            if isinstance(node, ast.Import):
                aliases |= {a.asname: a.name for a in node.names if a.asname}
    found = {name for config in configs for name in _targets(config)}
    for text in texts:
        for node in _nodes(text):
            if isinstance(node, ast.Attribute):
                root, *rest = ast.unparse(node).split(".")
                found.add(".".join([aliases.get(root, root), *rest]))
    return {name for name in found if name.startswith("monai_supmix.")}


def modules_among(names):
    """Those of the names that are modules: since Python 3.12 ``pydoc.locate`` prefers these to attributes."""
    return sorted(name for name in names if _is_module(name))


def _is_module(name):
    parent = name.rpartition(".")[0]
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError as error:  # the parent is an object, such as a class
        assert error.name and parent.startswith(error.name), error
        return False


def _nodes(text):
    return ast.walk(ast.parse(_REFERENCE.sub("_", text[1:]))) if text.startswith("$") else ()


def _strings(value):
    if isinstance(value, dict):
        return [text for entry in value.values() for text in _strings(entry)]
    if isinstance(value, list):
        return [text for entry in value for text in _strings(entry)]
    return [value] if isinstance(value, str) else []


def _targets(value):
    if isinstance(value, dict):
        own = [value["_target_"]] if isinstance(value.get("_target_"), str) else []
        return own + [name for entry in value.values() for name in _targets(entry)]
    return [name for entry in value for name in _targets(entry)] if isinstance(value, list) else []
