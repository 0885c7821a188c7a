"""The processes that predict into one folder: of one launch, of a job array, or started by hand."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.files import make_directory, write_json, writing_error
from monai_supmix.inferers import claims as timing
from monai_supmix.inferers.claims import Claims, Owner, claim_file, create, is_alive, read_owner, touch
from monai_supmix.inferers.inputs import InputCase
from monai_supmix.listing import counted
from monai_supmix.processes import gather, world_size

logger = logging.getLogger(__name__)

FOLDER = ".cohort"
"""What is known of a cohort, below its output folder."""
_ARRIVAL = "arrival"
_STOPPED = 75  # exit status of what a signal stopped: run it again


class Cohort:
    """This process among those that predict into a folder, as a context.

    Entering refuses to work beside a living process whose settings differ; meanwhile the claims and the file in
    ``.cohort`` by which others know this process are touched regularly; leaving removes them, and so does a SIGTERM,
    which ends the process with status 75.

    Args:
        output_dir: the folder, made if missing.
        settings: what decides the masks, plain values.

    Raises:
        InputError: when entered beside a process with other settings, or where the folder cannot be written.

    Example:
        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> case = InputCase(Path("in/scan.nii.gz"))
        >>> with Cohort(folder, {"weights": "abc"}) as cohort:
        ...     [taken.name for taken in cohort.take([case])]
        ['scan.nii.gz']
        >>> os.listdir(folder)
        []
    """

    def __init__(self, output_dir: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.output_dir, self.folder = Path(output_dir), Path(output_dir) / FOLDER
        self.settings = json.loads(json.dumps(settings))
        self.owner = Owner.this_process()
        self.group = gather(self.owner.token)[0]  # those of a launch have one name
        self.place = self.folder / f"{self.owner.host}-{self.owner.process}-{self.owner.token}.member"
        self.claims = Claims(self.owner, self.now)
        self.progress: dict[str, int] = {}
        self._aside: list[InputCase] = []
        self._open = contextlib.ExitStack()

    def now(self) -> float:
        """The time of the file system."""
        return touch(self.place)

    def __enter__(self) -> Cohort:
        make_directory(self.folder)
        with contextlib.ExitStack() as entering:
            entering.callback(self._leave)
            begin(self.place, self.owner)
            entering.enter_context(_ending_on_sigterm())
            with self.claims.one_at_a_time(self.folder / _ARRIVAL):
                self._refuse_others()
                self.show()
            entering.enter_context(_regularly(self.show))
            self._open = entering.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._open.close()

    def _leave(self) -> None:
        self.claims.release_all()
        with contextlib.suppress(OSError):
            self.place.unlink()
        with contextlib.suppress(OSError):
            self.folder.rmdir()  # unless others are there, or records

    def _refuse_others(self) -> None:
        for member in members(self.folder, self.now()):
            other = member["settings"]
            if other != self.settings:
                keys = sorted({*other, *self.settings})
                differing = ", ".join(key for key in keys if other.get(key) != self.settings.get(key))
                problem = f"is written to with other settings ({differing}) by {read_owner(member['place'])}"
                raise InputError(self.output_dir, problem, "wait for it, or choose another output_dir")

    def show(self) -> None:
        """Tell others that this process is alive, and how far it is."""
        self.claims.touch()
        record = {**asdict(self.owner), "group": self.group, "settings": self.settings, "progress": self.progress}
        write_json(record, self.place)

    def progress_of_group(self) -> dict[str, int]:
        """How far the processes of this launch are, as far as they have told."""
        total = dict(self.progress)
        if world_size() > 1:
            for member in members(self.folder, self.now()):
                if member["group"] == self.group and member["token"] != self.owner.token:
                    for key, count in member["progress"].items():
                        total[key] = total.get(key, 0) + count
        return total

    def take(self, cases: Sequence[InputCase]) -> Iterator[InputCase]:
        """Claim one case after the other; what others are predicting is put aside, see `wait`."""
        for case in cases:
            if self._claim(case):
                yield case
            else:
                self._aside.append(case)

    def wait(self) -> Iterator[InputCase]:
        """Claim what was put aside, as soon as the others have given it back or have died."""
        pause, announced = 0.05, False
        while self._aside:
            for case in list(self._aside):
                if self._claim(case):
                    self._aside.remove(case)
                    yield case
                    pause = 0.05
            if self._aside and not announced and pause > 1:
                announced = True
                owner = read_owner(claim_file(self._result(self._aside[0])))
                logger.info("waiting for %s that others predict (%s)", counted(len(self._aside), "case"), owner)
            if self._aside:
                time.sleep(pause)
                pause = min(2 * pause, 5.0)

    def _claim(self, case: InputCase) -> bool:
        result = self._result(case)
        make_directory(result.parent)
        return self.claims.take(result)

    def release(self, case: InputCase) -> None:
        """Give a case back, whether it was predicted or not."""
        self.claims.release(self._result(case))

    def _result(self, case: InputCase) -> Path:
        return case.output(self.output_dir, "")


def members(folder: Path, now: float) -> list[dict[str, Any]]:
    """The living processes of a cohort: what each has told, and the ``place`` of its file.

    Args:
        folder: the folder with their files.
        now: the time of the file system.
    """
    alive = []
    for place in sorted(folder.glob("*.member")):
        try:
            record = json.loads(place.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # leaving, or not there yet
            continue
        if "settings" in record and is_alive(place, now):
            alive.append({**record, "place": place})
    return alive


@contextlib.contextmanager
def visiting(folder: Path) -> Iterator[Claims]:
    """Look after a cohort's files without being one of its processes; none can enter meanwhile.

    Args:
        folder: the folder with their files.

    Raises:
        InputError: it cannot be written.
    """
    owner = Owner.this_process()
    clock = folder / f"{owner.token}.clock"
    begin(clock, owner)
    try:
        claims = Claims(owner, lambda: touch(clock))
        with claims.one_at_a_time(folder / _ARRIVAL):
            yield claims
    finally:
        clock.unlink(missing_ok=True)


def begin(place: Path, owner: Owner) -> None:
    """Make the file by which a process tells the time, and that it is alive.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        create(place, owner)
    except OSError as error:
        raise writing_error(place, error) from error


@contextlib.contextmanager
def _regularly(call: Callable[[], None]) -> Iterator[None]:
    """Call something every `timing.INTERVAL` seconds in a thread."""
    ended = threading.Event()

    def repeat() -> None:
        while not ended.wait(timing.INTERVAL):
            try:
                call()
            except Exception as error:  # a server that is away for a moment; the case at hand will report a full disk
                logger.debug("no sign of life could be given: %s", error)

    thread = threading.Thread(target=repeat, name="sign of life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextlib.contextmanager
def _ending_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the process in order, so that its claims are given back; only the main thread can ask for it."""

    def stop(number: int, frame: FrameType | None) -> None:
        logger.warning("stopped by a signal; the masks that are there stay, and the same command goes on.")
        raise SystemExit(_STOPPED)

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
