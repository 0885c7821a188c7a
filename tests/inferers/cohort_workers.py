"""Processes that predict into one folder."""

import faulthandler
import json
import os
import signal
from pathlib import Path

import torch
import torch.distributed as dist

from monai_supmix.errors import InputError
from monai_supmix.inferers import SliceVolumeInferer, collecting, one_case, predict_cases
from monai_supmix.inferers.cohort import Cohort
from monai_supmix.processes import gather, share
from tests.forked import CONTEXT
from tests.inferers.tiny import RULE, tiny_network

RECORD = {"class_names": ["background", "a", "b"], "intensity": {"hu": RULE}, "trained_on": {}}


def predict(inputs, output, **options):
    """Predict with a tiny network."""
    flips = options.pop("flips", False)
    inferer = SliceVolumeInferer(amp=False, flips=flips)
    return predict_cases(inputs, output, tiny_network(), RECORD, inferer, keep_record=True, **options)


def start(inputs, output, result=None, at=None, ranks=None, **options):
    """Start a process.

    ``result`` is a file for what it says; ``at`` the name of a step and how many of them it survives; ``ranks`` its
    number, the number of processes, and the file by which they meet.
    """
    process = CONTEXT.Process(target=_work, args=(inputs, output, result, at, ranks, options))
    process.start()
    return process


def finish(*processes):
    """Wait for processes; their exit statuses."""
    for process in processes:
        process.join(timeout=120)
    return [process.exitcode for process in processes]


def _work(inputs, output, result, at, ranks, options):
    faulthandler.dump_traceback_later(100, exit=True)  # one that hangs says where
    torch.set_num_threads(1)
    if at is not None:
        _die_at(*at)
    if ranks is not None:
        number, count, meeting = ranks
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=number, world_size=count)
    try:
        summary = predict(inputs, output, **options)
        told = {key: [str(entry) for entry in getattr(summary, key)] for key in ("written", "skipped", "failed")}
    except InputError as error:
        told = {"error": str(error)}
    if result is not None:
        Path(result).write_text(json.dumps(told), encoding="utf-8")
    if ranks is not None:
        dist.destroy_process_group()


STEPS = {
    "claimed": (Cohort, "_claim"),
    "recorded": (one_case, "write_json"),
    "written": (one_case, "write_mask"),
    "noted": (collecting.CaseRecords, "write"),
}


def _die_at(step, survived):
    """Kill this process without a word after a step has been taken once too often."""
    place, name = STEPS[step]
    real, taken = getattr(place, name), []

    def deadly(*args, **kwargs):
        value = real(*args, **kwargs)
        taken.append(name)
        if len(taken) > survived:
            os.kill(os.getpid(), signal.SIGKILL)
        return value

    setattr(place, name, deadly)


def start_task(number, count, job, result):
    """Start what ``srun`` starts: a task that knows its number from Slurm alone."""
    process = CONTEXT.Process(target=_task, args=(number, count, job, result))
    process.start()
    return process


def _task(number, count, job, result):
    faulthandler.dump_traceback_later(100, exit=True)
    slurm = {
        "JOB_ID": job, "PROCID": number, "LOCALID": number, "NTASKS": count, "STEP_NUM_TASKS": count,
        "JOB_NODELIST": "localhost", "JOB_NUM_NODES": 1,
    }  # fmt: skip
    os.environ.update({f"SLURM_{key}": str(value) for key, value in slurm.items()})
    from monai_supmix.bundle import join_processes, stop_processes  # noqa: PLC0415

    join_processes()
    told = {"share": share("abcde"), "by size": share("abcde", "1/1", "badce".index), "all": gather(number)}
    stop_processes()
    Path(result).write_text(json.dumps(told), encoding="utf-8")
