"""The evaluation that belongs to a training: the same overrides, as far as an evaluation has such keys."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from monai_supmix.cli.workflow import Configured, acts_on, configure, entries_of, merge, top_of
from monai_supmix.config.find import config_files, find_bundle
from monai_supmix.config.overrides import PROGRAMS


def evaluation_of(
    bundle: str, pairs: Mapping[str, str | None], preset: str | None = None, further: Sequence[Path] = ()
) -> Configured:
    """Configure the evaluation of a training.

    Args:
        bundle: folder or name of the bundle.
        pairs: overrides of the training as written on the command line, ``dataset_dir`` and ``output_dir`` among them.
        preset: preset of the training; taken where it changes the evaluation as well.
        further: other files of the training; their entries count where an evaluation has them too.

    Raises:
        InputError: an unknown bundle or preset, or a wrong value.

    Example:
        >>> pairs = {"dataset_dir": "DATA", "output_dir": "OUT", "crop_size": "[64,64]", "tta": "true"}
        >>> sorted(evaluation_of("chase_supmix", pairs).overrides.keys() & pairs.keys())
        ['dataset_dir', 'output_dir', 'tta']
    """
    folder = find_bundle(bundle)
    known = merge(config_files(folder, ["evaluate"]))
    own = {key: text for key, text in pairs.items() if _is_for_evaluation(key, known)}  # no weights to start from
    configured = configure(bundle, ["evaluate"], own, preset=preset_for(folder, "evaluate", preset))
    entries = {key: value for file in further for key, value in entries_of(file).items()}
    entries = {key: value for key, value in entries.items() if key not in PROGRAMS and _is_for_evaluation(key, known)}
    return replace(configured, overrides=entries | configured.overrides)


def options_of_evaluation(bundle: str, pairs: Mapping[str, str | None], training: Mapping[str, Any]) -> set[str]:
    """Names of the overrides that only an evaluation has, such as ``tta``.

    Args:
        bundle: folder or name of the bundle.
        pairs: overrides as written on the command line.
        training: the merged configuration of the training.
    """
    known = merge(config_files(find_bundle(bundle), ["evaluate"]))
    return {key for key in pairs if top_of(key) not in training and top_of(key) in known}


def preset_for(bundle: Path, config: str, preset: str | None) -> str | None:
    """A preset, if it changes anything that a configuration has.

    Args:
        bundle: folder of the bundle.
        config: the configuration.
        preset: name or path of a preset of the training.
    """
    if preset is None:
        return None
    main, chosen = config_files(bundle, [config], preset=preset)
    return preset if acts_on(chosen, entries_of(main)) else None


def applies_to(key: str, known: Mapping[str, Any]) -> bool:
    """Whether an override of a training also applies to another configuration, which takes null entries from weights.

    Args:
        key: of the override.
        known: the other configuration.

    Example:
        >>> known = {"seed": 0, "working": None}
        >>> applies_to("seed", known), applies_to("working#size", known), applies_to("crop_size", known)
        (True, False, False)
    """
    top, *inner = key.replace("::", "#").split("#")
    return top in known and not (inner and known[top] is None)


def _is_for_evaluation(key: str, known: Mapping[str, Any]) -> bool:
    """Whether it also applies to the evaluation: weights to start from are not those to judge."""
    return applies_to(key, known) and top_of(key) != "ckpt_path"
