"""What a user asked for, from which each of many trainings gets its configuration."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_supmix.cli.workflow import Configured, configure, merge
from monai_supmix.config.find import config_files, find_bundle
from monai_supmix.errors import InputError
from monai_supmix.experiments.evaluation import evaluation_of, options_of_evaluation
from monai_supmix.experiments.trial import Trial

Pairs = Mapping[str, str | None]


@dataclass(frozen=True)
class Plan:
    """A bundle with the files and options of its trainings.

    Args:
        bundle: folder or name of the bundle.
        pairs: options as written on the command line, of ``train.json`` or of ``evaluate.json``.
        configs: names or paths of the training's configuration files.
        preset: name or path of a preset.
        tracking: MONAI's experiment tracking of the trainings.

    Example:
        >>> plan = Plan("chase_supmix", {"dataset_dir": "DATA", "output_dir": "OUT", "tta": "true"})
        >>> training = plan.training("supervised")
        >>> training.files[1].name, "tta" in training.overrides  # that is for the evaluation
        ('supervised.json', False)
    """

    bundle: str
    pairs: Pairs
    configs: Sequence[str] = ("train",)
    preset: str | None = None
    tracking: str | None = None

    @functools.cached_property
    def merged(self) -> dict[str, Any]:
        """The training's configuration as its files have it, without a method."""
        return merge(config_files(find_bundle(self.bundle), self.configs, None, self.preset))

    def training(self, method: str | None = None, more: Pairs | None = None) -> Configured:
        """Configure a training that resumes what is there.

        Args:
            method: name or path of its method; None is the bundle's own.
            more: options beside those of the plan.

        Raises:
            InputError: see `monai_supmix.cli.workflow.configure`.
        """
        others = options_of_evaluation(self.bundle, self.pairs, self.merged)
        pairs: dict[str, str | None] = {"resume": "auto"} if "resume" in self.merged else {}
        pairs |= {key: text for key, text in self.pairs.items() if key not in others}
        return configure(self.bundle, self.configs, {**pairs, **(more or {})}, method, self.preset, self.tracking)

    def trial(
        self, folder: Path, cases: Path, data: Mapping[str, Any], method: str | None = None, more: Pairs | None = None
    ) -> Trial:
        """Configure a training on the cases of a datalist file, with its evaluation on the file's test side.

        Args:
            folder: where both write.
            cases: the datalist file; need not exist yet.
            data: see `Trial`.
            method: see `training`.
            more: see `training`.

        Raises:
            InputError: see `training`.
        """
        own = {**on_datalist({**self.pairs, **(more or {})}, self.merged, cases), "output_dir": str(folder)}
        training = Plan(self.bundle, own, self.configs, self.preset, self.tracking).training(method)
        further = [file for file in training.files[1:] if file.parent != training.bundle / "configs" / "presets"]
        return Trial(folder, training, evaluation_of(self.bundle, own, self.preset, further), data)


def on_datalist(pairs: Pairs, merged: Mapping[str, Any], path: Path) -> dict[str, str | None]:
    """Options of a training for a datalist file in the place of its data set.

    Args:
        pairs: options as written on the command line; those that have found the cases are dropped.
        merged: the training's merged configuration.
        path: the datalist file.

    Example:
        >>> merged = {"num_labeled": 6, "seed": 0, "found": {"num_labeled": "@num_labeled", "form": "@form"}}
        >>> on_datalist({"seed": "1", "form": "nnunet"}, merged, Path("fold_1.json"))
        {'seed': '1', 'num_labeled': 'null', 'dataset_dir': 'fold_1.json'}
    """
    source = merged.get("found", merged.get("datalist"))
    entries = source.values() if isinstance(source, Mapping) else ()
    drawn = {entry[1:] for entry in entries if isinstance(entry, str) and entry.startswith("@")}
    kept = {key: text for key, text in pairs.items() if key not in drawn}
    neutral = {"num_labeled": "null", "labeled_list": "null", "num_val_patients": "0"}
    kept |= {key: text for key, text in neutral.items() if key in merged}
    return kept | {"dataset_dir": str(path)}


def require_one_process(option: str) -> None:
    """Raise `InputError` where torchrun has started several processes.

    Args:
        option: what cannot be used then.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(option, "runs in one process", "start it without torchrun")
