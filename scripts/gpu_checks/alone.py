"""A check in a process of its own, with a limit on its time: what fails or hangs there hides no other check."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from benchmarks.timing import Row

from gpu_checks.checks import Check
from gpu_checks.place import Place

_LIMIT_WHEN_SMALL = 300  # seconds: then it matters that all runs, on a busy processor too
_SHOWN = 15  # lines of the output of a check that failed


@dataclass
class Outcome:
    """What became of a check.

    Args:
        name: of the check.
        status: how it ended; a check that cannot run here is skipped.
        seconds: how long its process took.
        reason: why it was skipped, or the last lines that a failed check printed.
        rows: its figures.
    """

    name: str
    status: Literal["ok", "failed", "too slow", "skipped"]
    seconds: float = 0.0
    reason: str = ""
    rows: list[Row] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """All entries as plain values."""
        return {**asdict(self), "rows": [row.as_dict() for row in self.rows]}


def run_alone(check: Check, place: Place) -> Outcome:
    """Run a check in a process of its own.

    Args:
        check: what to run.
        place: where, and how large.
    """
    reason = check.not_here(place)
    if reason is not None:
        return Outcome(check.name, "skipped", reason=reason)
    with tempfile.TemporaryDirectory() as folder:
        result, log = Path(folder) / "rows.json", Path(folder) / "log.txt"
        command = [sys.executable, "-m", "gpu_checks", "--one", check.name, "--json", str(result)]
        command += ["--device", place.device, *(["--small"] if place.small else [])]
        start = time.monotonic()
        status, printed = run_at_most(_LIMIT_WHEN_SMALL if place.small else check.limit, command, log)
        seconds = time.monotonic() - start
        if status == 0 and result.exists():
            rows = [Row(**row) for row in json.loads(result.read_text(encoding="utf-8"))]
            return Outcome(check.name, "ok", seconds, rows=rows)
        return Outcome(check.name, "too slow" if status is None else "failed", seconds, "\n".join(printed[-_SHOWN:]))


def run_at_most(limit: float, command: Sequence[str], log: Path) -> tuple[int | None, list[str]]:
    """Run a command, and end it with all that it has started when the time is over.

    Args:
        limit: seconds.
        command: the program and its arguments.
        log: a file for what it prints.

    Returns:
        its exit status, None if it took too long; and the lines that it printed.
    """
    with log.open("wb") as file:
        process = subprocess.Popen(  # Ctrl-C is for this command, which ends the other
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(limit)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            started = descendants(process.pid)  # not its group: torchrun's processes have sessions of their own
            process.kill()
            for pid in started:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
    return status, log.read_text(encoding="utf-8", errors="replace").splitlines()


def descendants(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have, as far as they run."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            parent = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(path.parent.name))
    processes = children.get(pid, [])
    for process in processes:  # which grows on the way
        processes += children.get(process, [])
    return processes


def run_one(check: Check, place: Place, result: Path) -> None:
    """Run a check in this process, and write its figures."""
    rows = [asdict(row) for row in check.function(place, check.name)]
    result.write_text(json.dumps(rows), encoding="utf-8")
