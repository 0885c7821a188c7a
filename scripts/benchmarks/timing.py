"""Fair timing of several ways to do one thing, and the table of results."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import torch

from monai_supmix.precision import autocast_dtype
from monai_supmix.weights.record import current_versions


@dataclass
class Row:
    """One figure.

    Args:
        benchmark: name of the sub-command.
        name: what was measured.
        value: the figure.
        unit: ``"s"``, ``"ms"``, ``"MB"``, ``"x"`` (a ratio), ``"%"``, ``"/s"``, ``"Dice"`` or
            ``"classes"``.
        target: what is aimed at, such as ``"<= 1.15"``.
        samples: the single measurements, in the order of time.
    """

    benchmark: str
    name: str
    value: float
    unit: str
    target: str | None = None
    samples: Sequence[float] = ()

    @property
    def met(self) -> bool | None:
        """Whether the target is met; ``None`` without one."""
        if self.target is None:
            return None
        relation, bound = self.target.split()
        return self.value <= float(bound) if relation == "<=" else self.value >= float(bound)

    def as_dict(self) -> dict[str, Any]:
        """All entries as plain values."""
        return {**asdict(self), "samples": list(self.samples), "met": self.met}


def alternate(sides: Mapping[str, Callable[[], Any]], repetitions: int) -> dict[str, list[float]]:
    """Time every side, turn by turn, so that a slow spell of the machine meets all of them.

    The order is reversed from turn to turn; one more turn before the others is a warm-up.

    Args:
        sides: what to call.
        repetitions: turns that count.

    Returns:
        seconds of every turn, for every side.
    """
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(1 + repetitions):
        order = list(sides) if turn % 2 == 0 else list(reversed(sides))
        for name in order:
            start = time.perf_counter()
            sides[name]()
            if turn > 0:
                seconds[name].append(time.perf_counter() - start)
    return seconds


def ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Ratio of two medians."""
    return statistics.median(numerator) / statistics.median(denominator)


def peak_memory(function: Callable[..., None], *args: Any) -> float:
    """Largest resident memory, in MB, of a fresh process that calls a function of a module."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_call_and_report, args=(sender, function, *args))
    process.start()
    sender.close()
    try:
        return receiver.recv()
    finally:
        process.join()


def _call_and_report(sender: Any, function: Callable[..., None], *args: Any) -> None:
    function(*args)
    sender.send(peak_of())


def peak_of(process: int | Literal["self"] = "self") -> float:
    """Largest resident memory of a process so far, in MB; 0 when it has ended."""
    # Not `ru_maxrss`, which begins with what the parent had when it made the process.
    try:
        lines = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), 0.0)


def machine() -> dict[str, Any]:
    """What the figures depend on: processor, threads, number format, versions."""
    cpu = Path("/proc/cpuinfo")
    names = [
        line.split(":", 1)[1].strip()
        for line in (cpu.read_text(encoding="utf-8").splitlines() if cpu.exists() else [])
        if line.startswith("model name")
    ]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": len(names) or None,
        "gpu": torch.cuda.get_device_name() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "amp": str(autocast_dtype("auto", device) or torch.float32).removeprefix("torch."),
        "system": platform.platform(),
        "python": platform.python_version(),
        **current_versions(),
        **({"openvino": metadata.version("openvino")} if find_spec("openvino") else {}),
    }


def table(rows: Sequence[Row], about: Mapping[str, Any]) -> str:
    """The machine, then one line for each figure, as Markdown."""
    lines = [", ".join(f"{key} {value}" for key, value in about.items() if value is not None), ""]
    lines += ["| benchmark | measurement | result | target | met |", "|---|---|---:|---:|---|"]
    for row in rows:
        met = "" if row.met is None else "yes" if row.met else "no"
        digits = 4 if row.unit == "%" else 3
        value = f"{row.value:.{digits}g} {row.unit}"
        lines.append(f"| {row.benchmark} | {row.name} | {value} | {row.target or ''} | {met} |")
    return "\n".join(lines)
