"""A small phantom with labelled patients enough for folds, and trainings that only pretend."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from monai_supmix.__main__ import main
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.experiments.trial import Trial
from monai_supmix.metrics import CaseMeasures, write_cases_csv
from monai_supmix.phantoms import write_chest_ct_phantom

TINY = (
    *("--network_def#features", "[4,4,4,4,4,4]", "--discriminator_widths", "[4,4]", "--crop_size", "[32,32]"),
    *("--amp", "false", "--device", "cpu", "--num_labeled", "6"),
)


@pytest.fixture(scope="session")
def chest(tmp_path_factory):
    """Six labelled patients, two unlabelled ones, and one for the test."""
    folder = tmp_path_factory.mktemp("chest")
    return write_chest_ct_phantom(
        folder, num_labeled=6, num_unlabeled=2, num_test=1, size=(32, 32, 4), slice_spacing=30.0
    )


@pytest.fixture
def front(capsys):
    """Run a command: its exit status, output and errors; logging is put back as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    yield run
    root.handlers[:], root.level = handlers, level


class Pretence:
    """Stands in for trainings: remembers what was asked for, and leaves the figures of a method and seed."""

    def __init__(self):
        self.trials = []
        self.right = {"supervised": 50}  # of 100 foreground elements of each class, by method
        self.seconds = {"supervised": 100.0}
        self.stop_at = None
        self.only_in = None  # the one case that shows the last class
        self.dice = None  # by case, that of all classes; the confidence is (1 + Dice) / 2

    def run(self, trial):
        if len(self.trials) == self.stop_at:
            raise KeyboardInterrupt
        self.trials.append(trial)
        method = trial.training.files[1].stem if len(trial.training.files) > 1 else "bundle"
        steps = trial.training.overrides.get("max_iterations") or 1000
        seed = trial.training.overrides.get("seed", 0)
        datalist = Datalist.from_json(trial.training.overrides["dataset_dir"])
        right = self.right.get(method, 50) + seed
        counts = np.array([[900, 0, 0], *[[right, 0, 100 - right]] * 3])
        trial.folder.mkdir(parents=True, exist_ok=True)
        (trial.folder / "model.pt").touch()
        names = datalist.class_names
        cases = {item["case"]: counts.copy() for item in datalist.test}
        for case, own in cases.items():
            own[-1] *= self.only_in in (None, case)
        measures = {case: CaseMeasures(own) for case, own in cases.items()}
        if self.dice:
            shown = {case: round(100 * self.dice[case]) for case in cases}
            measures = {
                case: CaseMeasures(
                    np.array([[900, 0, 0], *[[n, 100 - n, 100 - n]] * 3]), confidence=(None, *[(1 + n / 100) / 2] * 3)
                )
                for case, n in shown.items()
            }
        write_cases_csv(trial.folder / "cases.csv", measures, names)
        settings = {"tta": trial.evaluation.overrides.get("tta", False)}
        Path(trial.folder / "metrics.json").write_text(
            json.dumps({"checkpoint_sha256": "0" * 64, "settings": settings, "inference": {"flips": False}}),
            encoding="utf-8",
        )
        seconds = self.seconds.get(method, 100.0) * steps / 1000
        done = {"hash": trial.hash, "seconds": seconds, "iterations": steps}
        (trial.folder / "trial.json").write_text(json.dumps(done), encoding="utf-8")


@pytest.fixture
def pretence(monkeypatch):
    stand_in = Pretence()

    def run(trial):  # a function, which becomes a method
        stand_in.run(trial)

    monkeypatch.setattr(Trial, "run", run)
    return stand_in
