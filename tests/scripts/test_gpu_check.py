"""``scripts/gpu_check``: every check runs and ends by itself, and none hides another."""

import json
import os
import sys
import time
import warnings
from pathlib import Path

import pytest
import torch
from benchmarks.timing import Row
from gpu_checks import __main__ as command
from gpu_checks.alone import Outcome, run_alone, run_at_most
from gpu_checks.checks import CHECKS
from gpu_checks.place import Place
from gpu_checks.training import count_waits
from ignite.engine import Engine

SCRIPTS = Path(__file__).parents[2] / "scripts"


def run_here(check, place):
    """What a check finds in this process, which has loaded everything."""
    if reason := check.not_here(place):
        return Outcome(check.name, "skipped", reason=reason)
    return Outcome(check.name, "ok", rows=check.function(place, check.name))


@pytest.mark.slow
def test_all_checks_run_small_on_a_processor(tmp_path, monkeypatch, capsys):
    """Of those that start no processes themselves, one is run alone, as all are by the command."""
    alone = ("tests",)
    monkeypatch.setattr(
        command, "run_alone", lambda check, place: (run_alone if check.name in alone else run_here)(check, place)
    )
    monkeypatch.setenv("PYTHONPATH", str(SCRIPTS))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    assert command.main(["--small", "--json", "result.json"]) == 0
    printed = capsys.readouterr().out
    record = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    found = {check["name"]: check for check in record["checks"]}
    assert {name: check["status"] for name, check in found.items()} == {
        check.name: "skipped" if check.name == "paper-fp16" else "ok" for check in CHECKS
    }
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]
    figures = {(row["benchmark"], row["name"]): row["value"] for row in record["rows"]}
    for name in ("paper-fp32", "paper-bf16", "unimatch", "default"):
        assert figures[name, "images per second"] > 0 and figures[name, "peak memory"] > 100
    ours, published = (figures[name, "images per second"] for name in ("paper-fp32", "unimatch"))
    assert figures["paper-fp32", "images per second, ours / UniMatch's order in float32"] == ours / published
    assert figures["tests", "passed"] > 10
    assert figures["resume", "difference from a training that never stopped"] == 0  # bit for bit on a processor
    assert "| inference | ok |" in printed and "| inference | from file to file |" in printed


def test_waits_are_counted_within_one_iteration(monkeypatch):
    modes = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)

    def step(engine, batch):
        for _ in range(engine.state.iteration):
            if modes == ["warn"]:
                warnings.warn("called a synchronizing CUDA operation", UserWarning, stacklevel=1)

    engine = Engine(step)
    told = count_waits(engine, 3)
    engine.run([0] * 5)
    assert told == [3] and modes == ["warn", "default"]


def outcomes(monkeypatch, **status):
    """Checks that end as they are told to, without running."""

    def end(check, place):
        told = status.get(check.name.replace("-", "_"), "ok")
        rows = [Row(check.name, "images per second", 2.0 if check.name == "unimatch" else 3.0, "/s")]
        return Outcome(check.name, told, 1.0, "" if told == "ok" else "one\nlast line", rows if told == "ok" else [])

    monkeypatch.setattr(command, "run_alone", end)


@pytest.mark.parametrize(
    ("status", "expected"), [({}, 0), ({"resume": "failed"}, 1), ({"tests": "too slow"}, 1), ({"tests": "skipped"}, 0)]
)
def test_one_failure_fails_the_command_and_the_others_are_told(status, expected, monkeypatch, tmp_path, capsys):
    outcomes(monkeypatch, **status)
    assert command.main(["--small", "--json", str(tmp_path / "a.json")]) == expected
    record, printed = json.loads((tmp_path / "a.json").read_text(encoding="utf-8")), capsys.readouterr().out
    assert [check["name"] for check in record["checks"]] == [check.name for check in CHECKS]
    for name, told in status.items():
        assert f"| {name} | {told} | 1 | last line |" in printed
    assert "| paper-bf16 | images per second, ours / UniMatch's order in float32 | 1.5 x |" in printed


def test_without_unimatchs_step_nothing_is_compared_with_it(monkeypatch, tmp_path, capsys):
    outcomes(monkeypatch, unimatch="failed")
    assert command.main(["--small", "--json", str(tmp_path / "a.json")]) == 1
    assert "UniMatch" not in capsys.readouterr().out


@pytest.mark.parametrize("start", ["sleep 600 & echo $!; wait", "set -m; sleep 600 & echo $!; wait"])
def test_a_command_that_hangs_is_ended_with_all_that_it_started(start, tmp_path):
    status, (child, *_) = run_at_most(2, ["bash", "-c", start], tmp_path / "log.txt")
    assert status is None
    deadline = time.monotonic() + 30
    while (running := _runs(int(child))) and time.monotonic() < deadline:
        os.sched_yield()
    assert not running


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_command_that_fails_shows_what_it_printed(tmp_path):
    program = [sys.executable, "-c", "print('before'); raise ValueError('wrong')"]
    status, printed = run_at_most(60, program, tmp_path / "log.txt")
    assert status == 1 and printed[0] == "before" and printed[-1] == "ValueError: wrong"


def test_the_limits_keep_the_command_under_eight_minutes():
    assert sum(check.limit for check in CHECKS) < 8 * 60


@pytest.mark.parametrize(("name", "gpus"), [("paper-fp16", None), ("two-processes", 1)])
def test_what_cannot_run_here_is_skipped_with_its_reason(name, gpus, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    (check,) = (check for check in CHECKS if check.name == name)
    outcome = run_alone(check, Place("cuda:0" if gpus else "cpu", small=False))
    assert outcome.status == "skipped" and outcome.reason


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_without_a_gpu_the_command_says_so(capsys, tmp_path):
    assert command.main(["--json", str(tmp_path / "a.json")]) == 2
    assert capsys.readouterr().err.startswith("error: --device: there is no CUDA device here: ")
    assert not list(tmp_path.iterdir())
