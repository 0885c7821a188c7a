"""One cell in a process of its own: train, evaluate, hand over the figures. Started by `schedule`.

The process has one thread, so that its sums are rounded the same way however many run side by side. It ends
when its parent does: its standard input is a pipe that the parent holds open.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events

from monai_supmix.bundle.lock import exclusive
from monai_supmix.config.error_lines import error_line
from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory
from monai_supmix.listing import read_json
from monai_supmix.metrics import read_cases_csv
from monai_supmix.weights.record import current_versions
from reproduction.commit import current_commit
from reproduction.configuration import Configuration, current_configuration
from reproduction.evidence import Finished
from reproduction.experiment import Cell, Experiment
from reproduction.schedule import CHANGED, MISTAKE
from reproduction.store import PREDICTIONS, Store

_PATIENCE = 60.0  # seconds for the orphan of a killed command to die


def run_cell(experiment: Experiment, cell: Cell, configuration: Configuration, data: str, store: Store) -> None:
    """Train and evaluate a cell, from wherever an earlier attempt was stopped, and hand it over to the store.

    Args:
        experiment: what all cells share.
        cell: the cell.
        configuration: its configuration.
        data: the data set's folder or datalist.
        store: the output folder.

    Raises:
        InputError: a mistake in data or configuration.
        Preempted: a signal stopped the training; a checkpoint is written.
    """
    folder = make_directory(store.run_folder(cell, configuration))
    output = folder / "output"
    with _held(folder):
        clock = _Clock(folder / "clock.json", output)
        for network in range(experiment.networks):
            workflow = experiment.training(cell, data, str(output), network).workflow()
            workflow.initialize()
            workflow.run()
            workflow.finalize()
        labeled = [item["case"] for item in workflow.parser.get_parsed_content("datalist").labeled]
        workflow = experiment.evaluation(data, str(output)).workflow()
        workflow.initialize()
        predictions = _collect_predictions(workflow.parser.get_parsed_content("evaluator"))
        workflow.run()
        datalist = workflow.parser.get_parsed_content("datalist")
        with atomic_write(folder / PREDICTIONS) as file:
            np.savez_compressed(file, **predictions)  # type: ignore[arg-type]
        metrics = read_json(output / "metrics.json")
        record = {
            "config_hash": configuration.hash,
            "commit": " and ".join(clock.commits),
            "versions": current_versions(),
            "seconds": round(clock.seconds(), 1),
            "weights_sha256": metrics["checkpoint_sha256"],
            "labeled_seed": experiment.labeled_seed(cell),
            "labeled": labeled,
            "notes": list(datalist.notes),
        }
        names, groups = tuple(metrics["classes"]), {item["case"]: item["group"] for item in datalist.test}
        measures = read_cases_csv(output / "cases.csv", names)
        cases, counts = tuple(measures), np.stack([one.counts for one in measures.values()])
        of_cases = tuple(groups[case] for case in cases)
        store.hand_over(experiment, Finished(cell, configuration, record, names, cases, of_cases, counts))


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a run's folder, once the orphan of a command that was killed a moment ago has let go of it."""
    give_up = time.monotonic() + _PATIENCE
    while True:
        try:
            held = exclusive(folder)
            held.__enter__()
            break
        except InputError:
            if time.monotonic() > give_up:
                raise
            time.sleep(0.1)
    try:
        yield
    finally:
        held.__exit__(None, None, None)


class _Clock:
    """How long a cell took, over all attempts, and by what code.

    What a killed attempt did after its last checkpoint is lost work.
    """

    def __init__(self, path: Path, output: Path) -> None:
        self.path = path
        self.before, self.started = 0.0, time.time()
        self.commits = [current_commit()]
        if path.exists():
            earlier = json.loads(path.read_text(encoding="utf-8"))
            saved = max((file.stat().st_mtime for file in output.rglob("checkpoints/*.pt")), default=0.0)
            self.before = earlier["before"] + max(0.0, saved - earlier["started"])
            self.commits = list(dict.fromkeys([*earlier["commits"], *self.commits]))
        with atomic_write(path, text=True) as file:
            json.dump({"before": self.before, "started": self.started, "commits": self.commits}, file)

    def seconds(self) -> float:
        return self.before + time.time() - self.started


def _collect_predictions(evaluator: Engine) -> dict[str, np.ndarray]:
    """A dictionary that fills with the label maps of all cases as they are evaluated."""
    predictions: dict[str, np.ndarray] = {}

    def add(engine: Engine) -> None:
        for item in engine.state.output:  # type: ignore[union-attr]
            predictions[item["case"]] = np.asarray(item["prediction"], np.uint8)

    evaluator.add_event_handler(Events.ITERATION_COMPLETED, add)
    return predictions


def _end_with_parent() -> None:
    """End this process as soon as the other end of its standard input is closed."""

    def wait() -> None:
        while os.read(sys.stdin.fileno(), 1):  # not sys.stdin.read, whose lock a thread must not hold at the end
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(task: dict[str, Any]) -> int:
    """Run the cell that a task describes.

    Returns:
        exit status: 0 finished, `MISTAKE`, or `CHANGED` when the configuration is no longer what the parent saw.
    """
    torch.set_num_threads(1)
    experiment, cell = Experiment(**task["experiment"]), Cell.from_dict(task["cell"])
    configuration = current_configuration(experiment, cell)
    if configuration.hash != task["hash"]:
        return CHANGED
    try:
        run_cell(experiment, cell, configuration, task["data"], Store(Path(task["out"])))
    except Exception as error:
        line = error_line(error)
        if line is None:
            raise
        print(line, flush=True)
        return MISTAKE
    return 0


if __name__ == "__main__":
    _end_with_parent()
    sys.exit(main(json.loads(sys.argv[1])))
