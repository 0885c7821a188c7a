"""Checkpoints of a training run that survive what may happen to it: a kill, a full disk, a flipped bit."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import ignite.distributed as idist
from ignite.engine import Engine, Events
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.files import make_directory, remove_leftovers
from monai_supmix.weights import load_into, unwrap
from monai_supmix.weights.tensor_files import damage_of, read_tensors, write_tensors

logger = logging.getLogger(__name__)

_FORMAT = 1
_NAME = re.compile(r"checkpoint_iteration=(\d+)\.pt")
_NOT_SET = "(not set)"


class TrainingCheckpoint:
    """Saves the full state of a run at intervals, at its end, and on demand.

    Each file appears whole or not at all and is on the disk before an older one goes; it holds tensors and
    only plain values, all of them finite, and the hash of its own bytes. Ignite's `Checkpoint` removes the
    old file before it writes the new one, does not synchronise, and forgets the files of an earlier process.

    Attach it after the handlers whose state it saves, so that an iteration is in all of them or in none.
    Build and attach it on all processes; the first one writes.

    Args:
        to_save: objects with ``state_dict`` and ``load_state_dict`` by name; networks may be wrapped.
        directory: folder of the checkpoints, made when the first is written. Nobody else may write there.
        interval: iterations between checkpoints.
        keep: how many are kept, at least 1; with 2 a damaged newest one costs one interval.
        config: plain values that a resumed run is to agree with, see `compare_config`.

    Raises:
        ValueError: when interval or keep is below 1.

    Example:
        >>> import tempfile
        >>> engine, folder = Engine(lambda engine, batch: None), tempfile.mkdtemp()
        >>> TrainingCheckpoint({"net": nn.Linear(1, 1)}, folder, interval=3).attach(engine)
        >>> _ = engine.run(range(10))
        >>> [path.name for path in existing_checkpoints(folder)]
        ['checkpoint_iteration=000009.pt', 'checkpoint_iteration=000010.pt']
    """

    def __init__(
        self,
        to_save: Mapping[str, Any],
        directory: str | os.PathLike[str],
        interval: int,
        keep: int = 2,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if interval < 1 or keep < 1:
            raise ValueError(f"interval and keep must be at least 1, not {interval} and {keep}")
        self.to_save, self.directory = dict(to_save), Path(directory)
        self.interval, self.keep, self.config = interval, keep, dict(config or {})

    def attach(self, engine: Engine) -> None:
        """Save at every interval-th iteration of an engine, and when its run has completed.

        Args:
            engine: the trainer.
        """
        engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.interval), self.save)
        engine.add_event_handler(Events.COMPLETED, self.save)

    def save(self, engine: Engine) -> Path | None:
        """Write a checkpoint now.

        Args:
            engine: the trainer, whose iteration gives the file its name.

        Returns:
            the file, None on all processes but the first.

        Raises:
            InputError: when a tensor is not finite or the system refuses to write. Older checkpoints are left
                as they are; the message names the newest.
        """
        if idist.get_rank() > 0:
            return None
        iteration = engine.state.iteration
        path = make_directory(self.directory) / f"checkpoint_iteration={iteration:06d}.pt"
        remove_leftovers(self.directory)
        state = {
            name: (unwrap(part) if isinstance(part, nn.Module) else part).state_dict()
            for name, part in self.to_save.items()
        }
        try:
            write_tensors(path, {"format": _FORMAT, "iteration": iteration, "config": self.config, "state": state})
        except InputError as error:
            older = newest_intact(self.directory).path
            if older is None:
                raise
            problem = f"{error.problem}; training can continue from {older.name}"
            raise InputError(error.subject, problem, error.remedy) from error
        self._remove_old(path)
        return path

    def _remove_old(self, newest: Path) -> None:
        files = existing_checkpoints(self.directory)
        upto = files.index(newest) + 1
        # Later ones are of another course of this run. A resumed run has found them damaged and passed over
        # them; intact ones are somebody's choice and stay.
        superfluous = files[: max(upto - self.keep, 0)] + [file for file in files[upto:] if _damage(file)]
        for file in superfluous:
            try:
                file.unlink()
            except OSError as error:
                logger.warning("the old checkpoint %s cannot be removed: %s", file, error.strerror)


def existing_checkpoints(directory: str | os.PathLike[str]) -> list[Path]:
    """List the checkpoints in a folder.

    Args:
        directory: the folder; a missing one has none.

    Returns:
        the files in the order of their iterations, damaged ones among them.
    """
    files = [(match, path) for path in Path(directory).glob("*.pt") if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(files, key=lambda item: (int(item[0][1]), item[1].name))]


class NewestCheckpoint(NamedTuple):
    """The newest intact checkpoint, None if there is none, and a warning for each newer, damaged one."""

    path: Path | None
    warnings: list[str]


def newest_intact(directory: str | os.PathLike[str]) -> NewestCheckpoint:
    """Find the checkpoint to continue from, reading each candidate to its end.

    Args:
        directory: the folder of the checkpoints.

    Returns:
        the file and the warnings.
    """
    damaged: list[tuple[Path, str]] = []
    chosen = None
    for path in reversed(existing_checkpoints(directory)):
        damage = _damage(path)
        if damage is None:
            chosen = path
            break
        damaged.append((path, damage))
    instead = f"using {chosen.name}" if chosen else "there is no intact one"
    return NewestCheckpoint(chosen, [f"checkpoint {p.name} is {damage}: {instead}" for p, damage in damaged])


def _damage(path: Path) -> str | None:
    try:
        return damage_of(path)
    except InputError:
        return "not readable"


def read_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint without running anything from it, and verify it.

    Args:
        path: the file.

    Returns:
        ``iteration``, ``config`` and, by name, ``state``; tensors are on the CPU.

    Raises:
        InputError: when the file is missing, damaged, or no checkpoint.
    """
    content = read_tensors(path)
    if not (isinstance(content, dict) and content.get("format") == _FORMAT and "state" in content):
        raise InputError(path, "is not a checkpoint of this version", "give one of the folder 'checkpoints'")
    return content


def load_checkpoint(
    checkpoint: str | os.PathLike[str] | Mapping[str, Any], to_load: Mapping[str, Any]
) -> dict[str, Any]:
    """Bring objects to the state in which they were saved.

    Args:
        checkpoint: the file, or its content as `read_checkpoint` returned it.
        to_load: objects with ``load_state_dict`` by the names under which they were saved.

    Returns:
        the content of the checkpoint.

    Raises:
        InputError: when the file is missing, damaged, or of a run with other parts.
    """
    content = dict(checkpoint) if isinstance(checkpoint, Mapping) else read_checkpoint(checkpoint)
    where = f"checkpoint of iteration {content['iteration']}" if isinstance(checkpoint, Mapping) else checkpoint
    remedy = "continue with the configuration of the run that wrote it, or choose another output_dir"
    saved = content["state"]
    if saved.keys() != to_load.keys():
        only = [f"has '{name}', which this run lacks" for name in sorted(saved.keys() - to_load.keys())]
        only += [f"lacks '{name}', which this run has" for name in sorted(to_load.keys() - saved.keys())]
        raise InputError(where, " and ".join(only), remedy)
    for name, part in to_load.items():
        if isinstance(part, nn.Module):
            load_into(part, saved[name], where)
            continue
        try:
            part.load_state_dict(saved[name])
        except (RuntimeError, ValueError, KeyError) as error:
            raise InputError(where, f"its '{name}' does not fit this run ({error})", remedy) from error
    return content


def compare_config(saved: Mapping[str, Any], current: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Tell in what two configurations differ.

    Args:
        saved: nested plain values, as stored in a checkpoint.
        current: the same of the run at hand. Lists and tuples of equal values are equal.

    Returns:
        for each id that differs, with ``#`` between its parts, the saved and the current value; an id that one side
        lacks has the value ``"(not set)"`` there. Empty when they agree.

    Example:
        >>> compare_config({"seed": 0, "mix": {"prob": 0.5}}, {"seed": 0, "mix": {"prob": 1.0, "area": 2}})
        {'mix#area': ('(not set)', 2), 'mix#prob': (0.5, 1.0)}
    """
    theirs, ours = dict(_flat(saved)), dict(_flat(current))
    pairs = {k: (theirs.get(k, _NOT_SET), ours.get(k, _NOT_SET)) for k in sorted(theirs.keys() | ours.keys())}
    return {key: (a, b) for key, (a, b) in pairs.items() if _as_lists(a) != _as_lists(b)}


def _flat(config: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Values by id; a list counts as one value unless it holds dictionaries."""
    is_list = isinstance(config, (list, tuple)) and any(isinstance(entry, Mapping) for entry in config)
    if not (is_list or isinstance(config, Mapping)) or (prefix and not config):
        return [(prefix, config)]
    entries = enumerate(config) if is_list else config.items()
    return [item for key, value in entries for item in _flat(value, f"{prefix}#{key}" if prefix else str(key))]


def _as_lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_lists(v) for key, v in value.items()}
    return [_as_lists(v) for v in value] if isinstance(value, (list, tuple)) else value
