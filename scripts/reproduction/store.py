"""What an output folder holds: finished cells, which may be committed, and runs under way, which may not.

`cells/<cell>/` has `metrics.json` and `cases.csv` of the evaluation and, written last, `cell.json`: a cell is
finished when it is there. `runs/<cell>-<hash>/` is where a cell is trained; of a finished one the predicted
label maps stay (for the figure), and with `--keep` everything.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory, remove_leftovers
from monai_supmix.listing import read_json
from reproduction.experiment import Cell, Experiment
from reproduction.keys import Key, cell_key

PREDICTIONS, LOG = "predictions.npz", "log.txt"
RESULT_COLUMNS = ("bundle", "method", "num_labeled", "seed", "class", "iou", "dice", "seconds", "config_hash")
_RECORD, _METRICS, _CASES = "cell.json", "metrics.json", "cases.csv"


@dataclass(frozen=True)
class Finished:
    """A finished cell.

    Args:
        cell: which one.
        key: what its figures depend on, as it was when they were made.
        record: the content of its ``cell.json``.
        metrics: the content of its ``metrics.json``.
        counts: TP, FP, FN of each test case and class, int64 ``(num_cases, C, 3)``.
        cases: the cases' names.
    """

    cell: Cell
    key: Key
    record: Mapping[str, Any]
    metrics: Mapping[str, Any]
    counts: np.ndarray
    cases: tuple[str, ...]

    @property
    def class_names(self) -> list[str]:
        """The classes, background first."""
        return list(self.metrics["classes"])

    @property
    def groups(self) -> tuple[str, ...]:
        """The patient of each test case."""
        return tuple(self.record["groups"][case] for case in self.cases)


class Store:
    """An output folder.

    Args:
        out: its path.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.cells, self.runs = out, out / "cells", out / "runs"

    def prepare(self) -> None:
        """Make the folders; what lies in ``runs`` stays out of version control.

        Raises:
            InputError: the system refuses.
        """
        for folder in (self.out, self.cells, self.runs):
            make_directory(folder)
            remove_leftovers(folder)
        with atomic_write(self.runs / ".gitignore", text=True) as file:
            file.write("*\n")

    def run_folder(self, cell: Cell, key: Key) -> Path:
        """Where a cell is trained; another key is another folder."""
        return self.runs / f"{cell.name}-{key.hash}"

    def finished(self, cell: Cell) -> Finished | None:
        """A cell as it was finished, with whatever key, or None.

        Raises:
            InputError: its files are damaged.
        """
        folder = self.cells / cell.name
        return _read(folder) if (folder / _RECORD).exists() else None

    def all_finished(self) -> list[Finished]:
        """All finished cells in the order of the tables.

        Raises:
            InputError: the files of one are damaged.
        """
        found = [_read(path.parent) for path in self.cells.glob(f"*/{_RECORD}")]
        return sorted(found, key=lambda finished: finished.cell.place)

    def add(self, cell: Cell, key: Key, evaluated: Path, record: Mapping[str, Any]) -> None:
        """Take a cell's figures over from the folder in which it was evaluated.

        Args:
            cell: the cell.
            key: its key.
            evaluated: folder with ``metrics.json`` and ``cases.csv``.
            record: what else to write down.

        Raises:
            InputError: the system refuses to write.
        """
        folder = make_directory(self.cells / cell.name)
        (folder / _RECORD).unlink(missing_ok=True)  # not finished while the figures are being replaced
        metrics = read_json(evaluated / _METRICS)
        metrics["checkpoint"] = Path(metrics["checkpoint"]).name  # where it lay is nobody's business
        with atomic_write(folder / _METRICS, text=True) as file:
            file.write(json.dumps(metrics, indent=1) + "\n")
        with atomic_write(folder / _CASES) as file:
            file.write((evaluated / _CASES).read_bytes())
        content = {**cell.as_dict(), "config_hash": key.hash, **record}
        content |= {"train": key.train, "evaluate": key.evaluate, "sources": key.sources}
        with atomic_write(folder / _RECORD, text=True) as file:
            file.write(json.dumps(content, indent=1) + "\n")

    def clean(self, cell: Cell, key: Key, keep: bool) -> None:
        """Remove what is no longer needed of a finished cell's runs, those of former keys included."""
        current = self.run_folder(cell, key)
        for folder in self.runs.glob(f"{cell.name}-*"):
            if folder != current:
                shutil.rmtree(folder, ignore_errors=True)
        if keep or not current.is_dir():
            return
        for path in current.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name != PREDICTIONS:
                path.unlink()

    def write_results(self, experiment: Experiment, finished: Sequence[Finished]) -> None:
        """Write ``results.csv``: a row for each cell and class, and for the mean over the classes.

        Args:
            experiment: the folder's experiment.
            finished: the cells to write, in order.

        Raises:
            InputError: the system refuses to write.
        """
        bundle = experiment.as_dict()["bundle"]
        with atomic_write(self.out / "results.csv", text=True) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(RESULT_COLUMNS)
            for one in finished:
                metrics, about = one.metrics, one.cell.as_dict().values()
                mean = {"iou": metrics["mean_iou"], "dice": metrics["mean_dice"]}
                for name, figures in (*metrics["classes"].items(), ("mean", mean)):
                    values = [f"{figures[measure]:.6f}" if figures else "" for measure in ("iou", "dice")]
                    row = [bundle, *about, name, *values, f"{one.record['seconds']:.1f}", one.record["config_hash"]]
                    writer.writerow(row)


def current_key(experiment: Experiment, cell: Cell) -> Key:
    """The key that a cell would have now.

    Raises:
        InputError: the experiment's configuration is wrong.
    """
    return cell_key(experiment.training(cell, "data", "output"), experiment.evaluation("data", "output"))


def _read(folder: Path) -> Finished:
    record, metrics = read_json(folder / _RECORD), read_json(folder / _METRICS)
    try:
        names = list(metrics["classes"])
        with (folder / _CASES).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        counts = [[[int(row[f"{name}_{what}"]) for what in ("tp", "fp", "fn")] for name in names] for row in rows]
        return Finished(
            Cell.from_dict(record),
            Key(record["train"], record["evaluate"], record["sources"]),
            record,
            metrics,
            np.array(counts, np.int64),
            tuple(row["case"] for row in rows),
        )
    except (KeyError, ValueError, OSError) as error:
        raise InputError(folder, f"is damaged ({error!r})", "remove it, so that the cell is run again") from error
