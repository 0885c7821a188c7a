"""A loader's workers outlive the signals of others, and end when the process that started them says so."""

import multiprocessing
import signal
import subprocess

import pytest

from monai_supmix.data.workers import outlive_termination


def work(line) -> None:
    outlive_termination()
    while True:
        line.send("alive")
        line.recv()


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="signals take their usual course there")
@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_only_who_started_a_worker_terminates_it(method):
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    worker = context.Process(target=work, args=(theirs,), daemon=True)
    worker.start()
    theirs.close()  # so that a worker's end is the end of the line
    try:
        assert ours.recv() == "alive"
        for name in ("-TERM", "-INT"):
            subprocess.run(["kill", name, str(worker.pid)], check=True)  # by another process
            ours.send("still?")
            assert ours.recv() == "alive", name
        for _ in range(60):  # a signal that arrives while the other one is still pending is lost, as the system has it
            worker.terminate()
            worker.join(timeout=1)
            if worker.exitcode is not None:
                break
        assert worker.exitcode == 0
    finally:
        worker.kill()
