"""Many scans: the command `predict` on a cohort of small volumes and one of chest CTs, in one process and in two.

Two processes are started by torchrun, and as two shards at once, which nothing else has to start. Every process has one
thread. A cohort is one phantom under many names (hard links), so it takes the disk of one file; in the small one every
hundredth file is broken, and `--on_error skip` goes on.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.infer import BUNDLE, make_volume
from benchmarks.timing import Row, peak_of

_BROKEN = 100  # each so many files


@dataclass
class Measured:
    """A run of the command: seconds to the first mask and the end, peak memory in MB of its first process, output."""

    first: float
    total: float
    memory: float
    output: str


def make_cohort(folder: Path, size: tuple[int, int, int], count: int, broken: bool) -> Path:
    """Write a phantom, and give it as many names as there are cases."""
    folder.mkdir()
    source = folder.parent / f"{folder.name}.nii.gz"
    make_volume(source, size)
    for number in range(count):
        path = folder / f"{number // 100:02d}" / f"scan_{number:05d}.nii.gz"
        path.parent.mkdir(exist_ok=True)
        if broken and number % _BROKEN == _BROKEN - 1:
            path.write_bytes(b"no scan")
        else:
            os.link(source, path)
    return folder


def predict(scans: Path, output: Path, processes: int = 1, shards: int = 1) -> Measured:
    """Run the command to its end: once, in several processes of torchrun, or in shards at once."""
    launch = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"] if processes > 1 else []
    arguments = ["predict", str(BUNDLE), str(scans), "--output_dir", str(output), "--on_error", "skip"]
    command = [sys.executable, "-W", "ignore", "-m", *launch, "monai_supmix", *arguments]
    log = output.with_suffix(".log")
    begin, first, memory = time.monotonic(), 0.0, 0.0
    with log.open("w", encoding="utf-8") as file:
        commands = [
            subprocess.Popen(
                [*command, *(["--shard", f"{number + 1}/{shards}"] if shards > 1 else [])],
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
            for number in range(shards)
        ]
        while any(process.poll() is None for process in commands):
            if not first and next(output.rglob("*_seg.nii.gz"), None):
                first = time.monotonic() - begin
            memory = max(memory, peak_of(commands[0].pid))
            time.sleep(0.1)
        total = time.monotonic() - begin
    return Measured(first, total, memory, log.read_text(encoding="utf-8"))


def require_same_masks(folders: Sequence[Path], count: int) -> None:
    """Raise `RuntimeError` unless folders have the same masks, byte for byte, and as many as there should be."""
    masks = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*_seg.nii.gz")} for folder in folders
    ]
    if len(masks[0]) != count or any(other != masks[0] for other in masks[1:]):
        raise RuntimeError(f"{[len(some) for some in masks]} masks instead of {count} that are the same in {folders}.")


def run(repetitions: int, small: bool = False) -> list[Row]:
    """The two cohorts, each once.

    Args:
        repetitions: not used: a cohort is many measurements.
        small: only a few tiny volumes.
    """
    rows = []
    cohorts = [
        ("small volumes", (64, 64, 8), 4 if small else 2000, True),
        ("512 x 512 x 100", (512, 512, 100), 40, False),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        for name, size, count, broken in cohorts[: 1 if small else 2]:
            folder = Path(temporary) / name.replace(" ", "_")
            folder.mkdir()
            rows += _cohort(folder, f"{count} {name}", size, count, broken)
    return rows


def _cohort(folder: Path, name: str, size: tuple[int, int, int], count: int, broken: bool) -> list[Row]:
    scans = make_cohort(folder / "scans", size, count, broken)
    part = predict(make_cohort(folder / "quarter", size, -(-count // 4), broken), folder / "quarter_masks")
    one = predict(scans, folder / "one")
    gap, masks = _seconds_between_masks(folder / "one"), count - count // _BROKEN * broken
    again = predict(scans, folder / "one")
    two = predict(scans, folder / "two", processes=2)
    shards = predict(scans, folder / "shards", shards=2)
    require_same_masks([folder / "one", folder / "two", folder / "shards"], masks)
    gap_of_two = _seconds_between_masks(folder / "two", processes=2)
    return [
        Row("cohort", f"{name}, first mask", one.first, "s", "<= 20"),
        Row("cohort", f"{name}, one process", one.total, "s"),
        Row("cohort", f"{name}, from mask to mask", gap, "s"),
        Row("cohort", f"{name}, before the first and after the last", 100 * (1 - gap * (masks - 1) / one.total), "%"),
        Row("cohort", f"{name}, two processes", two.total, "s"),
        Row("cohort", f"{name}, one process / two", one.total / two.total, "x", ">= 1.8"),
        Row("cohort", f"{name}, two shards at once", shards.total, "s"),
        Row("cohort", f"{name}, one process / two shards", one.total / shards.total, "x", ">= 1.8"),
        Row("cohort", f"{name}, one process / two, from mask to mask", gap / gap_of_two, "x", ">= 1.8"),
        Row("cohort", f"{name}, finished, once more", again.total, "s", "<= 30"),
        Row("cohort", f"{name}, peak memory", one.memory, "MB"),
        Row("cohort", f"{name}, peak memory, all / a quarter of the cases", one.memory / part.memory, "x", "<= 1.1"),
        Row("cohort", f"{name}, lines of the log", len(one.output.splitlines()), "lines"),
    ]


def _seconds_between_masks(masks: Path, processes: int = 1) -> float:
    """Mean time from a mask to the next one, without start-up: the first mask of each process is where it begins."""
    written = sorted(path.stat().st_mtime for path in masks.rglob("*_seg.nii.gz"))
    return (written[-1] - written[0]) / (len(written) - processes)
