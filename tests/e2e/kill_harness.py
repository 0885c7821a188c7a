"""Kill a training with SIGKILL at random moments, resume it each time, and compare with one that was left alone.

    python -m tests.e2e.kill_harness --kills 20 [--seed 0]

Each run is a forked child of this process, so that a run costs no imports; the kills are real.
"""

import argparse
import logging
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch

from monai_supmix.files import sha256
from monai_supmix.phantoms import write_fundus_phantom
from tests.bundles.workflows import TINY, run

ITERATIONS = 60
TEACHER = {"teacher_momentum": 0.9, "save": "teacher"}


def train(data, output):
    """Train the CHASE bundle on the phantom, resuming whatever is there."""
    logging.disable(logging.INFO)
    run(
        "chase_supmix", "train", dataset_dir=str(data), output_dir=str(output), crop_size=[64, 64], resume="auto",
        save_interval=2, max_iterations=ITERATIONS, **TEACHER, **TINY,
    )  # fmt: skip


def start(data, output):
    """Start a training in a child process."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    with Path(os.devnull).open("w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        status = 1
        try:
            train(data, output)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)


def newest_iteration(output):
    """The iteration of the newest checkpoint file, 0 without one."""
    names = [path.stem.split("=")[1] for path in (output / "checkpoints").glob("checkpoint_iteration=*.pt")]
    return max(map(int, names), default=0)


def finish(child):
    """Wait for a child that must end well."""
    _, status = os.waitpid(child, 0)
    assert status == 0, f"a run ended with status {status}"


def compare(folder, kills, seed):
    """Weights' hashes of a run left alone and of one killed ``kills`` times, and where the kills fell."""
    draw = random.Random(seed)
    data = folder / "data"
    write_fundus_phantom(data, size=(96, 100))
    finish(start(data, folder / "alone"))
    points = []
    while len(points) < kills:
        child = start(data, folder / "killed")
        begun = newest_iteration(folder / "killed")
        # A kill before the first new checkpoint takes the run no further: let most runs get a little way.
        wanted = begun + draw.choice([0, 0, 2, 2, 2, 4]) if begun + 8 < ITERATIONS else begun
        while newest_iteration(folder / "killed") < wanted:
            if os.waitpid(child, os.WNOHANG)[0]:
                raise AssertionError("the run ended before it was killed")
            time.sleep(0.002)
        time.sleep(draw.uniform(0, 1.5) if wanted == begun and draw.random() < 0.5 else draw.uniform(0, 0.1))
        if os.waitpid(child, os.WNOHANG)[0]:
            continue  # finished before its kill: does not count
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        points.append(newest_iteration(folder / "killed"))
    finish(start(data, folder / "killed"))
    return sha256(folder / "alone" / "model.pt"), sha256(folder / "killed" / "model.pt"), points


def main():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        alone, killed, points = compare(Path(folder), arguments.kills, arguments.seed)
    print(f"killed {len(points)} times, newest checkpoints then: {points}")
    print(f"left alone: {alone}\nkilled:     {killed}\n{'equal' if alone == killed else 'DIFFERENT'}")
    return 0 if alone == killed else 1


if __name__ == "__main__":
    raise SystemExit(main())
