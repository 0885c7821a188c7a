"""Which checkpoint a run goes on from, and whether it may."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from monai_supmix.errors import InputError
from monai_supmix.handlers.checkpoints import (
    compare_config,
    existing_checkpoints,
    load_checkpoint,
    newest_intact,
    read_checkpoint,
)

logger = logging.getLogger(__name__)

Resume = Literal[False, "auto", "force"]

_TOLD = 6  # differences that a refusal names


def check_resume(resume: Resume) -> None:
    """Raise :class:`monai_supmix.InputError` unless ``resume`` is one of its three values."""
    if resume not in (False, "auto", "force"):
        raise InputError("resume", f"is {resume!r}", "give false, 'auto' or 'force'")


def checkpoint_to_continue(folder: str | os.PathLike[str], resume: Resume) -> Path | None:
    """The newest intact checkpoint of a folder; ``None`` where there is none, so that the run begins.

    Args:
        folder: the run's checkpoints; need not exist.
        resume: ``False`` refuses a folder that holds any.

    Raises:
        InputError: there are checkpoints and ``resume`` is ``False``, or none of them is intact.

    Example:
        >>> checkpoint_to_continue("no/such/folder", resume=False) is None
        True
    """
    folder = Path(folder)
    if not resume:
        if existing_checkpoints(folder):
            remedy = "give resume=auto to continue it, or another output_dir"
            raise InputError(folder, "holds checkpoints of an earlier run", remedy)
        return None
    path, warnings = newest_intact(folder)
    for warning in warnings:
        logger.warning(warning)
    if path is None and warnings:
        remedy = "remove the damaged files to start again, or choose another output_dir"
        raise InputError(folder, "holds checkpoints, but none is intact", remedy)
    if path is None:
        logger.info("no checkpoint in %s: starting from the beginning.", folder)
    return path


def restore(path: Path, state: Mapping[str, Any], config: Mapping[str, Any], resume: Resume) -> None:
    """Load a checkpoint into the parts of a run.

    Args:
        path: the checkpoint.
        state: the parts by name, each with ``load_state_dict``.
        config: what the run's configuration and data are now, by entry.
        resume: ``"force"`` goes on although they were others when the checkpoint was written.

    Raises:
        InputError: they were others, and ``resume`` is not ``"force"``.
    """
    content = read_checkpoint(path)
    differing = compare_config(content["config"], config)
    if differing and resume != "force":
        named = [f"{key} was {was!r}, is {now!r}" for key, (was, now) in differing.items()]
        more = [f"and {len(named) - _TOLD} more"] if len(named) > _TOLD else []
        differences = "; ".join([*named[:_TOLD], *more])
        remedy = "run with the same ones, give resume=force to continue all the same, or another output_dir"
        raise InputError(path, f"belongs to a run with other settings or data ({differences})", remedy)
    load_checkpoint(content, state)
