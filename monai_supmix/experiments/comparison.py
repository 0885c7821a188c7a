"""Methods compared on a user's own data: trained alike, judged on the same cases, resumed wherever it stopped."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_supmix.bundle.lock import exclusive
from monai_supmix.datalists.partly import KEY
from monai_supmix.errors import InputError
from monai_supmix.experiments.judged import Judged, make_row
from monai_supmix.experiments.page import Comparison, markdown, read_long_steps, require_own_folder, write_comparison
from monai_supmix.experiments.plan import Plan, require_one_process
from monai_supmix.experiments.results import Row, equal_time_steps, pair_up, settled
from monai_supmix.experiments.trial import Trial, check_trainable, contents, data_of, folds_of, read_datalist
from monai_supmix.files import make_directory

BASELINE = "supervised"
_QUIET = {"num_monitored": "0", "tensorboard": "false"}  # looks on the way would count as time of the training
_HEAVY = ("checkpoints", "model.pt", "model.safetensors")


@dataclass(frozen=True)
class Run:
    """One training of a comparison.

    Args:
        method: its method.
        seed: its seed.
        fold: number of its fold, from 1 on; 0 without folds.
        steps: its iterations; None are those of the configuration.
    """

    method: str
    seed: int
    fold: int = 0
    steps: int | None = None

    @property
    def name(self) -> str:
        """A name for folders.

        Example:
            >>> Run("supervised", 0, fold=2, steps=600).name, Run("supmix", 1).name
            ('supervised_600steps-seed0-fold2', 'supmix-seed1')
        """
        steps = "" if self.steps is None else f"_{self.steps}steps"
        return f"{self.method}{steps}-seed{self.seed}" + (f"-fold{self.fold}" if self.fold else "")


def compare(
    plan: Plan,
    methods: Sequence[str],
    seeds: Sequence[int],
    output: Path,
    num_folds: int | None = None,
    keep: bool = False,
) -> int:
    """Compare methods and print what to use.

    Args:
        plan: the bundle and its options.
        methods: names or paths of methods; ``supervised`` is the baseline, or else the first.
        seeds: seeds of the trainings.
        output: folder for all of it.
        num_folds: judge the labelled cases out of fold; None judges the test.
        keep: keep weights and checkpoints of finished trainings.

    Returns:
        exit status: 0, or 1 when broken cases were left out.

    Raises:
        InputError: an unknown method, too few methods or cases, or a mistake in data or configuration.
        Preempted: a signal stopped a training; the same command goes on.

    Example:
        >>> compare(Plan("chase_supmix", {"dataset_dir": "DATA"}), ["supervised"], [0, 1, 2], Path("output"))
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: --methods: are supervised: give two or more different ones, such as ...
    """
    comparer = Comparer(plan, methods, seeds, output, num_folds, keep)
    print(markdown(comparer.run()), end="")
    print(f"written to {output.resolve()}: comparison.md, comparison.json, cases.csv")
    return int(comparer.has_problems)


class Comparer:
    """Runs the trainings of a comparison, and writes what they say; see `compare`."""

    def __init__(
        self,
        plan: Plan,
        methods: Sequence[str],
        seeds: Sequence[int],
        output: Path,
        num_folds: int | None = None,
        keep: bool = False,
    ) -> None:
        self.methods = _labels(methods)
        if len(set(seeds)) < len(seeds) or not seeds or min(seeds) < 0:
            raise InputError("--seeds", f"are {' '.join(map(str, seeds))}", "give different numbers of at least 0")
        reserved = sorted({"seed", "output_dir", "method", "resume"} & plan.pairs.keys())
        if reserved:
            raise InputError(f"--{reserved[0]}", "is set for each training", "leave it out")
        require_one_process("compare")
        require_own_folder(output)
        trainings = [plan.training(method, {"output_dir": str(output)}) for method in methods]
        datalist, problems = read_datalist(trainings[0])
        if num_folds is None and not datalist.test:
            raise InputError("dataset_dir", "holds no labelled test images", "judge the labelled ones with --folds 5")
        lists = [datalist] if num_folds is None else folds_of(datalist, num_folds, trainings[0])
        check_trainable(lists, trainings, KEY if num_folds is None else "--folds")
        self.plan, self.seeds, self.output, self.keep = plan, list(seeds), output, keep
        self.baseline = BASELINE if BASELINE in self.methods else next(iter(self.methods))
        self.judged, self.has_problems = Judged(lists, num_folds), bool(problems)
        files = contents(datalist)
        self.data = [data_of(one, files) for one in lists]
        self.trials: dict[Run, Trial] = {}

    def run(self) -> Comparison:
        """Run what is not finished; the page is written after every seed that is."""
        make_directory(self.output / "runs")
        with exclusive(self.output / "runs"):
            for number, datalist in enumerate(self.judged.lists):
                datalist.to_json(self._cases(number))
            usual = self._plan_runs(self.methods)
            self._run_all(usual)
            self._run_all([run for steps in self._more_steps() for run in self._plan_runs([self.baseline], steps)])
            return self._write(complete=True)

    def _plan_runs(self, methods: Sequence[str] | dict[str, str], steps: int | None = None) -> list[Run]:
        """All runs of some methods, in the order in which a seed of all is soonest complete."""
        folds = range(1, len(self.judged.lists) + 1) if self.judged.num_folds else (0,)
        runs = [Run(method, seed, fold, steps) for seed in self.seeds for fold in folds for method in methods]
        self.trials |= {run: self._trial(run) for run in runs}
        return runs

    def _cases(self, number: int) -> Path:
        return self.output / "datalists" / (f"fold_{number + 1}.json" if self.judged.num_folds else "cases.json")

    def _trial(self, run: Run) -> Trial:
        number = max(0, run.fold - 1)
        more = {key: text for key, text in _QUIET.items() if key in self.plan.merged} | {"seed": str(run.seed)}
        more |= {} if run.steps is None else {"max_iterations": str(run.steps)}
        folder = self.output / "runs" / run.name
        trial = self.plan.trial(folder, self._cases(number), self.data[number], self.methods[run.method], more)
        # Other settings are another folder, so that no run goes on from the checkpoints of another one.
        return trial.at(folder.with_name(f"{folder.name}-{trial.hash}"))

    def _run_all(self, runs: Sequence[Run]) -> None:
        waiting = [run for run in runs if not self.trials[run].finished()]
        for number, run in enumerate(waiting):
            print(f"{run.name}: training {len(runs) - len(waiting) + number + 1} of {len(runs)}", flush=True)
            self.trials[run].run()
            self._tidy(run)
            self._write()

    def _tidy(self, run: Run) -> None:
        """Remove runs of the same name with earlier settings, and what nobody needs of a finished one."""
        trial = self.trials[run]
        for other in trial.folder.parent.glob(f"{run.name}-{'?' * len(trial.hash)}"):
            if other != trial.folder:
                shutil.rmtree(other)
        for path in () if self.keep else (trial.folder / name for name in _HEAVY):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _row(self, method: str, steps: int | None = None) -> Row | None:
        """The figures of a method over the seeds of which all folds are finished; None before any is."""
        by_seed: dict[int, list[Trial]] = {seed: [] for seed in self.seeds}
        for run, trial in self.trials.items():
            if (run.method, run.steps) == (method, steps):
                by_seed[run.seed].append(trial)
        by_seed = {seed: trials for seed, trials in by_seed.items() if trials and all(one.finished() for one in trials)}
        return make_row(method, by_seed, self.judged, long=steps is not None) if by_seed else None

    def _usual_rows(self) -> list[Row]:
        return [row for method in self.methods if (row := self._row(method)) is not None]

    def _long_steps(self) -> dict[str, int]:
        """Iterations of the baseline that take as long as each other method, once all of these are finished."""
        rows = {row.method: row for row in self._usual_rows()}
        if len(rows) < len(self.methods) or any(len(row.seeds) < len(self.seeds) for row in rows.values()):
            return {}
        seconds = {method: row.seconds for method, row in rows.items()}
        long_steps = equal_time_steps(seconds, self.baseline, rows[self.baseline].steps)
        return settled(long_steps, read_long_steps(self.output))

    def _more_steps(self) -> list[int]:
        row = self._row(self.baseline)
        return sorted(set(self._long_steps().values()) - ({row.steps} if row is not None else set()))

    def _write(self, complete: bool = False) -> Comparison:
        """Write the page, the record and the counts of every case."""
        long_steps = self._long_steps()
        long = (self._row(self.baseline, steps) for steps in self._more_steps())
        rows = [*self._usual_rows(), *(row for row in long if row is not None)]
        comparison = Comparison(
            Path(self.plan.bundle).name,
            self.baseline,
            self.judged,
            rows,
            pair_up(rows, self.baseline, long_steps, self.judged.groups, self.judged.class_names),
            long_steps,
            complete,
        )
        write_comparison(self.output, comparison)
        return comparison


def _labels(methods: Sequence[str]) -> dict[str, str]:
    """Methods by the name that they have in tables and folders."""
    labels = {Path(method).stem: method for method in methods}
    if len(labels) < max(2, len(methods)):
        given = " ".join(methods)
        raise InputError("--methods", f"are {given}", "give two or more different ones, such as supervised supmix_sufd")
    return labels
