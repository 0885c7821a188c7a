"""One training with its evaluation, in a folder of its own, that can be stopped anywhere and goes on."""

from __future__ import annotations

import functools
import gc
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_supmix.cli.workflow import Configured
from monai_supmix.config.comparison import comparable
from monai_supmix.config.error_lines import mistakes_as_themselves
from monai_supmix.datalists.check import Problem
from monai_supmix.datalists.datalist import Datalist, require_unlabeled
from monai_supmix.datalists.fingerprint import fingerprint
from monai_supmix.datalists.folds import fold_datalists
from monai_supmix.datalists.items import SIDES
from monai_supmix.datalists.partly import refuse_unlearnable
from monai_supmix.errors import InputError
from monai_supmix.files import make_directory, write_json
from monai_supmix.listing import read_json
from monai_supmix.report import HISTORY_NAME
from monai_supmix.weights import part_of_more

_DONE = "trial.json"
_COUNTING = ("max_epochs", "max_iterations", "pseudo_labels")  # though a run may be resumed with others


@dataclass(frozen=True)
class Trial:
    """A training with its evaluation.

    Args:
        folder: where both write.
        training: configuration of the training; it resumes what is there.
        evaluation: configuration of the evaluation, of the training's test side.
        data: what it is trained and judged on, from `data_of`.
    """

    folder: Path
    training: Configured
    evaluation: Configured
    data: Mapping[str, Any]

    @functools.cached_property
    def hash(self) -> str:
        """All that its figures depend on: settings, length and data, in 12 hexadecimal digits."""
        train, evaluate = (configured.parser().get() for configured in (self.training, self.evaluation))
        more = {key: train.get(key) for key in _COUNTING}
        counting = [comparable(train), more, comparable(evaluate), self.data]
        return hashlib.sha256(json.dumps(counting, sort_keys=True).encode()).hexdigest()[:12]

    def at(self, folder: Path) -> Trial:
        """The same in another folder."""
        training, evaluation = (
            replace(configured, overrides={**configured.overrides, "output_dir": str(folder)})
            for configured in (self.training, self.evaluation)
        )
        return Trial(folder, training, evaluation, self.data)

    def finished(self) -> dict[str, Any] | None:
        """How it was finished with these settings and data, or None: ``seconds`` and ``iterations`` of its training."""
        path = self.folder / _DONE
        if not path.exists() or not (self.folder / "cases.csv").exists():
            return None
        record = read_json(path)
        return record if record.get("hash") == self.hash else None

    def run(self) -> dict[str, Any]:
        """Train and evaluate, from wherever an earlier start was stopped.

        Returns:
            what `finished` returns from now on.

        Raises:
            InputError: a mistake in data or configuration, or the folder holds a run with other settings.
            Preempted: a signal stopped the training; a checkpoint is written.
        """
        make_directory(self.folder)
        (self.folder / _DONE).unlink(missing_ok=True)
        workflow = self.training.workflow()
        workflow.initialize()
        with part_of_more():
            workflow.run()
        workflow.finalize()
        del workflow
        gc.collect()  # the network and the images of this training, before those of the next
        self.evaluation.run()
        parts = [read_json(path) for path in self.folder.rglob(HISTORY_NAME)]  # a method can have several trainings
        totals = {"seconds": "seconds", "iterations": "total_iterations"}
        sums = {key: round(sum(part[name] for part in parts), 3) for key, name in totals.items()}
        record = {"hash": self.hash, **sums}
        write_json(record, self.folder / _DONE, indent=None)
        return record


def read_datalist(training: Configured) -> tuple[Datalist, list[Problem]]:
    """Read and check all cases that a training would use.

    Args:
        training: its configuration.

    Returns:
        the usable cases, and what is wrong with those left out (``on_error=skip``).

    Raises:
        InputError: the configuration trains nothing, or a case is broken.
    """
    parser = training.parser()
    if any(key not in parser for key in ("training", "datalist", "dataset_dir", "output_dir")):
        raise InputError(training.files[0].name, "is not the configuration of a training", "give train")
    with mistakes_as_themselves():
        if "checked" not in parser:
            return parser.get_parsed_content("datalist"), []
        datalist, problems = parser.get_parsed_content("checked")
    return datalist, list(problems)


def folds_of(datalist: Datalist, num_folds: int, training: Configured) -> list[Datalist]:
    """Divide the labelled cases of a training into folds; see `monai_supmix.datalists.folds.fold_datalists`.

    Args:
        datalist: the cases.
        num_folds: how many folds.
        training: its configuration.

    Raises:
        InputError: there are fewer groups than folds, or the training learns from what other networks made of the
            cases, who may have seen those that are judged.
    """
    parser = training.parser()
    if parser.get("pseudo_labels"):
        problem = "are of networks that may have seen the cases which a fold judges"
        raise InputError(
            "--pseudo_labels", problem, "leave them out, or let --method self_training make them in each fold"
        )
    if start := parser.get("ckpt_path"):
        note = f"trainings began with the weights {start}, which must not have seen the cases that are judged"
        datalist = replace(datalist, notes=[*datalist.notes, note])
    return fold_datalists(datalist, num_folds, subject="--folds")


def check_trainable(lists: Sequence[Datalist], trainings: Sequence[Configured], subject: object) -> None:
    """Refuse, before anything is trained, what one of several trainings would refuse.

    Args:
        lists: what is trained on, of each fold.
        trainings: the configurations.
        subject: what an error about a class without labels is about.

    Raises:
        InputError: there are no unlabelled images for a method that needs some, or a class was labelled in no training
            case of a list.
    """
    parsers = [training.parser() for training in trainings]
    knows_nothing = not all(parser.get("ckpt_path") or parser.get("pseudo_labels") for parser in parsers)
    for number, datalist in enumerate(lists, 1):
        if any(training.uses_unlabeled() for training in trainings):
            require_unlabeled(datalist)
        if knows_nothing:
            of_fold = f"{subject} (fold {number})" if len(lists) > 1 else subject
            refuse_unlearnable(datalist.labeled, datalist.class_names, of_fold)


def data_of(datalist: Datalist, files: Mapping[str, Any]) -> dict[str, Any]:
    """What is trained and judged on, in plain values.

    Args:
        datalist: the list.
        files: the content of all its files, from `contents`.
    """
    return {side: [item["case"] for item in getattr(datalist, side)] for side in SIDES} | {"files": files}


def contents(datalist: Datalist) -> dict[str, Any]:
    """Name, size and content of all files of a datalist, those of its test among them."""
    return fingerprint(replace(datalist, labeled=[*datalist.labeled, *datalist.test]))["files"]
