"""Every measurement of ``scripts/benchmark.py`` runs and ends in one table and one JSON file; turns alternate."""

import importlib
import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests import forked

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def load_script(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module


class Forked:
    """The process of a command that predicts a cohort, as ``subprocess`` would start it."""

    def __init__(self, command, stdout, **_):
        self._process = forked.start_python(command[command.index("-m") :], stdout.name)
        self.pid = self._process.pid

    def poll(self):
        return self._process.exitcode


@pytest.mark.parametrize(
    ("subject", "ratio"),
    [
        ("depthwise", "bfloat16 throughout / bfloat16, slow gradients in float32"),
        ("augment", "MONAI / ours"),
        ("load", "cached / from disk"),
        ("infer", "default network, MONAI / ours in torch"),
        pytest.param("train", "peak memory, ours / reference", marks=pytest.mark.slow),  # starts fresh processes
        pytest.param("cohort", "4 small volumes, one process / two", marks=pytest.mark.slow),
    ],
)
def test_every_subject_runs(load_script, subject, ratio, tmp_path, capsys, monkeypatch):
    popen = SimpleNamespace(Popen=Forked, STDOUT=None)
    monkeypatch.setattr(load_script("benchmarks.cohort"), "subprocess", popen)
    monkeypatch.setattr(load_script("benchmarks.timing"), "get_context", lambda _: forked.CONTEXT)
    path = tmp_path / "figures.json"
    assert load_script("benchmark").main([subject, "--small", "--repetitions", "2", "--json", str(path)]) == 0
    record, printed = json.loads(path.read_text(encoding="utf-8")), capsys.readouterr().out
    assert record["small"] and record["machine"]["threads"] >= 1
    assert f"torch {record['machine']['torch']}" in printed and "| benchmark | measurement | result |" in printed
    rows = {row["name"]: row for row in record["rows"]}
    assert len(rows) == len(record["rows"]) and rows[ratio]["unit"] == "x"
    for name, row in rows.items():
        assert f"| {subject} | {name} |" in printed
        assert math.isfinite(row["value"]) and row["value"] >= 0
        assert len(row["samples"]) in (0, 2) and (row["met"] is None) == (row["target"] is None)
    compared = [row["value"] for row in rows.values() if row["unit"] == "Dice"]
    assert bool(compared) == (subject == "infer") and all(value >= 0.999 for value in compared)


def test_the_two_ways_to_see_unlabelled_images_differ_only_in_that(load_script):
    unlabeled = load_script("benchmarks.unlabeled")
    rows = {row.name: row for row in unlabeled.run(2, small=True)}
    *rates, quotient = rows.values()
    assert quotient.value == pytest.approx(rates[1].value / rates[0].value) and quotient.target == ">= 2.5"
    whole, teacher = (unlabeled.make_trainer(setting, True) for setting in (unlabeled.WHOLE, unlabeled.TEACHER))
    assert (whole.strong_views.num_views, teacher.strong_views.num_views) == (2, 1)
    assert whole.feature_dropout and whole.discriminator is not None and whole.teacher is None
    assert not teacher.feature_dropout and teacher.discriminator is None and teacher.teacher is not None
    sizes = [[len(part["image"]) for part in one.streams.batch.values()] for one in (whole, teacher)]
    assert sizes == [[4, 2], [2, 12]]
    for one in (whole, teacher):
        one.state.max_epochs += 1
        one.run()
        assert one.state.output["loss"].isfinite() and one.state.output["loss_strong_1"].isfinite()


def test_turns_alternate_after_a_warm_up(load_script):
    timing = load_script("benchmarks.timing")
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    seconds = timing.alternate(sides, repetitions=3)
    assert calls == list("abbaabba")
    assert {name: len(values) for name, values in seconds.items()} == {"a": 3, "b": 3}


def test_the_table_tells_ratios_of_medians_and_targets(load_script):
    timing = load_script("benchmarks.timing")
    assert timing.ratio([4.0, 100.0, 4.0], [2.0, 2.0, 0.1]) == 2
    rows = [timing.Row("infer", "a / b", 2.0, "x", ">= 4"), timing.Row("train", "b", 0.5, "x", "<= 0.7")]
    lines = timing.table(rows, {"processor": "P", "gpu": None}).splitlines()
    assert lines[0] == "processor P"
    assert lines[-2:] == ["| infer | a / b | 2 x | >= 4 | no |", "| train | b | 0.5 x | <= 0.7 | yes |"]
