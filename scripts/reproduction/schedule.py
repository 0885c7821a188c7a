"""Run cells side by side, each in a process of its own, and say how far they are."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from monai_supmix.errors import InputError
from monai_supmix.files import make_directory
from monai_supmix.listing import shorten
from reproduction.configuration import Configuration
from reproduction.experiment import Cell, Experiment
from reproduction.store import LOG, Store

MISTAKE, CHANGED = 2, 3
"""Exit statuses of a worker: a user's mistake; the configuration is no longer what the command saw when it began."""
_SCRIPTS = Path(__file__).resolve().parents[1]
_ATTEMPTS = 3
_STEP = re.compile(r"iteration (\d+)/(\d+)")


class Stopped(Exception):  # noqa: N818  # no error
    """The user stopped the command; its cells are on disk as far as they came."""


@dataclass
class Pace:
    """What is known about how long cells take, to say how much time is left.

    Args:
        jobs: how many run side by side.
        seconds: those of finished cells, by method.

    Example:
        >>> pace = Pace(jobs=2, seconds={"supervised": [100.0], "supmix": [300.0, 300.0]})
        >>> pace.left(["supervised", "supmix"], begun=100.0), Pace(1).left(["supmix"], begun=5.0)
        (150.0, None)
    """

    jobs: int
    seconds: dict[str, list[float]] = field(default_factory=dict)

    def add(self, method: str, seconds: float) -> None:
        """Take in a finished cell."""
        self.seconds.setdefault(method, []).append(seconds)

    def left(self, methods: Sequence[str], begun: float) -> float | None:
        """Seconds until all is done, or None before any cell is.

        Args:
            methods: those of the unfinished cells, the ones under way included.
            begun: seconds already spent on them.
        """
        measured = [value for values in self.seconds.values() for value in values]
        if not measured:
            return None
        guess = sum(measured) / len(measured)
        total = sum(sum(own) / len(own) if (own := self.seconds.get(method)) else guess for method in methods)
        return max(0.0, total - begun) / max(1, min(self.jobs, len(methods)))


@dataclass
class _Attempt:
    """A worker under way."""

    cell: Cell
    configuration: Configuration
    process: subprocess.Popen
    log: Path
    started: float

    def progress(self) -> str:
        """The newest iteration in its log."""
        with self.log.open("rb") as file:
            file.seek(max(0, self.log.stat().st_size - 4000))
            steps = _STEP.findall(file.read().decode(errors="replace"))
        return f"{self.cell.name} {steps[-1][0]}/{steps[-1][1]}" if steps else self.cell.name


class Schedule:
    """Runs cells until all are finished, or one shows a mistake.

    Args:
        experiment: what the cells share.
        data: the data set's folder or datalist.
        store: the output folder, held by this process.
        jobs: how many to run side by side.
        keep: keep weights, checkpoints and reports of finished cells.
        on_finished: called after each finished cell.
    """

    def __init__(
        self,
        experiment: Experiment,
        data: str,
        store: Store,
        jobs: int,
        keep: bool,
        on_finished: Callable[[], None],
    ) -> None:
        self.experiment, self.data, self.store = experiment, data, store
        self.jobs, self.keep, self.on_finished = jobs, keep, on_finished
        self.pace = Pace(jobs)
        self._running: list[_Attempt] = []
        self._bar: tqdm | None = None

    def run(self, cells: Sequence[tuple[Cell, Configuration]]) -> list[str]:
        """Run cells in their order.

        Args:
            cells: unfinished cells with their configurations.

        Returns:
            what went wrong with those that could not be finished.

        Raises:
            InputError: a mistake in data or configuration, as a cell's process reports it.
            Stopped: by SIGINT or SIGTERM; the cells under way have written checkpoints.
        """
        waiting, failures = list(cells), []
        attempts: dict[str, int] = {}
        with _signals_stop(), tqdm(total=len(cells), unit="cell", disable=None, dynamic_ncols=True) as self._bar:
            try:
                while waiting or self._running:
                    while waiting and len(self._running) < self.jobs:
                        self._start(*waiting.pop(0))
                    self._show(waiting)
                    time.sleep(0.2)
                    for attempt in [one for one in self._running if one.process.poll() is not None]:
                        self._running.remove(attempt)
                        name, status = attempt.cell.name, attempt.process.returncode
                        if status == 0:
                            self._finish(attempt, waiting)
                        elif status == MISTAKE:
                            raise _told_mistake(attempt.log)
                        elif status == CHANGED:
                            raise InputError(
                                "the configuration", "has changed since this command began", "start it again"
                            )
                        elif (status < 0 or status == os.EX_TEMPFAIL) and attempts.get(name, 1) < _ATTEMPTS:
                            attempts[name] = attempts.get(name, 1) + 1
                            self._say(f"{name}: its process was ended from outside ({_ending(status)}); going on")
                            waiting.insert(0, (attempt.cell, attempt.configuration))
                        else:
                            failures.append(f"{name}: {_ending(status)}, see {attempt.log}")
                            self._say(f"failed: {failures[-1]}")
            finally:
                self._stop()
        return failures

    def _start(self, cell: Cell, configuration: Configuration) -> None:
        folder = make_directory(self.store.run_folder(cell, configuration))
        task = {
            "experiment": self.experiment.as_dict() | {"bundle": self.experiment.bundle},
            "cell": cell.as_dict(),
            "hash": configuration.hash,
            "data": self.data,
            "out": str(self.store.out),
        }
        path = os.pathsep.join([str(_SCRIPTS), *filter(None, [os.environ.get("PYTHONPATH")])])
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with (folder / LOG).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "reproduction.worker", json.dumps(task)],
                stdin=subprocess.PIPE,  # never written to: its end shows the worker that this process is gone
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | threads | {"PYTHONPATH": path},
                start_new_session=True,  # Ctrl-C reaches only this process, which passes it on once
            )
        self._running.append(_Attempt(cell, configuration, process, folder / LOG, time.monotonic()))
        self._say(f"started: {cell.name}")

    def _finish(self, attempt: _Attempt, waiting: Sequence[tuple[Cell, Configuration]]) -> None:
        seconds = time.monotonic() - attempt.started
        self.pace.add(str(attempt.cell.method), seconds)
        assert self._bar is not None
        self._bar.update()
        line = f"finished: {attempt.cell.name} in {tqdm.format_interval(round(seconds))}"
        if num_left := len(waiting) + len(self._running):
            line += f", {num_left} to go{self._time_left(waiting)}"
        self._say(line)
        self.store.take(self.experiment, attempt.cell, attempt.configuration, self.keep)
        self.on_finished()

    def _time_left(self, waiting: Sequence[tuple[Cell, Configuration]]) -> str:
        unfinished = [str(one.cell.method) for one in self._running] + [str(cell.method) for cell, _ in waiting]
        now = time.monotonic()
        left = self.pace.left(unfinished, sum(now - one.started for one in self._running))
        return "" if left is None else f", {tqdm.format_interval(round(left))} left"

    def _show(self, waiting: Sequence[tuple[Cell, Configuration]]) -> None:
        if self._bar is None or self._bar.disable:
            return
        left = self._time_left(waiting)
        self._bar.bar_format = "{percentage:3.0f}%|{bar:12}| {n_fmt}/{total_fmt} cells" + left + "{postfix}"
        self._bar.set_postfix_str(shorten([one.progress() for one in self._running], 4))

    def _say(self, text: str) -> None:
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()

    def _stop(self) -> None:
        """End all workers; they write a checkpoint first."""
        for attempt in self._running:
            attempt.process.terminate()
        for attempt in self._running:
            try:
                attempt.process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                attempt.process.kill()
                attempt.process.wait()
        self._running = []


@contextmanager
def _signals_stop() -> Iterator[None]:
    """Turn the first SIGINT or SIGTERM into `Stopped`; further ones wait until the workers have ended."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        for number in previous:
            signal.signal(number, signal.SIG_IGN)
        raise Stopped

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _ending(status: int) -> str:
    if status < 0:
        return f"signal {signal.Signals(-status).name}"
    return f"exit status {status}"


def _told_mistake(log: Path) -> InputError:
    """The mistake in the last error line of a worker's log."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    error = next((line for line in reversed(lines) if line.startswith("error: ")), f"error: {log}: reports no mistake")
    return InputError(*[*error.removeprefix("error: ").split(": ", 2), "", ""][:3])
