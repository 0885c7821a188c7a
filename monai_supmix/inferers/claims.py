"""Who predicts a case: files that only one process can make, on one machine or on a file system that several share."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from monai_supmix.files import writing_error

INTERVAL = 30.0
"""Seconds between two signs of life."""
PATIENCE = 300.0
"""Seconds without one after which a process of another machine is dead; file servers tell times up to a minute late."""
_MOMENT = 0.02


@dataclass(frozen=True)
class Owner:
    """A process, as others can recognise it.

    Args:
        host: name of its machine.
        process: its number there.
        numbers: which numbers these are; containers count their processes apart and may share the machine's name.
        token: differs between any two, also where a number is used again.

    Example:
        >>> owner = Owner.this_process()
        >>> owner.process == os.getpid(), owner.is_gone(), owner.token == Owner.this_process().token
        (True, False, False)
    """

    host: str
    process: int
    numbers: str = ""
    token: str = field(default_factory=lambda: secrets.token_hex(6))

    @classmethod
    def this_process(cls) -> Owner:
        """This process."""
        try:
            numbers = os.readlink("/proc/self/ns/pid")  # noqa: PTH115  # no path of a file
        except OSError:
            numbers = ""
        return cls(socket.gethostname(), os.getpid(), numbers)

    def is_gone(self) -> bool:
        """Whether this was a process of this machine that has ended; of another machine that is not known."""
        here = Owner.this_process()
        if os.name == "nt" or (self.host, self.numbers) != (here.host, here.numbers):
            return False  # Windows has no signal 0: there it would end the process
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:  # somebody else's
            pass
        return False

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


def read_owner(place: Path) -> Owner | None:
    """Who made a file; ``None`` where it is gone, or is just being written."""
    try:
        record = json.loads(place.read_text(encoding="utf-8"))
        return Owner(*(record[key] for key in ("host", "process", "numbers", "token")))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def is_alive(place: Path, now: float) -> bool:
    """Whether the process that made a file still works.

    Args:
        place: the file, which a living process touches every `INTERVAL` seconds.
        now: time of the file system, of which clocks of machines may differ, in seconds.
    """
    try:
        silent = now - place.stat().st_mtime
    except OSError:
        return False
    owner = read_owner(place)
    return silent <= PATIENCE and not (owner is not None and owner.is_gone())


class Claims:
    """The results that this process has claimed.

    A claim is a hidden file beside the mask. A dead owner's is not removed but followed by one of the next number,
    which again only one process can make. Claims only save work: whichever process writes a mask, it is the same.

    Args:
        owner: this process.
        now: tells the time of the file system, of which the clocks of machines may differ.

    Example:
        >>> import tempfile
        >>> mask = Path(tempfile.mkdtemp()) / "a_seg"
        >>> ours, theirs = (Claims(Owner.this_process(), time.time) for _ in range(2))
        >>> ours.take(mask), theirs.take(mask)
        (True, False)
        >>> ours.release(mask)
        >>> theirs.take(mask)
        True
    """

    def __init__(self, owner: Owner, now: Callable[[], float]) -> None:
        self.owner, self.now = owner, now
        self._held: dict[Path, list[Path]] = {}

    def take(self, result: Path) -> bool:
        """Claim a result unless a living process has it.

        Args:
            result: the path of the result, without its ending; its folder must exist.

        Raises:
            InputError: the folder cannot be written.
        """
        number = 0
        while True:
            place = claim_file(result, number)
            try:
                create(place, self.owner)
            except FileExistsError:
                if is_alive(place, self.now()):
                    return False
                number += place.exists()  # unless it was given back just now
                continue
            except OSError as error:
                raise writing_error(place, error) from error
            self._held[result] = [claim_file(result, earlier) for earlier in range(number + 1)]
            return True

    def release(self, result: Path) -> None:
        """Give a result back, whether it was written or not."""
        for place in self._held.pop(result, []):  # the first is removed first: at any time the last is ours
            with contextlib.suppress(OSError):
                place.unlink()

    def release_all(self) -> None:
        """Give everything back."""
        for result in list(self._held):
            self.release(result)

    def touch(self) -> None:
        """Show that this process is alive."""
        for places in list(self._held.values()):
            touch(places[-1])

    @contextlib.contextmanager
    def one_at_a_time(self, place: Path) -> Iterator[None]:
        """Wait until no other process is inside, for the few moments that it takes."""
        while not self.take(place):
            time.sleep(_MOMENT)
        try:
            yield
        finally:
            self.release(place)


def claim_file(result: Path, number: int = 0) -> Path:
    """The claim for a result.

    Example:
        >>> claim_file(Path("out/a_seg")).name, claim_file(Path("out/a_seg"), 1).name
        ('.a_seg.claim', '.a_seg.claim1')
    """
    name = result.name
    if len(name.encode()) > 100:  # the claim's own name must not become too long
        name = hashlib.sha256(name.encode()).hexdigest()[:32]
    return result.with_name(f".{name}.claim{number or ''}")


def create(place: Path, owner: Owner) -> None:
    """Make a file that must not exist, whole or not at all: a link to one that names its owner.

    Raises:
        FileExistsError: it does.
        OSError: the system refuses.
    """
    text = json.dumps(asdict(owner)).encode()
    new = place.with_name(f".{place.name.lstrip('.')}.{secrets.token_hex(6)}.new")
    _write_new(new, text)
    try:
        os.link(new, place)
    except FileExistsError:
        if new.stat().st_nlink != 2:  # 2: ours, a file server has told it late
            raise
    except OSError:  # a file system without links
        _write_new(place, text)
    finally:
        new.unlink(missing_ok=True)


def _write_new(place: Path, text: bytes) -> None:
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        os.write(descriptor, text)
    finally:
        os.close(descriptor)


def touch(place: Path) -> float:
    """Set a file's time to now, by the clock of its file system; 0 where it is gone."""
    with contextlib.suppress(OSError):
        os.utime(place)
        return place.stat().st_mtime
    return 0.0
