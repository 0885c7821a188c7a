"""What the configuration of a bundle can run, listed and held against a list of what it may.

A configuration file is a program: MONAI calls every ``_target_`` and evaluates every string that begins with
``$``. Nothing here runs any of it; names are looked up in MONAI, PyTorch, Ignite and this package alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai.bundle import ComponentLocator, ConfigParser

from monai_supmix.config.allowed_names import name_problem
from monai_supmix.config.expressions import (
    expression_problem,
    find_references,
    imported_names,
    reference_problem,
)

_CONFIGS = (".json", ".yaml", ".yml")
# Files that Python or MONAI would run or unpickle; weights are only ever read as tensors and plain values.
_CODE = (".py", ".pyc", ".pyo", ".pyd", ".so", ".dll", ".pth", ".pkl", ".pickle", ".sh", ".ts", ".joblib")


@dataclass(frozen=True)
class Finding:
    """One expression or component of a configuration.

    Args:
        file: the file, relative to the bundle.
        id: where in it, with ``#`` between the parts; empty for the file as a whole.
        text: what stands there.
        problem: why it should not, or ``None``.
    """

    file: str
    id: str
    text: str
    problem: str | None


def audit_bundle(bundle: Path) -> list[Finding]:
    """List everything that the configuration of a bundle can run.

    Args:
        bundle: folder of the bundle.

    Returns:
        all expressions, components and macros of all configuration files in the bundle, and files that do not
        belong into one.
    """
    findings = []
    for path in sorted(path for path in bundle.rglob("*") if path.is_file() or path.is_symlink()):
        name = path.relative_to(bundle).as_posix()
        if not path.resolve().is_relative_to(bundle.resolve()):
            findings.append(Finding(name, "", "", "is a link that leads out of the bundle"))
        elif path.suffix.lower() in _CODE:
            findings.append(Finding(name, "", "", "is code: a bundle of this package holds none"))
        elif path.suffix.lower() in _CONFIGS:
            try:
                config = ConfigParser.load_config_file(str(path))
            except Exception as error:  # whatever the parsers raise: the file is not read
                findings.append(Finding(name, "", "", f"cannot be read ({type(error).__name__}: {error})"))
                continue
            findings += audit_config(config, name)
    return findings


def audit_config(config: Any, file: str = "config") -> list[Finding]:
    """List the expressions (``$``), components (``_target_``) and macros (``%``) of a configuration.

    Args:
        config: the configuration, not parsed.
        file: its name.

    Example:
        >>> for finding in audit_config({"n": "$len(@items)", "net": {"_target_": "os.system"}}):
        ...     print(finding.id, finding.problem)
        n None
        net#_target_ lies outside monai, torch, ignite and monai_supmix
    """
    strings = list(_strings(config))
    imports = {id_: text[1:] for id_, text in strings if text.startswith("$") and imported_names(text[1:])}
    aliases = {name: whole for text in imports.values() for name, whole in imported_names(text).items()}
    findings = []
    for id_, text in strings:
        key = id_.rpartition("::")[2]
        absolute = ConfigParser.resolve_relative_ids(id_, text)
        problem: str | None = None
        if key == "_target_":
            problem = _target_problem(text)
        elif key == "_mode_" and text == "debug":
            problem = "starts a debugger"
        elif text.startswith("$"):
            problem = expression_problem(absolute[1:], aliases, imports)
        elif text.startswith("%"):
            problem = _macro_problem(text)
        elif text.startswith("@"):
            problem = reference_problem(absolute, imports)
            if problem is None or find_references(text) == []:
                continue
        else:
            continue
        findings.append(Finding(file, id_.replace("::", "#"), text, problem))
    return findings


def _strings(config: Any, id_: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(config, str):
        yield id_, config
    elif isinstance(config, (Mapping, list)):
        for key, entry in config.items() if isinstance(config, Mapping) else enumerate(config):
            yield from _strings(entry, f"{id_}::{key}" if id_ else str(key).replace("#", "::"))
        if isinstance(config, Mapping) and "_target_" in config and not isinstance(config["_target_"], str):
            yield f"{id_}::_target_", repr(config["_target_"])


def _target_problem(target: str) -> str | None:
    """A component is named in full, or by the name alone if it is MONAI's own."""
    if "." in target or not target.isidentifier():
        return name_problem(target) if target[:1].isalpha() else "is no literal name: it could become any"
    homes = ComponentLocator().get_component_module_name(target)
    if not homes:
        return "is no component of MONAI"
    return name_problem(f"{homes[0] if isinstance(homes, list) else homes}.{target}")


def _macro_problem(macro: str) -> str | None:
    path, _ = ConfigParser.split_path_id(macro[1:])
    if path and (Path(path).is_absolute() or ".." in Path(path).parts):
        return "takes in a file from outside the bundle, which was not looked at"
    return None
