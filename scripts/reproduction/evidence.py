"""Finished cells as two small files: `experiment.json`, how each was made, and `cases.csv.gz`, its counts by case.

What all cells have in common stands once in `experiment.json`; a line for each cell has the rest.
"""

from __future__ import annotations

import csv
import functools
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write
from monai_supmix.listing import read_json
from monai_supmix.metrics import CaseMeasures, summarize
from reproduction.configuration import Configuration
from reproduction.experiment import Cell, Experiment

_COUNTS = ("tp", "fp", "fn")
_OF_A_CELL = ("method", "num_labeled", "seed")
_PARTS = ("record", "train", "evaluate")


@dataclass(frozen=True)
class Finished:
    """A finished cell.

    Args:
        cell: which one.
        configuration: its settings, as they were when its figures were made.
        record: how it was made otherwise: ``config_hash`` (then), ``commit``, ``versions``, ``seconds``,
            ``weights_sha256``, ``labeled_seed``, ``labeled`` (names of the labelled images) and ``notes``.
        class_names: the classes, background first.
        cases: the names of the test cases ...
        groups: ... and the patient of each.
        counts: TP, FP, FN of each test case and class, int64 ``(num_cases, C, 3)``.
    """

    cell: Cell
    configuration: Configuration
    record: Mapping[str, Any]
    class_names: tuple[str, ...]
    cases: tuple[str, ...]
    groups: tuple[str, ...]
    counts: np.ndarray

    @functools.cached_property
    def metrics(self) -> dict[str, Any]:
        """IoU and Dice of all cases together, as ``metrics.json`` of an evaluation has them."""
        measures = dict(zip(self.cases, map(CaseMeasures, self.counts), strict=True))
        return summarize(measures, self.class_names)


class Evidence:
    """The two files in a folder.

    Args:
        folder: an existing folder.
    """

    def __init__(self, folder: Path) -> None:
        self.settings, self.table = folder / "experiment.json", folder / "cases.csv.gz"

    def experiment(self) -> Experiment:
        """Read what the folder is for.

        Raises:
            InputError: there is no such record, or it is damaged.
        """
        if not self.settings.exists():
            raise InputError(
                self.settings.parent, f"has no {self.settings.name}", "give the folder of an earlier --out"
            )
        try:
            return Experiment(**read_json(self.settings)["experiment"])
        except (KeyError, TypeError) as error:
            raise self._damaged(error) from error

    def claim(self, experiment: Experiment) -> None:
        """Write down what the folder is for, or see that it is for this.

        Raises:
            InputError: the folder holds cells of another experiment, or cannot be written.
        """
        if not self.settings.exists():
            self._write_settings(experiment, [])
            return
        was, wanted = self.experiment().as_dict(), experiment.as_dict()
        changed = "; ".join(f"{key} was {was[key]!r}, is {wanted[key]!r}" for key in wanted if was[key] != wanted[key])
        if changed:
            folder = self.settings.parent
            raise InputError(folder, f"is the folder of another experiment ({changed})", "choose another --out")

    def finished(self) -> list[Finished]:
        """All finished cells in the order of the tables.

        Raises:
            InputError: a file is damaged.
        """
        content = read_json(self.settings) if self.settings.exists() else {}
        if not content.get("cells"):
            return []
        try:
            class_names, rows = self._read_table()
            cells = []
            for own in content["cells"]:
                record, train, evaluate = ({**content["common"][part], **own[part]} for part in _PARTS)
                cell = Cell.from_dict(record)
                of_cell = rows[cell]
                cells.append(
                    Finished(
                        cell,
                        Configuration(train, evaluate),
                        {key: value for key, value in record.items() if key not in _OF_A_CELL},
                        class_names,
                        tuple(row["case"] for row in of_cell),
                        tuple(row["group"] for row in of_cell),
                        np.array([[[int(row[f"{c}_{n}"]) for n in _COUNTS] for c in class_names] for row in of_cell]),
                    )
                )
        except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
            raise self._damaged(error) from error
        return sorted(cells, key=lambda one: one.cell.place)

    def of(self, cell: Cell) -> Finished | None:
        """A cell as it was finished, with whatever configuration, or None."""
        return next((one for one in self.finished() if one.cell == cell), None)

    def add(self, experiment: Experiment, one: Finished) -> None:
        """Take in a cell, in the place of an earlier one of its name.

        Raises:
            InputError: files are damaged, or the system refuses to write.
        """
        before = self.finished()
        others = [other for other in before if other.cell != one.cell]
        if len(others) < len(before):
            self._write_settings(experiment, others)  # not finished while its counts are being replaced
        self.write(experiment, sorted([*others, one], key=lambda each: each.cell.place))

    def write(self, experiment: Experiment, finished: Sequence[Finished]) -> None:
        """Write both files; the counts first, for a cell is finished when its settings are there.

        Args:
            experiment: what the folder is for.
            finished: the cells, in the order of the tables.

        Raises:
            InputError: the system refuses to write.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = finished[0].class_names
        writer.writerow([*_OF_A_CELL, "case", "group", *(f"{name}_{count}" for name in names for count in _COUNTS)])
        for one in finished:
            if one.class_names != names:
                raise InputError(one.cell.name, "has other classes than the others", "choose another --out")
            about = one.cell.as_dict().values()
            for case, group, counts in zip(one.cases, one.groups, one.counts, strict=True):
                writer.writerow([*about, case, group, *counts.ravel().tolist()])
        with atomic_write(self.table) as file:
            file.write(gzip.compress(text.getvalue().encode(), mtime=0))  # the same bytes each time
        self._write_settings(experiment, finished)

    def _read_table(self) -> tuple[tuple[str, ...], dict[Cell, list[dict[str, str]]]]:
        with gzip.open(self.table, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            names = [name.removesuffix("_tp") for name in reader.fieldnames or () if name.endswith("_tp")]
            rows: dict[Cell, list[dict[str, str]]] = {}
            for row in reader:
                cell = Cell.from_dict({"method": row["method"], **{key: int(row[key]) for key in _OF_A_CELL[1:]}})
                rows.setdefault(cell, []).append(row)
        return tuple(names), rows

    def _write_settings(self, experiment: Experiment, finished: Sequence[Finished]) -> None:
        cells = [
            {
                "record": {**one.cell.as_dict(), **one.record},
                "train": one.configuration.train,
                "evaluate": one.configuration.evaluate,
            }
            for one in finished
        ]
        common = {part: _common([cell[part] for cell in cells]) for part in _PARTS}
        common["record"] = {key: value for key, value in common["record"].items() if key not in _OF_A_CELL}
        own = [
            {part: {k: v for k, v in cell[part].items() if k not in common[part]} for part in _PARTS} for cell in cells
        ]
        with atomic_write(self.settings, text=True) as file:
            file.write(_in_lines({"experiment": experiment.as_dict(), "common": common, "cells": own}, depth=2) + "\n")

    def _damaged(self, error: Exception) -> InputError:
        names = f"{self.settings.name} or {self.table.name}"
        remedy = "take both from version control, or remove them, so that the cells are run again"
        return InputError(self.settings.parent, f"has a damaged {names} ({error!r})", remedy)


def _common(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The entries that are the same in all records."""
    if not records:
        return {}
    first, *others = records
    return {key: v for key, v in first.items() if all(key in other and other[key] == v for other in others)}


def _in_lines(value: Any, depth: int, indent: str = "") -> str:
    """JSON with a line for each entry down to a depth."""
    inner = indent + " "
    if depth < 0 or not value or not isinstance(value, (dict, list)):
        return json.dumps(value)
    if isinstance(value, list):
        return "[\n" + ",\n".join(inner + _in_lines(entry, -1) for entry in value) + f"\n{indent}]"
    lines = [f"{inner}{json.dumps(key)}: {_in_lines(entry, depth - 1, inner)}" for key, entry in value.items()]
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
