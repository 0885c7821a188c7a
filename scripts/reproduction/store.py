"""What an output folder holds: finished cells, which may be committed, and runs under way, which may not.

`experiment.json` says how each finished cell was made, `cases.csv.gz` has its counts for each test case.
`runs/<cell>-<hash>/` is where a cell is trained, and left as such a pair of files in `evidence/` when it is
finished, to be taken over by the command that runs the cells; of a finished one the predicted label maps stay
(for the figure), and with `--keep` everything.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from pathlib import Path

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory, remove_leftovers
from reproduction.configuration import Configuration
from reproduction.evidence import Evidence, Finished
from reproduction.experiment import Cell, Experiment

PREDICTIONS, LOG = "predictions.npz", "log.txt"
RESULT_COLUMNS = ("bundle", "method", "num_labeled", "seed", "class", "iou", "dice", "seconds", "config_hash")


class Store:
    """An output folder.

    Args:
        out: its path.
    """

    def __init__(self, out: Path) -> None:
        self.out, self.runs, self.evidence = out, out / "runs", Evidence(out)

    def prepare(self, experiment: Experiment) -> None:
        """Make the folders; what lies in ``runs`` stays out of version control.

        Args:
            experiment: what the folder is for from now on.

        Raises:
            InputError: the folder holds cells of another experiment, or the system refuses.
        """
        for folder in (self.out, self.runs):
            make_directory(folder)
            remove_leftovers(folder)
        self.evidence.claim(experiment)
        with atomic_write(self.runs / ".gitignore", text=True) as file:
            file.write("*\n")

    def run_folder(self, cell: Cell, configuration: Configuration) -> Path:
        """Where a cell is trained; another configuration is another folder."""
        return self.runs / f"{cell.name}-{configuration.hash}"

    def hand_over(self, experiment: Experiment, one: Finished) -> None:
        """Leave a finished cell for `take`, which only one process may call.

        Args:
            experiment: the folder's experiment.
            one: the cell.

        Raises:
            InputError: the system refuses to write.
        """
        handed = Evidence(make_directory(self.run_folder(one.cell, one.configuration) / "evidence"))
        handed.claim(experiment)
        handed.write(experiment, [one])

    def take(self, experiment: Experiment, cell: Cell, configuration: Configuration, keep: bool) -> None:
        """Take over what was handed over of a cell, if anything was, and remove what is no longer needed of its runs.

        Args:
            experiment: the folder's experiment.
            cell: the cell.
            configuration: its configuration.
            keep: keep weights, checkpoints and reports.

        Raises:
            InputError: files are damaged, or the system refuses to write.
        """
        folder = self.run_folder(cell, configuration)
        handed = Evidence(folder / "evidence").finished()
        if handed:
            self.evidence.add(experiment, handed[0])
        finished = self.evidence.of(cell)
        if finished is None or finished.configuration.hash != configuration.hash:
            return
        for other in self.runs.glob(f"{cell.name}-*"):
            if other != folder:
                shutil.rmtree(other, ignore_errors=True)
        if folder.is_dir():
            for path in folder.iterdir():
                if path.is_dir() and not (keep and path.name != "evidence"):
                    shutil.rmtree(path, ignore_errors=True)
                elif path.is_file() and path.name != PREDICTIONS and not keep:
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


def check_same_cases(names: Sequence[str], data: str, finished: Sequence[Finished]) -> None:
    """Raise `InputError` unless these are the test images of the cells that are finished.

    Args:
        names: the test images at hand, sorted.
        data: the data set's folder or datalist.
        finished: finished cells.
    """
    for one in finished:
        if sorted(one.cases) != list(names):
            problem = f"has other test images than those of the finished cell {one.cell.name}"
            raise InputError(data, problem, "give the same data, or choose another --out")
