"""The key of a cell: every configuration entry and every module that its figures depend on.

A finished cell counts as long as its key is that of the configuration and code at hand. What cannot change
figures is left out of it: paths, the device, logging; comments, docstrings and formatting; modules of another
method than the cell's.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai_supmix
from monai_supmix.cli.workflow import Configured, merge

Config = dict[str, Any]

_PACKAGE = Path(monai_supmix.__file__).parent
_REFERENCE = re.compile(r"@([A-Za-z_]\w*(?:(?:#|::)\w+)*)")

WITHOUT_INFLUENCE = frozenset(
    (
        *("bundle_root", "dataset_dir", "output_dir", "ckpt_path", "device", "num_workers", "resume", "on_error"),
        *("save_interval", "log_interval", "val_interval", "history", "watch", "progress", "monitor"),
        *("training", "validate"),
    )
)
"""Configuration entries that cannot change what is trained or measured."""

MODULES_WITHOUT_INFLUENCE = (
    # What surrounds a training or an evaluation.
    *("bundle", "cli", "handlers", "report", "errors", "files", "tensor_files", "version", "weights", "weights_record"),
    # Truth of unlabelled images, which training does not see.
    "data.hidden_truth",
    # Checks before it, tables after it, inference, measures that no table here shows.
    *("data.check", "data.listing", "data.file_kinds", "data.masks", "data.survey", "data.images_in", "data.phantoms"),
    *("inferers.inputs", "inferers.predict", "inferers.suitability", "metrics.report_tables", "metrics.surface"),
    # Other runtimes than PyTorch's: which one is an entry of the key.
    "inferers.runtime",
    # Readers of formats that neither CHASE_DB1 nor COVID_MedSeg98 comes in.
    *("data.dicom", "data.itk_images", "data.nifti", "data.nnunet", "data.payload"),
)
"""Modules, or packages with all theirs, below ``monai_supmix`` that cannot change the figures either."""

_ALWAYS = ("transforms.intensity",)  # chosen by a name in the configuration, not by an import


@dataclass(frozen=True)
class Key:
    """What a cell's figures depend on.

    Args:
        train: entries of the training's configuration, by id.
        evaluate: the same of the evaluation's.
        sources: a hash of each module, by its name below ``monai_supmix``.
    """

    train: Config
    evaluate: Config
    sources: dict[str, str]

    @property
    def hash(self) -> str:
        """All of it in 12 hexadecimal digits."""
        return _digest(json.dumps([self.train, self.evaluate, self.sources], sort_keys=True), 12)

    def differences(self, other: Key) -> list[str]:
        """Say where another key differs from this one, entry by entry."""
        told = []
        for what, mine, theirs in (("", self.train, other.train), ("evaluate ", self.evaluate, other.evaluate)):
            for entry in sorted(mine.keys() | theirs.keys()):
                if mine.get(entry) != theirs.get(entry):
                    told.append(f"{what}{entry} was {_short(mine.get(entry))}, is {_short(theirs.get(entry))}")
        changed = [name for name, digest in self.sources.items() if other.sources.get(name, digest) != digest]
        told += [f"{name}.py has changed" for name in changed]
        told += [f"{name}.py has come" for name in sorted(other.sources.keys() - self.sources.keys())]
        told += [f"{name}.py has gone" for name in sorted(self.sources.keys() - other.sources.keys())]
        return told


def cell_key(training: Configured, evaluation: Configured) -> Key:
    """The key of a cell, from the configurations of its training and its evaluation."""
    train, evaluate = _overridden(training), _overridden(evaluation)
    parts = entries(train, _roots(train), _unread(train)), entries(evaluate, {"evaluator"}, set())
    datalist = parts[1].get("datalist")
    if isinstance(datalist, dict):  # which images are tested does not hang on how many labelled ones are drawn
        parts[1]["datalist"] = {key: value for key, value in datalist.items() if key != "num_labeled"}
    return Key(*parts, source_hashes([*_targets(parts[0]), *_targets(parts[1])]))


def _overridden(configured: Configured) -> Config:
    """The merged configuration with the overrides in their places."""
    config: Config = json.loads(json.dumps(merge(configured.files)))
    for key, value in configured.overrides.items():
        *above, last = key.replace("#", "::").split("::")
        place: Any = config
        for part in above:
            place = place[int(part)] if isinstance(place, list) else place[part]
        place[int(last) if isinstance(place, list) else last] = value
    return config


def _roots(train: Config) -> set[str]:
    """Where to begin: the trainer, whatever is attached to it before it starts, and what changes its final weights."""
    last = {"recalibration"} if train.get("recalibration") is not None else set()
    return {"train#trainer", *last, *(name for line in train["initialize"] for name in _references(line))}


def _unread(train: Config) -> set[str]:
    """Entries that this method never reads."""
    unread = set()
    if train.get("max_iterations") is not None:
        unread |= {"max_epochs"}
    if train.get("discriminator") is None:
        unread |= {"discriminator_widths", "discriminator_optimizer", "discriminator_lr_handler", "sufd_iteration"}
        unread |= {"sufd_weight"}
    if not train.get("num_strong_views"):
        unread |= {"strong_augmentation"}
        if not train.get("feature_dropout"):
            unread |= {"consistency_loss", "burn_in"}
    return unread


def entries(config: Config, roots: set[str], unread: set[str]) -> Config:
    """All entries of a configuration that can be reached from some of them by reference.

    Args:
        config: the configuration, unresolved.
        roots: ids to begin with.
        unread: ids that are not followed, beside those that never have an influence.

    Returns:
        unresolved entries by id.

    Example:
        >>> config = {"seed": 1, "rate": 0.1, "other": 2, "trainer": {"seed": "@seed", "lr": "$@rate / 2"}}
        >>> entries(config, {"trainer"}, unread=set())
        {'trainer': {'seed': '@seed', 'lr': '$@rate / 2'}, 'rate': 0.1, 'seed': 1}
    """
    found: Config = {}
    waiting = sorted(roots, reverse=True)
    while waiting:
        name = waiting.pop()
        if name in found or name.partition("#")[0] in WITHOUT_INFLUENCE | unread:
            continue
        value: Any = config
        for part in name.split("#"):
            value = value[int(part)] if isinstance(value, list) else value[part]
        found[name] = value
        waiting += sorted(set(_references(value)), reverse=True)
    return found


def _references(value: Any) -> Iterator[str]:
    """The ids that a value refers to."""
    for text in _texts(value):
        for match in _REFERENCE.finditer(text):
            yield match[1].replace("::", "#")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (Mapping, list)):
        for entry in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(entry)


def _targets(part: Config) -> Iterator[str]:
    """The classes and functions of this package that entries name, with their dotted names."""
    yield from (text for text in _texts(part) if re.fullmatch(r"monai_supmix(\.\w+)+", text))


def source_hashes(names: list[str]) -> dict[str, str]:
    """Hash the modules that define some names, and those that these import.

    Args:
        names: dotted names of classes or functions, as configurations write them.

    Returns:
        8 hexadecimal digits by the module's name below ``monai_supmix``, sorted.

    Example:
        >>> sorted(source_hashes(["monai_supmix.losses.SUFDLoss"]))
        ['losses.sufd', 'transforms.intensity']
    """
    waiting = [_defining_module(*name.removeprefix("monai_supmix.").rsplit(".", 1)) for name in names]
    waiting += _ALWAYS
    found: dict[str, str] = {}
    while waiting:
        module = waiting.pop()
        if module in found or _has_no_influence(module):
            continue
        found[module] = _source_hash(module)
        waiting += [_defining_module(*imported) for imported in _imports(module)]
    return dict(sorted(found.items()))


def _has_no_influence(module: str) -> bool:
    return any(module == name or module.startswith(f"{name}.") for name in MODULES_WITHOUT_INFLUENCE)


def _path(module: str) -> Path:
    """The file of a module; a package's is its ``__init__.py``."""
    path = _PACKAGE.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _tree(module: str) -> ast.Module:
    return ast.parse(_path(module).read_text(encoding="utf-8"))


@functools.cache
def _imports(module: str) -> list[tuple[str, str]]:
    """What a module imports from this package, for more than its type hints: pairs of module and name."""
    hints = [node for node in ast.walk(_tree(module)) if isinstance(node, ast.If) and _is_for_hints(node.test)]
    skipped = {id(inner) for node in hints for inner in ast.walk(node)}
    return [
        (node.module.removeprefix("monai_supmix").lstrip("."), alias.name)
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ImportFrom) and id(node) not in skipped
        if node.module is not None and node.module.partition(".")[0] == "monai_supmix"
        for alias in node.names
    ]


def _is_for_hints(test: ast.expr) -> bool:
    return isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"


def _defining_module(module: str, name: str) -> str:
    """The module in which a name is defined, through the packages that pass it on."""
    while module == "" or _path(module).name == "__init__.py":
        inner = f"{module}.{name}".lstrip(".")
        if _path(inner).exists():
            return inner
        source = next((origin for origin, imported in _imports(module) if imported == name), None)
        if source is None:
            return module
        module = source
    return module


@functools.cache
def _source_hash(module: str) -> str:
    """A hash of what a module does: comments, docstrings and formatting do not count."""
    return _digest(normalized(_tree(module)), 8)


def normalized(tree: ast.Module) -> str:
    r"""What a module says, without comments, docstrings and formatting, in the same words for every version of Python.

    Neither `ast.unparse` nor `ast.dump` is that: both change with the version.

    Example:
        >>> normalized(ast.parse("def f( x ):\n  'Doc.'\n  return (x)  # why")) == normalized(
        ...     ast.parse("def f(x): return x"))
        True
        >>> normalized(ast.parse("x = 1"))
        "(Module body=[(Assign targets=[(Name id='x')] value=(Constant value=1))])"
    """
    return _said(tree)


def _said(value: Any) -> str:
    if isinstance(value, list):
        # A text that stands by itself is a docstring, or documents the constant above it.
        return f"[{' '.join(_said(one) for one in value if not (isinstance(one, ast.Expr) and _is_text(one.value)))}]"
    if not isinstance(value, ast.AST):
        return repr(value)
    # Empty fields are left out, for later versions have more of them; the others say nothing of what code does.
    unsaid = ("ctx", "kind", "type_comment")
    fields = [(name, field) for name, field in ast.iter_fields(value) if name not in unsaid and field not in (None, [])]
    if isinstance(value, ast.JoinedStr):  # some versions have empty texts in it
        fields = [("values", [one for one in value.values if not (_is_text(one) and not one.value)])]
    constant = isinstance(value, ast.Constant)
    parts = [f" {name}={repr(field) if constant else _said(field)}" for name, field in fields]
    return f"({type(value).__name__}{''.join(parts)})"


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
