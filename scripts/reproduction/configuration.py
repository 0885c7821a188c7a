"""What the figures of a cell depend on: its configuration as it resolves, as plain values by id.

References and expressions that tie the parts together are code, as Python is: they come and go without a
setting being another, and what they do is guarded by the fingerprint test (`tests/bundles/test_fingerprint.py`).
What they lead to counts, and so does every override of the user, whatever it says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monai.bundle import ConfigParser, ReferenceResolver

from monai_supmix.cli.workflow import Configured
from reproduction.experiment import Cell, Experiment

Settings = dict[str, Any]

WITHOUT_INFLUENCE = frozenset(
    (
        # Where, on what and for how long at a time something runs.
        *("bundle_root", "dataset_dir", "output_dir", "device", "num_workers", "rank", "world_size"),
        *("resume", "on_error", "save_interval"),
        # What is told on the way, and validation.
        *("log_interval", "val_interval", "num_monitored", "history", "watch", "progress", "monitor", "print_lr"),
        *("training", "validate", "ValidationHandler", "LrScheduleHandler"),
    )
)
"""Keys of a configuration, and classes in it, that cannot change what is trained or measured."""

_TRAINING = (
    *("train#trainer", "lr_scheduler", "discriminator_lr_scheduler", "recalibration", "ckpt_path"),
    "self_training",
)
_EVALUATION = ("evaluator",)


@dataclass(frozen=True)
class Configuration:
    """The settings of a cell.

    Args:
        train: values of its training by id, for example ``{"optimizer#lr": 0.002}``.
        evaluate: the same of its evaluation.
    """

    train: Settings
    evaluate: Settings

    @property
    def hash(self) -> str:
        """All that counts of it in 12 hexadecimal digits."""
        return hashlib.sha256(json.dumps([*self._counting()], sort_keys=True).encode()).hexdigest()[:12]

    def differences(self, now: Configuration) -> list[str]:
        """Say where another configuration differs from this one, key by key.

        Example:
            >>> then, now = ({"optimizer#lr": 0.002, "seed": 0}, {"optimizer#lr": 0.004, "seed": 0, "clip": 1})
            >>> Configuration(then, {}).differences(Configuration(now, {}))
            ['clip was not there, is 1', 'optimizer#lr was 0.002, is 0.004']
        """
        lines = []
        for what, mine, theirs in zip(("", "evaluate: "), self._counting(), now._counting(), strict=True):
            for key in sorted(mine.keys() | theirs.keys()):
                was, is_now = (_said(values, key) for values in (mine, theirs))
                lines += [f"{what}{key} was {was}, is {is_now}"] if was != is_now else []
        return lines

    def _counting(self) -> Iterator[Settings]:
        """Without what has been found to have no influence since it was written down."""
        for values in (self.train, self.evaluate):
            yield {key: value for key, value in values.items() if not _is_ignored(key)}


def current_configuration(experiment: Experiment, cell: Cell) -> Configuration:
    """The configuration that a cell would have now; neither data nor weights are read.

    Raises:
        InputError: the experiment's configuration is wrong.
    """
    training, evaluation = experiment.training(cell, "data", "output"), experiment.evaluation("data", "output")
    several = {"networks": experiment.networks} if experiment.networks > 1 else {}
    return Configuration(resolve(training, _TRAINING) | several, resolve(evaluation, _EVALUATION))


def resolve(configured: Configured, roots: Sequence[str]) -> Settings:
    """All values that some entries lead to.

    Args:
        configured: the configuration.
        roots: ids of the entries; those that are not there, or null, lead to nothing.

    Returns:
        values by id, fit for JSON: of a component's ``_target_`` only the name of the class, wherever it lives.
    """
    parser, written = configured.parser(), [_with_hash(key) for key in configured.overrides]
    values: Settings = {}
    seen: set[str] = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in seen or _is_ignored(name):
            continue
        seen.add(name)
        for key, value in _leaves(name, parser.get(name)):
            references = _references(value)
            waiting += references
            if not _is_wiring(value):
                values[key] = value.rpartition(".")[2] if key.endswith("#_target_") else value
            elif value.startswith("$") and _leads_to_values(parser, references):
                parsed = parser.get_parsed_content(key)
                # An object is left out, what it is made of is told by itself; an entry that is null is not in use.
                if ("#" in key or parsed is not None) and type(parsed).__repr__ is not object.__repr__:
                    values[key] = parsed
            elif any(key == entry or key.startswith(f"{entry}#") for entry in written):
                values[key] = value
    return dict(sorted(json.loads(json.dumps(values, default=str)).items()))


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What an entry is made of, apart from what has no influence; a null or empty entry is not in use."""
    inner: Iterator[tuple[Any, Any]]
    if isinstance(value, Mapping):
        if str(value.get("_target_", "")).rpartition(".")[2] in WITHOUT_INFLUENCE:
            return
        inner = iter(value.items())
    elif isinstance(value, list) and any(isinstance(entry, (Mapping, list)) or _is_wiring(entry) for entry in value):
        inner = iter(enumerate(value))
    else:
        if "#" in key or value not in (None, []):
            yield key, value
        return
    for name, entry in inner:
        if str(name) not in WITHOUT_INFLUENCE:
            yield from _leaves(f"{key}#{name}", entry)


def _leads_to_values(parser: ConfigParser, references: Sequence[str]) -> bool:
    """Whether entries, and those that they refer to, are values and no components that would have to be made."""
    for name in references:
        leaves = [] if _is_ignored(name) else list(_leaves(name, parser.get(name)))
        if _is_ignored(name) or any(key.endswith("#_target_") for key, _ in leaves):
            return False
        if not all(_leads_to_values(parser, _references(value)) for _, value in leaves):
            return False
    return True


def _is_wiring(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("@", "$"))


def _references(value: Any) -> list[str]:
    if not _is_wiring(value):
        return []
    return sorted(_with_hash(name) for name in ReferenceResolver.match_refs_pattern(value))


def _with_hash(name: str) -> str:
    return name.replace("::", "#")


def _is_ignored(key: str) -> bool:
    return not WITHOUT_INFLUENCE.isdisjoint(key.split("#"))


def _said(values: Settings, key: str) -> str:
    if key not in values:
        return "not there"
    text = json.dumps(values[key])
    return text if len(text) <= 60 else text[:57] + "..."
