"""What a bundle names and would run, fetch or write: a list to read before running a bundle from elsewhere.

A configuration file is a program: MONAI calls every ``_target_`` and evaluates every string that begins with ``$``.
Each of them is listed, as ``known`` where the shipped bundles name the same, else as ``foreign``. Flagged are

* names of Python's own library, and of what fetches, loads or runs anything (``torch.hub``, ``monai.bundle``, ...);
* ``weights_only`` that is not true; ``pretrained``, ``download`` and ``allow_pickle`` that are not false, or that the
  file does not tell;
* addresses, absolute paths (apart from that of ``dataset_dir``), and paths that lead upwards;
* files of code, weights that only unpickling can read, links out of the bundle, and configurations not readable.

Nothing of the bundle runs for this. It is not a proof: a foreign entry may do anything, flagged or not.
"""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from pydoc import locate
from typing import Any

import torch
from monai.bundle import ConfigParser, ReferenceResolver

from monai_supmix.config.components import entries
from monai_supmix.config.find import HOMES
from monai_supmix.config.settings import is_dynamic

_CONFIGS = (".json", ".yaml", ".yml")
_CODE = (".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".pkl", ".pickle", ".sh", ".ts", ".joblib")
_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin")
_LIBRARIES = ("monai", "torch", "ignite", "monai_supmix")
_REACHING = re.compile(
    r"(torch\.(hub|load|jit|package|serialization|utils\.(cpp_extension|model_zoo))|monai\.(bundle|apps))\b"
)
_RUNNING = {"__import__", "breakpoint", "compile", "eval", "exec", "getattr", "globals", "input", "open", "setattr"}
_SWITCHES = {
    "weights_only": (True, "lets pickled objects be read, which can run anything"),
    "pretrained": (False, "fetches weights"),
    "download": (False, "fetches files"),
    "allow_pickle": (False, "lets pickled objects be read, which can run anything"),
}


@dataclass(frozen=True)
class Finding:
    """One entry of a configuration, or a file.

    Args:
        file: the file, relative to the bundle.
        id: where in it, with ``#`` between the parts; empty for the file as a whole.
        text: what stands there.
        problem: why it is flagged, or ``None``.
        known: whether the shipped bundles name the same.
    """

    file: str
    id: str
    text: str
    problem: str | None
    known: bool = False


def audit_bundle(bundle: Path) -> list[Finding]:
    """List what a bundle names and would run, fetch or write.

    Args:
        bundle: folder of the bundle.

    Returns:
        components and expressions of all configuration files, and everything that is flagged.
    """
    findings = []
    for path in sorted(path for path in bundle.rglob("*") if path.is_file() or path.is_symlink()):
        name = path.relative_to(bundle).as_posix()
        problem = None
        if not path.resolve().is_relative_to(bundle.resolve()):
            problem = "is a link that leads out of the bundle"
        elif path.suffix.lower() in _CODE:
            problem = "is code: a bundle is configuration only"
        elif path.suffix.lower() in _WEIGHTS and not _is_plain(path):
            problem = "needs unpickling, which can run anything, or is damaged"
        elif path.suffix.lower() in _CONFIGS:
            try:
                findings += audit_config(ConfigParser.load_config_file(str(path)), name)
            except Exception as error:  # whatever the parsers raise: the file is not read
                problem = f"cannot be read ({type(error).__name__}: {error})"
        if problem:
            findings.append(Finding(name, "", "", problem))
    return findings


def audit_config(config: Any, file: str = "configs/config.json") -> list[Finding]:
    """List the components (``_target_``) and expressions (``$``) of a configuration, and what else is flagged.

    Args:
        config: the configuration, not parsed.
        file: its name; addresses and paths are looked for in the folder ``configs``, apart from ``metadata.json``.

    Example:
        >>> for finding in audit_config({"n": "$len(@items)", "net": {"_target_": "os.system"}}):
        ...     print(finding.id, finding.problem)
        n None
        net#_target_ is of Python's own library
    """
    findings = []
    imports = _imported(config)
    paths_count = file.startswith("configs/") and file != "configs/metadata.json"
    for id_, value in entries(config):
        key = id_.rpartition("::")[2]
        problem = _switch_problem(key, value, config)
        if key == "_target_":
            literal = isinstance(value, str) and not is_dynamic(value)
            problem = _name_problem(value) if literal else "is not a literal name: it could become any"
        elif key == "_mode_" and value == "debug":
            problem = "starts a debugger"
        elif isinstance(value, str) and value.startswith("$"):
            problem = problem or _expression_problem(value[1:], imports)
        elif isinstance(value, str) and paths_count:
            problem = problem or _path_problem(value.removeprefix("%"), may_be_absolute=id_ == "dataset_dir")
        if problem or key == "_target_" or (isinstance(value, str) and value.startswith("$")):
            findings.append(Finding(file, id_.replace("::", "#"), str(value), problem, str(value) in _shipped()))
    return findings


@functools.cache
def _shipped() -> frozenset[str]:
    """Components and expressions of the shipped bundles."""
    files = [path for home in HOMES for path in home.glob("*/configs/**/*.json")]
    found = (entry for file in files for entry in entries(ConfigParser.load_config_file(str(file))))
    return frozenset(v for id_, v in found if id_.endswith("_target_") or (isinstance(v, str) and v.startswith("$")))


def _imported(config: Any) -> dict[str, str]:
    """Names that the import statements of a configuration define, with the dotted names behind them."""
    names = {"np": "numpy"}
    for _, value in entries(config):
        for node in ast.walk(_parse(value[1:])) if isinstance(value, str) and value.startswith("$") else ():
            if isinstance(node, ast.Import):
                names |= {alias.asname: alias.name for alias in node.names if alias.asname}
            elif isinstance(node, ast.ImportFrom):
                names |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return names


def _parse(expression: str) -> ast.AST:
    """The syntax of an expression, references being plain names; that of nothing if it has none."""
    try:
        return ast.parse(ReferenceResolver.id_matcher.sub("_", ReferenceResolver.normalize_id(expression)).strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


def _expression_problem(expression: str, imports: Mapping[str, str]) -> str | None:
    if "__" in expression.replace("__version__", ""):
        return "uses inner names of Python"
    for node in ast.walk(_parse(expression)):
        appended = getattr(node, "right", None)  # '/model.pt' behind a folder
        if isinstance(appended, ast.Constant) and isinstance(appended.value, str):
            appended.value = appended.value.lstrip("/")
        for problem in _node_problems(node, imports):
            if problem:
                return problem
    return None


def _node_problems(node: ast.AST, imports: Mapping[str, str]) -> Iterator[str | None]:
    if isinstance(node, ast.Import):
        yield from (_name_problem(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (_name_problem(f"{node.module}.{alias.name}") for alias in node.names)
    elif isinstance(node, ast.Attribute):
        root, dot, rest = ast.unparse(node).partition(".")
        yield _name_problem(imports.get(root, root) + dot + rest)
    elif isinstance(node, ast.Name):
        yield f"uses {node.id}" if node.id in _RUNNING else None
    elif isinstance(node, ast.keyword) and node.arg:
        yield _switch_problem(node.arg, f"${ast.unparse(node.value)}", {})
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield _path_problem(node.value)


def _name_problem(name: str) -> str | None:
    """A dotted name that is flagged; one of the libraries is looked up, for it may lead to another place."""
    root, _, rest = name.partition(".")
    if root == "builtins":
        return f"uses {rest}" if rest in _RUNNING else None
    if root in _RUNNING:
        return f"uses {root}"
    if root in sys.stdlib_module_names:
        return "is of Python's own library"
    if _REACHING.match(name):
        return "can fetch, load or run what it is given"
    if root in _LIBRARIES and rest:
        home = getattr(locate(name), "__module__", None) or ""
        if home.partition(".")[0] in sys.stdlib_module_names - {"builtins"} or _REACHING.match(home):
            return f"leads to {home}"
    return None


def _switch_problem(key: str, value: Any, config: Any) -> str | None:
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
    told = isinstance(value, str) and not is_dynamic(value) and key == "pretrained"  # the name of an encoder's weights
    return None if value is safe or told or (value is None and not safe) else danger


def _path_problem(text: str, may_be_absolute: bool = False) -> str | None:
    if re.match(r"[A-Za-z][\w+.-]*://", text):
        return "is an address"
    absolute = PurePosixPath(text).is_absolute() or PureWindowsPath(text).drive or text.startswith(("~", "\\"))
    if absolute and not may_be_absolute:
        return "is an absolute path"
    return "leads upwards" if ".." in re.split(r"[/\\#]", text) else None


def _is_plain(path: Path) -> bool:
    """Whether a file of weights holds nothing but tensors and plain values."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever is wrong with it: it is not plain
        return False
    return True
