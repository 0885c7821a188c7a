import errno
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from ignite.engine import Engine
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.handlers.checkpoints import (
    TrainingCheckpoint,
    compare_config,
    existing_checkpoints,
    load_checkpoint,
    newest_intact,
    read_checkpoint,
)
from monai_supmix.weights.tensor_files import write_tensors
from tests.devices import DEVICES


class Run:
    """A small training, every part of which has a state."""

    def __init__(self, device="cpu", classes=2):
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, classes, 1)).to(device)
        self.optimizer = torch.optim.SGD(self.network.parameters(), lr=0.1, momentum=0.9)
        self.scheduler = torch.optim.lr_scheduler.PolynomialLR(self.optimizer, total_iters=20, power=0.9)
        self.judge = nn.Linear(classes, 1).to(device)
        self.adam = torch.optim.Adam(self.judge.parameters())
        self.device = device
        self.engine = Engine(self.step)
        self.engine.state.epoch_length, self.engine.state.max_epochs = 10, 2

    @property
    def parts(self):
        parts = {
            "network": self.network,
            "optimizer": self.optimizer,
            "scheduler": self.scheduler,
            "adam": self.adam,
        }
        return parts | {"judge": self.judge, "engine": self.engine}

    def step(self, engine, batch):
        generator = torch.Generator().manual_seed(engine.state.iteration)
        images = torch.rand(2, 1, 6, 6, generator=generator).to(self.device)
        self.optimizer.zero_grad()
        self.adam.zero_grad()
        self.judge(self.network(images).mean((2, 3))).square().sum().backward()
        for part in (self.optimizer, self.scheduler, self.adam):
            part.step()

    def go(self, iterations):
        self.engine.run(range(10), max_epochs=iterations // 10)


def checkpoint_at(directory, iteration, run=None, **options):
    run = run or Run()
    run.engine.state.iteration = iteration
    return TrainingCheckpoint(run.parts, directory, interval=1, **options).save(run.engine)


def damage(path, kind):
    raw = bytearray(path.read_bytes())
    if kind == "flipped":
        raw[len(raw) // 2] ^= 4
    path.write_bytes({"flipped": raw, "truncated": raw[: len(raw) // 2], "empty": b""}[kind])


def names(directory):
    return [path.name for path in existing_checkpoints(directory)]


def test_saved_at_intervals_and_at_the_end_and_old_ones_go(tmp_path):
    run, seen = Run(), []
    checkpoint = TrainingCheckpoint(run.parts, tmp_path / "new" / "checkpoints", interval=4, keep=2)
    checkpoint.attach(run.engine)
    run.engine.add_event_handler("ITERATION_COMPLETED", lambda: seen.append(len(names(checkpoint.directory))))
    run.go(10)
    assert names(checkpoint.directory) == ["checkpoint_iteration=000008.pt", "checkpoint_iteration=000010.pt"]
    assert seen == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert len(list(checkpoint.directory.iterdir())) == 2  # no temporary file


@pytest.mark.parametrize("device", DEVICES)
def test_a_resumed_run_ends_as_the_uninterrupted_one(tmp_path, device):
    whole = Run(device)
    TrainingCheckpoint(whole.parts, tmp_path, interval=10, keep=9).attach(whole.engine)
    whole.go(20)
    first, last = existing_checkpoints(tmp_path)
    resumed = Run(device)
    with torch.no_grad():
        resumed.network[0].weight.zero_()  # whatever it was before
    load_checkpoint(first, resumed.parts)
    assert resumed.engine.state.iteration == 10
    TrainingCheckpoint(resumed.parts, tmp_path / "resumed", interval=10).attach(resumed.engine)
    resumed.go(20)
    assert existing_checkpoints(tmp_path / "resumed")[-1].read_bytes() == last.read_bytes()


def test_content_is_plain_and_loads_with_weights_only(tmp_path):
    path = checkpoint_at(tmp_path, 7, config={"seed": 3, "size": (1, 2)})
    content = torch.load(path, weights_only=True)
    assert content["iteration"] == 7
    assert content["config"] == {"seed": 3, "size": (1, 2)}
    assert read_checkpoint(path)["state"].keys() == Run().parts.keys()


def test_wrapped_networks_are_saved_bare(tmp_path):
    run = Run()
    run.engine.state.iteration = 1
    wrapped = nn.DataParallel(run.network)
    path = TrainingCheckpoint({"network": wrapped}, tmp_path, 1).save(run.engine)
    assert read_checkpoint(path)["state"]["network"].keys() == run.network.state_dict().keys()
    load_checkpoint(path, {"network": torch.compile(run.network)})
    load_checkpoint(path, {"network": wrapped})


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_rank", lambda: 1)
    assert checkpoint_at(tmp_path / "a", 1) is None
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("kind", ["flipped", "truncated", "empty"])
def test_newest_intact_passes_over_damage_and_says_so(tmp_path, kind):
    assert newest_intact(tmp_path / "missing") == (None, [])
    files = [checkpoint_at(tmp_path, i, keep=5) for i in (9, 10, 1_000_000)]
    assert existing_checkpoints(tmp_path) == files
    assert newest_intact(tmp_path) == (files[2], [])
    damage(files[2], kind)
    damage(files[1], kind)
    path, warnings = newest_intact(tmp_path)
    assert path == files[0]
    assert [str(file.name) in text for file, text in zip(files[:0:-1], warnings, strict=True)] == [True, True]
    assert all("using checkpoint_iteration=000009.pt" in text for text in warnings)
    with pytest.raises(InputError, match="damaged|truncated|empty" if kind == "flipped" else "truncated"):
        load_checkpoint(files[2], Run().parts)
    damage(files[0], kind)
    path, warnings = newest_intact(tmp_path)
    assert path is None
    assert all("there is no intact one" in text for text in warnings)


def test_going_on_before_a_damaged_one_never_drops_the_intact(tmp_path):
    intact, newest = (checkpoint_at(tmp_path, i) for i in (100, 200))
    damage(newest, "truncated")
    checkpoint_at(tmp_path, 150)
    assert names(tmp_path) == ["checkpoint_iteration=000100.pt", "checkpoint_iteration=000150.pt"]
    assert intact.exists()
    later = checkpoint_at(tmp_path, 300, keep=9)
    checkpoint_at(tmp_path, 200)  # somebody went back on purpose
    assert later.exists()


@pytest.mark.parametrize(("number", "word"), [(errno.ENOSPC, "disk is full"), (errno.EROFS, "read-only")])
def test_system_that_refuses_leaves_the_older_one_usable(tmp_path, monkeypatch, number, word):
    older = checkpoint_at(tmp_path, 5)

    def refuse(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(InputError, match=rf"{word}.*can continue from {older.name}"):
        checkpoint_at(tmp_path, 6, keep=1)
    with pytest.raises(InputError, match=word):
        checkpoint_at(tmp_path / "first", 6)
    monkeypatch.undo()
    assert newest_intact(tmp_path) == (older, [])
    assert list(tmp_path.glob("*.pt")) == [older]
    assert not list(tmp_path.glob(".*"))
    load_checkpoint(older, Run().parts)


def test_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "checkpoints").write_bytes(b"")
    with pytest.raises(InputError, match="is a file"):
        checkpoint_at(tmp_path / "checkpoints", 1)


@pytest.mark.parametrize("device", DEVICES)
def test_no_checkpoint_holds_nan(tmp_path, device):
    older = checkpoint_at(tmp_path, 1)
    run = Run(device)
    run.go(10)
    run.optimizer.state[run.network[2].bias]["momentum_buffer"][0] = float("nan")
    with pytest.raises(InputError, match=r"state\.optimizer.*NaN.*continue from checkpoint_iteration=000001\.pt"):
        checkpoint_at(tmp_path, 2, run)
    assert existing_checkpoints(tmp_path) == [older]


def test_checkpoint_of_another_run_is_refused(tmp_path):
    path = checkpoint_at(tmp_path, 1)
    other = Run(classes=3)
    with pytest.raises(InputError, match=r"000001\.pt: was trained with 2 classes, this network has 3"):
        load_checkpoint(path, other.parts)
    parts = {("head" if name == "adam" else name): part for name, part in Run().parts.items()}
    with pytest.raises(InputError, match="has 'adam', which this run lacks and lacks 'head'"):
        load_checkpoint(path, parts)
    swapped = Run().parts | {"adam": torch.optim.Adam([nn.Parameter(torch.ones(3))])}
    with pytest.raises(InputError, match="its 'adam' does not fit this run"):
        load_checkpoint(read_checkpoint(path), swapped)


def test_other_files_are_no_checkpoints(tmp_path):
    write_tensors(tmp_path / "checkpoint_iteration=1.pt", {"model": {}})
    (tmp_path / "checkpoint_iteration=2.pt.bak").touch()
    (tmp_path / "other.pt").touch()
    assert names(tmp_path) == ["checkpoint_iteration=1.pt"]
    with pytest.raises(InputError, match="not a checkpoint of this version"):
        read_checkpoint(tmp_path / "checkpoint_iteration=1.pt")
    with pytest.raises(InputError, match="does not exist"):
        load_checkpoint(tmp_path / "missing.pt", {})
    with pytest.raises(ValueError, match="at least 1"):
        TrainingCheckpoint({}, tmp_path, interval=0)


def save_without_end(directory):
    torch.set_num_threads(1)  # a forked child has none of the threads that its parent counts on
    run = Run()
    checkpoint = TrainingCheckpoint(run.parts | {"ballast": Ballast()}, directory, interval=1, keep=1)
    while True:
        run.engine.state.iteration += 1
        checkpoint.save(run.engine)


class Ballast:
    def state_dict(self):
        return {"x": torch.ones(200_000)}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL")
def test_a_kill_at_any_moment_leaves_an_intact_one(tmp_path):
    delays = random.Random(0)
    for trial in range(6):
        directory = tmp_path / str(trial)
        process = multiprocessing.get_context("fork").Process(target=save_without_end, args=(directory,))
        process.start()
        while not existing_checkpoints(directory):
            assert process.is_alive()
            time.sleep(0.002)
        time.sleep(delays.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        path, warnings = newest_intact(directory)
        assert path is not None
        assert not warnings  # whatever has its final name is whole
        assert len(existing_checkpoints(directory)) <= 2
        # the next process clears up behind it
        iteration = read_checkpoint(path)["iteration"]
        checkpoint_at(directory, iteration + 1, keep=1)
        assert [file.name for file in Path(directory).iterdir()] == [f"checkpoint_iteration={iteration + 1:06d}.pt"]


values = st.none() | st.integers(-2, 2) | st.lists(st.integers(0, 1), max_size=2)
keys = st.sampled_from("abcd")
configs = st.dictionaries(keys, values | st.dictionaries(keys, values, max_size=2), max_size=3)


@given(configs, configs)
def test_comparison_is_symmetric_and_empty_only_for_equal_configurations(a, b):
    forth, back = compare_config(a, b), compare_config(b, a)
    assert forth == {key: pair[::-1] for key, pair in back.items()}
    assert (forth == {}) == (a == b)
    assert compare_config(a, a) == {}


def test_comparison_names_the_keys():
    saved = {"seed": 0, "crop": (320, 320), "mix": {"prob": 0.5, "classes": [0]}, "gone": 1}
    current = {"seed": 1, "crop": [320, 320], "mix": {"prob": 0.5, "classes": [0, 1]}, "new": None}
    saved |= {"steps": [{"a": 1}, {"b": (2, 3)}]}
    current |= {"steps": [{"a": 1}, {"b": [2, 4]}]}
    assert compare_config(saved, current) == {
        "seed": (0, 1),
        "mix#classes": ([0], [0, 1]),
        "steps#1#b": ((2, 3), [2, 4]),
        "gone": (1, "(not set)"),
        "new": ("(not set)", None),
    }
