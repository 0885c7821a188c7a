"""The cases that methods are judged on, and a method's figures on them."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.experiments.results import Row
from monai_supmix.experiments.trial import Trial
from monai_supmix.metrics import CaseMeasures, read_cases_csv


@dataclass(frozen=True)
class Judged:
    """Cases that are judged: those of the test, or the labelled ones out of fold.

    Args:
        lists: the datalist of each fold, whose test side is judged; a single one without folds.
        num_folds: how many folds there are; None without.
    """

    lists: Sequence[Datalist]
    num_folds: int | None = None

    @property
    def class_names(self) -> list[str]:
        """The classes, background first."""
        return self.lists[0].class_names

    @functools.cached_property
    def about(self) -> dict[str, dict[str, Any]]:
        """Of each case, in the order of the names, its ``fold`` if there are folds, and its ``group`` (the patient)."""
        by_case: dict[str, dict[str, Any]] = {}
        for number, datalist in enumerate(self.lists, 1):
            fold = {"fold": number} if self.num_folds else {}
            by_case |= {item["case"]: {**fold, "group": item["group"]} for item in datalist.test}
        return dict(sorted(by_case.items()))

    @property
    def groups(self) -> list[str]:
        """The patient of each case."""
        return [case["group"] for case in self.about.values()]

    @property
    def patients_known(self) -> bool:
        """Whether they have other patients than themselves: else each is its own, and nobody knows the patients."""
        return self.groups != [*self.about]

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know: what all lists note."""
        return [note for note in self.lists[0].notes if all(note in datalist.notes for datalist in self.lists)]

    def measures(self, trials: Sequence[Trial]) -> dict[str, CaseMeasures]:
        """Put the cases of all folds together.

        Args:
            trials: the finished trial of each list.

        Returns:
            measures by case, in the order of the names.
        """
        cases: dict[str, CaseMeasures] = {}
        for trial in trials:
            cases |= read_cases_csv(trial.folder / "cases.csv", self.class_names)
        return {case: cases[case] for case in self.about}

    def lone_classes(self, counts: np.ndarray) -> list[str]:
        """Notes about classes whose figure says little because all their labels are in one fold.

        Args:
            counts: TP, FP, FN by case and class, ``(num_cases, C, 3)``.
        """
        notes = []
        for index, name in enumerate(self.class_names[1:], 1) if self.num_folds else ():
            shown = counts[:, index, 0] + counts[:, index, 2] > 0
            folds = {case["fold"] for case, is_there in zip(self.about.values(), shown, strict=True) if is_there}
            if len(folds) == 1:
                notes.append(f"all labels of {name} are in fold {min(folds)}, whose network has never seen the class")
        return notes


def make_row(method: str, by_seed: Mapping[int, Sequence[Trial]], judged: Judged, long: bool = False) -> Row:
    """The figures of a method.

    Args:
        method: its name.
        by_seed: finished trials of each seed, one for each fold.
        judged: the cases.
        long: see `Row`.
    """
    done = [trial.finished() or {} for trials in by_seed.values() for trial in trials]
    tables = [judged.measures(trials).values() for trials in by_seed.values()]
    counts = np.stack([np.stack([case.counts for case in table]) for table in tables])
    seconds = float(np.mean([one["seconds"] for one in done]))
    return Row(method, done[0]["iterations"], seconds, tuple(by_seed), counts, long)
