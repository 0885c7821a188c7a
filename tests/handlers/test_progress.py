import contextlib
import io
import logging
import math
import os
import re
import signal
import struct

import pytest
import torch
from ignite.engine import Engine, Events

from monai_supmix.handlers import Preemption, TrainingHistory, TrainingProgress
from monai_supmix.handlers.progress import progress_figures, progress_terms
from monai_supmix.handlers.time_left import expected_ratio
from tests.engines.toys import trainer


class Terminal(io.StringIO):
    def isatty(self):
        return True


def step(engine, batch):
    return {
        "loss": torch.tensor(2.0 * batch),
        "loss_strong_1": torch.tensor(float(batch)),
        "confidence_coverage": torch.tensor(0.25),
        "pseudo_label_share": torch.tensor([0.9, 0.1]),
    }


def follow(stream, process=step, epochs=3, length=4, interval=2, total=None, validator=None):
    engine = Engine(process)
    history = TrainingHistory(interval, validator=validator)
    history.attach(engine)
    TrainingProgress(history, total or epochs * length, stream).attach(engine)
    return engine, lambda: engine.run([1.0] * length, max_epochs=epochs)


def lines(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "monai_supmix.handlers.progress"]


@pytest.fixture(autouse=True)
def _info(caplog):
    caplog.set_level(logging.INFO)


def test_lines_for_each_row_where_there_is_no_terminal(caplog):
    stream = io.StringIO()
    follow(stream, interval=5)[1]()
    told = lines(caplog)
    assert stream.getvalue() == ""
    assert [re.match(r"epoch (\d)/3, iteration (\d+)/12: ", line).groups() for line in told] == [
        ("2", "5"),
        ("3", "10"),
        ("3", "12"),  # the rest of the last interval
    ]
    assert all("loss 2.000, confident 25 %; strong 1 1.000, " in line for line in told)
    assert told[-1].endswith("00:00 left")


def test_time_left_follows_from_the_iterations_of_this_session(caplog, monkeypatch):
    clock = iter([100.0, 104.0, 108.0])
    monkeypatch.setattr("monai_supmix.handlers.progress.time.monotonic", lambda: next(clock))
    engine, run = follow(io.StringIO(), epochs=2, length=4, interval=2)
    engine.load_state_dict({"iteration": 4, "epoch_length": 4, "max_epochs": 2})  # resumed half way
    run()
    assert [line.rsplit(", ", 1)[1] for line in lines(caplog)] == ["00:04 left", "00:00 left"]


def test_time_left_foresees_the_slower_part(caplog, monkeypatch):
    """A second an iteration up to the fourth, then three: what is expected of two images and four views of them."""
    now = [0.0]
    monkeypatch.setattr("monai_supmix.handlers.progress.time.monotonic", lambda: now[0])
    toy = trainer("supmix", max_epochs=9, max_iterations=16, burn_in=0.25)
    assert toy.burn_in == 4
    ratio = expected_ratio(toy)
    assert ratio > 1

    def pass_time(engine):
        now[0] += 1.0 if engine.state.iteration <= 4 else 3.0

    toy.add_event_handler(Events.ITERATION_COMPLETED, pass_time)
    history = TrainingHistory(3)
    history.attach(toy)
    TrainingProgress(history, 16, io.StringIO()).attach(toy)
    toy.run()
    seconds = [int(line.rsplit(" ", 2)[1][-2:]) for line in lines(caplog)]
    assert seconds == [math.ceil(1 + 12 * ratio), math.ceil(10 * ratio), 21, 12, 3, 0]


@pytest.mark.parametrize(
    ("method", "ratio"), [("supervised", 1), ("fixmatch", 1 + 1 + 1 / 3), ("supmix", 1 + 3 + 1 / 3)]
)
def test_the_ratio_counts_the_images_that_pass_the_network(method, ratio):
    assert expected_ratio(trainer(method)) == pytest.approx(ratio)


def seen(text, height=40):
    """What a terminal shows of a text with carriage returns and steps up: its lines, without empty ones."""
    rows, row, column = [""] * height, 0, 0
    for part in re.findall(r"\x1b\[A|\r|\n|[^\x1b\r\n]+", text):
        if part == "\x1b[A":
            row -= 1
        elif part == "\n":
            row, column = row + 1, 0
        elif part == "\r":
            column = 0
        else:
            rows[row] = rows[row][:column].ljust(column) + part + rows[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in rows if line.strip()]


def test_one_bar_on_a_terminal_with_the_terms_below(caplog):
    screen = Terminal()
    follow(screen)[1]()
    bar, terms = seen(screen.getvalue())
    assert bar.startswith("epoch 3/3 100%|########| 12/12 [")
    assert bar.endswith(", loss 2.000, confident 25 %]")
    assert terms == "  strong 1 1.000"
    assert screen.getvalue().endswith("\n")
    assert lines(caplog) == []


def test_log_lines_stand_above_the_bar():
    def process(engine, batch):
        if engine.state.iteration in (4, 9):
            logging.getLogger("somebody").warning("a word at %d", engine.state.iteration)
        return step(engine, batch)

    screen = Terminal()
    handler = logging.StreamHandler(screen)
    logging.getLogger().addHandler(handler)
    try:
        with contextlib.redirect_stderr(screen):
            follow(None, process)[1]()
    finally:
        logging.getLogger().removeHandler(handler)
    shown = [line for line in seen(screen.getvalue()) if not line.startswith(("Engine", "Epoch["))]
    assert shown[:2] == ["a word at 4", "a word at 9"]
    assert [line.split()[0] for line in shown[2:]] == ["epoch", "strong"]


def read_all(terminal):
    """What was written to a terminal whose other end is closed; one call may return a part of it."""
    text = b""
    with contextlib.suppress(OSError):  # how Linux tells the end
        while part := os.read(terminal, 100_000):
            text += part
    return text.decode()


@pytest.mark.parametrize("size", [(0, 0), (40, 150)])
def test_real_terminals(size, caplog):
    pty = pytest.importorskip("pty", reason="no pseudo-terminals on this system")
    fcntl = pytest.importorskip("fcntl", reason="no pseudo-terminals on this system")
    termios = pytest.importorskip("termios", reason="no pseudo-terminals on this system")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    with os.fdopen(slave, "w", encoding="utf-8") as screen:
        follow(screen)[1]()
    if size == (0, 0):  # as in a container without a screen
        assert len(lines(caplog)) == 6
    else:
        assert "loss 2.000, confident 25 %" in read_all(master)
        assert lines(caplog) == []
    os.close(master)


def test_a_resumed_bar_goes_on_where_the_run_stopped():
    screen = Terminal()
    engine, run = follow(screen, epochs=2, length=4)
    engine.load_state_dict({"iteration": 6, "epoch_length": 4, "max_epochs": 2})
    run()
    assert "epoch 2/2  75%|" in screen.getvalue()
    assert "100%" in screen.getvalue()


def test_validation_iou_is_told_once_there_is_one(caplog):
    validator = Engine(lambda engine, batch: None)
    validator.add_event_handler(Events.EPOCH_COMPLETED, lambda e: e.state.metrics.update(mean_iou=0.625))
    engine, run = follow(io.StringIO(), epochs=2, length=4, interval=4, validator=validator)
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda: validator.run([0]))
    run()
    first, second = lines(caplog)
    assert "validation" not in first
    assert "validation IoU 0.625" in second


def test_log_lines_appear_whole_beside_the_bar(capsys):
    def process(engine, batch):
        logging.getLogger("somebody").warning("a word")
        return step(engine, batch)

    handler = logging.StreamHandler()
    logging.getLogger().addHandler(handler)
    try:
        follow(Terminal(), process, epochs=1)[1]()
    finally:
        logging.getLogger().removeHandler(handler)
    assert capsys.readouterr().err.count("a word\n") == 4
    assert handler not in logging.getLogger().handlers


@pytest.mark.parametrize("screen", [Terminal(), io.StringIO()])
def test_an_error_closes_the_bar_and_is_raised(screen):
    def process(engine, batch):
        if engine.state.iteration == 3:
            raise RuntimeError("out of luck")
        return step(engine, batch)

    _, run = follow(screen, process)
    with pytest.raises(RuntimeError, match="out of luck"):
        run()
    assert not screen.getvalue() or screen.getvalue().endswith("\n")


def test_other_handlers_of_errors_have_their_turn():
    def process(engine, batch):
        raise RuntimeError("out of luck")

    before = signal.getsignal(signal.SIGTERM)
    engine, run = follow(Terminal(), process)
    Preemption(lambda engine: None).attach(engine)
    with pytest.raises(RuntimeError, match="out of luck"):
        run()
    assert signal.getsignal(signal.SIGTERM) is before


def test_the_first_process_alone_shows_it(caplog, monkeypatch):
    monkeypatch.setattr("monai_supmix.handlers.progress.idist.get_rank", lambda: 1)
    follow(io.StringIO())[1]()
    assert lines(caplog) == []


def test_no_value_is_read_from_the_device_between_rows(monkeypatch):
    def refuse(*_):
        raise AssertionError("a tensor was read")

    engine, run = follow(Terminal(), interval=1000)
    engine.add_event_handler(Events.ITERATION_COMPLETED, Engine.terminate)
    for name in ("item", "tolist", "__float__", "__bool__", "cpu", "numpy"):
        monkeypatch.setattr(torch.Tensor, name, refuse)
    engine.add_event_handler(Events.TERMINATE, monkeypatch.undo)  # the history closes its last row at the end
    run()


def test_a_row_without_a_loss_is_no_trouble(caplog):
    assert progress_figures({"iteration": 1}) == progress_terms({"iteration": 1}) == ""
    assert progress_figures({"loss": 1.0}) == "loss 1.000"
    screen = Terminal()
    follow(screen, lambda engine, batch: {"other": torch.tensor(1.0)})[1]()
    assert len(seen(screen.getvalue())) == 1
    assert lines(caplog) == []
