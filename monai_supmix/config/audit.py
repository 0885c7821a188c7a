"""What a bundle names and would run, fetch or write: a list to read before running a bundle from elsewhere.

A configuration file is a program: MONAI calls every ``_target_`` and evaluates every string that begins with ``$``.
Each of them is listed, as ``known`` where the shipped bundles, or those written from them, name the same, else as
``foreign``. Flagged are

* names of Python's own library, and names known to fetch, load or run anything (``torch.hub``, ``monai.bundle``,
  ``huggingface_hub``, ...), also by MONAI's short names, and names of MONAI or PyTorch that raise when looked up;
* ``weights_only`` that is not true; ``pretrained``, ``download`` and ``allow_pickle`` that are not false, or that the
  file does not tell; any of these and ``encoder_weights`` left out where that is known to mean the same; ``weights`` of
  torchvision. The name of weights in ``pretrained`` or ``encoder_weights`` is told, and not flagged;
* handlers of logging that do more than print or write into a relative file, and whatever else it would evaluate;
* addresses, absolute paths (apart from that of ``dataset_dir``), and paths that lead upwards;
* files of code, weights that only unpickling can read, links out of the bundle, and configurations not readable.

Nothing of the bundle runs for this. It is not a proof: a foreign entry may do anything, flagged or not.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser, ReferenceResolver

from monai_supmix.config.audit_logging import logging_problems
from monai_supmix.config.audit_rules import (
    RUNNING,
    call_problem,
    name_problem,
    path_problem,
    switch_problem,
)
from monai_supmix.config.components import entries, target_name
from monai_supmix.config.find import HOMES
from monai_supmix.config.settings import is_dynamic
from monai_supmix.own_data.template import ADDED

_CONFIGS = (".json", ".yaml", ".yml")
_LOGGING = (".conf", ".cfg", ".ini")
_CODE = (".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".pkl", ".pickle", ".sh", ".ts", ".joblib")
_WEIGHTS = (".pt", ".pth", ".ckpt", ".bin")


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
        elif path.suffix.lower() in _LOGGING:
            findings += [Finding(name, *rest) for rest in logging_problems(path)]
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
    problems_of_calls: dict[str, str | None] = {}
    for id_, value in entries(config):
        key = id_.rpartition("::")[2]
        if isinstance(value, dict) and isinstance(target := value.get("_target_"), str):
            problems_of_calls[f"{id_}::_target_"] = call_problem(target_name(target), value, config)
        problem = switch_problem(key, value, config)
        if key == "_target_":
            literal = isinstance(value, str) and not is_dynamic(value)
            problem = name_problem(target_name(value)) if literal else "is not a literal name: it could become any"
            problem = problem or problems_of_calls.get(id_)
        elif key == "_mode_" and value == "debug":
            problem = "starts a debugger"
        elif isinstance(value, str) and value.startswith("$"):
            try:
                problem = problem or _expression_problem(value[1:], imports)
            except RecursionError:
                problem = "is too deep to be read"
        elif isinstance(value, str) and paths_count:
            problem = problem or path_problem(value.removeprefix("%"), may_be_absolute=id_ == "dataset_dir")
        if problem or key == "_target_" or (isinstance(value, str) and value.startswith("$")):
            findings.append(Finding(file, id_.replace("::", "#"), str(value), problem, str(value) in _shipped()))
    return findings


@functools.cache
def _shipped() -> frozenset[str]:
    """Components and expressions of the shipped bundles, and of those that are written from them."""
    files = [path for home in HOMES for path in home.glob("*/configs/**/*.json")]
    config_entries = (entry for file in files for entry in entries(ConfigParser.load_config_file(str(file))))
    shipped = {v for id_, v in config_entries if id_.endswith("_target_") or (isinstance(v, str) and v.startswith("$"))}
    return frozenset(shipped | {*ADDED})


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
        yield from (name_problem(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (name_problem(f"{node.module}.{alias.name}") for alias in node.names)
    elif isinstance(node, ast.Attribute):
        yield name_problem(_dotted(node, imports))
    elif isinstance(node, ast.Call):
        given = {keyword.arg: f"${ast.unparse(keyword.value)}" for keyword in node.keywords if keyword.arg}
        yield call_problem(_dotted(node.func, imports), given, {}, [f"${ast.unparse(each)}" for each in node.args])
    elif isinstance(node, ast.Name):
        yield f"uses {node.id}" if node.id in RUNNING else None
    elif isinstance(node, ast.keyword) and node.arg:
        yield switch_problem(node.arg, f"${ast.unparse(node.value)}", {})
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield path_problem(node.value)


def _dotted(node: ast.AST, imports: Mapping[str, str]) -> str:
    """The name that stands there, as it is without imports."""
    root, dot, rest = ast.unparse(node).partition(".")
    return imports.get(root, root) + dot + rest


def _is_plain(path: Path) -> bool:
    """Whether a file of weights holds nothing but tensors and plain values."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # whatever is wrong with it: it is not plain
        return False
    return True
