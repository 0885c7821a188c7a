"""What is dangerous about a name, an argument, a call and a path of a configuration that is audited."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from pydoc import locate
from typing import Any

from monai.bundle import ConfigParser

from monai_supmix.config.settings import is_dynamic

_LIBRARIES = ("monai", "torch", "ignite", "monai_supmix")
_REACHING = re.compile(
    r"(torch\.(hub|load|jit|package|ops|classes|serialization|utils\.(cpp_extension|model_zoo))"
    r"|monai\.(bundle|apps|utils\.(module|(misc\.)?run_cmd|optional_import|instantiate|load_submodules))"
    r"|huggingface_hub|joblib|cloudpickle|dill|(pandas|pandas\.io\.pickle)\.read_pickle)\b"
)
RUNNING = {"__import__", "breakpoint", "compile", "eval", "exec", "getattr", "globals", "input", "open", "setattr"}
"""Functions of Python that run, reach or write what they are given."""
_FETCHES, _UNPICKLES = "fetches weights", "lets pickled objects be read, which can run anything"
_SWITCHES = {
    "weights_only": (True, _UNPICKLES),
    "pretrained": (False, _FETCHES),
    "download": (False, "fetches files"),
    "allow_pickle": (False, _UNPICKLES),
}
_LEFT_OUT = {**_SWITCHES, "encoder_weights": (None, _FETCHES)}


def name_problem(name: str) -> str | None:
    """A dotted name that is flagged; one of the libraries is looked up, because it may lead elsewhere."""
    root, _, rest = name.partition(".")
    if root == "builtins":
        return f"uses {rest}" if rest in RUNNING else None
    if root in RUNNING:
        return f"uses {root}"
    if root in sys.stdlib_module_names:
        return "is of Python's own library"
    if _REACHING.match(name):
        return "can fetch, load or run what it is given"
    if root in _LIBRARIES and rest:
        return _home_problem(name)
    return None


def _home_problem(name: str) -> str | None:
    """Where a name of the libraries leads to."""
    try:
        target = locate(name)
    except Exception as error:  # whatever importing a name that is none can raise
        return f"cannot be resolved ({type(error).__name__})"
    module = str(getattr(target, "__module__", None) or "")
    home = f"{module}.{getattr(target, '__qualname__', '')}"
    dangerous = module.partition(".")[0] in sys.stdlib_module_names - {"builtins"} or _REACHING.match(home)
    return f"leads to {module}" if dangerous else None


def switch_problem(key: str, value: Any, config: Any) -> str | None:
    """A switch that is not in its safe position, or whose position is unknown."""
    if key not in _SWITCHES:
        return None
    parser, hops = ConfigParser(), 0
    parser.config = config
    while isinstance(value, str) and value.startswith("@") and hops < 9:
        value, hops = parser.get(value[1:], value), hops + 1
    if isinstance(value, str) and value.startswith("$"):
        try:
            value = ast.literal_eval(value[1:].strip())
        except (ValueError, SyntaxError):
            return f"{_SWITCHES[key][1]}, depending on {value}"
    safe, danger = _SWITCHES[key]
    named = isinstance(value, str) and not is_dynamic(value) and key == "pretrained"  # the name of an encoder's weights
    return None if value is safe or named or (value is None and not safe) else danger


def path_problem(text: str, may_be_absolute: bool = False) -> str | None:
    """An address, or a path that is absolute or leads upwards."""
    if re.match(r"[A-Za-z][\w+.-]*://", text):
        return "is an address"
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive or text.startswith(("~", "\\"))
    if absolute and not may_be_absolute:
        return "is an absolute path"
    return "leads upwards" if ".." in re.split(r"[/\\#]", text) else None


def call_problem(name: str, given: Mapping[str, Any], config: Any, positional: Sequence[str] = ()) -> str | None:
    """What is wrong with the arguments of a call that their names alone do not tell.

    Args:
        name: the dotted name of what is called.
        given: arguments by name.
        config: the configuration, for references in arguments.
        positional: further arguments, as expressions.
    """
    defaults = _defaults(name)
    placed = dict(zip(defaults, positional, strict=False))
    for key in _SWITCHES.keys() & placed.keys():
        if problem := switch_problem(key, placed[key], config):
            return problem
    for key, (safe, danger) in _LEFT_OUT.items():
        default = defaults.get(key, inspect.Parameter.empty)
        is_settled = key in given or key in placed or default is inspect.Parameter.empty
        if not is_settled and (bool(default) != bool(safe)):
            return f"{danger} where {key} is left out"
    if name.startswith("torchvision.models.") or name.endswith(".TorchVisionFCModel"):
        weights = given.get("weights", placed.get("weights"))
        return None if weights in (None, "$None") else _FETCHES
    return None


def _defaults(name: str) -> dict[str, Any]:
    """The arguments of a class or function of the libraries with their defaults; of others none is looked up."""
    root, _, rest = name.partition(".")
    if root == "segmentation_models_pytorch" and rest[:1].isupper():  # perhaps not imported yet: nothing is, for this
        return {"encoder_name": "resnet34", "encoder_depth": 5, "encoder_weights": "imagenet"}
    if root not in _LIBRARIES or not rest:
        return {}
    try:
        return {key: each.default for key, each in inspect.signature(locate(name)).parameters.items()}  # type: ignore[arg-type]
    except Exception:  # nothing that is called, written in C, or not to be looked up, of which `name_problem` tells
        return {}
