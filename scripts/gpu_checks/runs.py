"""Whole runs: the tests of devices, inference from file to file, a resumed training, two processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.etree import ElementTree

import nibabel as nib
import numpy as np
import pytest
import torch
from benchmarks.infer import default_network, make_volume
from benchmarks.timing import Row

from gpu_checks.place import ROOT, Place
from monai_supmix.bundle import PredictionRun, Trained
from monai_supmix.cli.workflow import configure
from monai_supmix.handlers.checkpoints import existing_checkpoints, read_checkpoint
from monai_supmix.inferers import SliceVolumeInferer
from monai_supmix.networks import EncoderDecoder
from monai_supmix.phantoms import write_fundus_phantom
from monai_supmix.weights import load_weights

MOST_DIFFERENT = 0.1
"""Of a resumed training from one that never stopped, relative to what was learnt since; GPUs add in varying order."""


def device_tests(place: Place, name: str) -> list[Row]:
    """The tests that take a device, on this one.

    Raises:
        RuntimeError: one fails, or none runs.
    """
    os.chdir(ROOT)
    folder = "losses" if place.small else "."
    files = [
        str(path)
        for path in sorted((ROOT / "tests" / folder).rglob("test_*.py"))
        if "tests.devices" in path.read_text(encoding="utf-8")
    ]
    with tempfile.TemporaryDirectory() as temporary:
        report = Path(temporary) / "report.xml"
        chosen = "cuda or not_waited_for" if place.on_gpu else "cpu"
        status = pytest.main(["-q", "-k", chosen, "-m", "not slow", f"--junitxml={report}", *files])
        counted = next(ElementTree.parse(report).iter("testsuite")).attrib
    number = {what: int(counted[what]) for what in ("tests", "failures", "errors", "skipped")}
    passed = number["tests"] - number["failures"] - number["errors"] - number["skipped"]
    if status != 0 or passed == 0:
        raise RuntimeError(f"{passed} of {number['tests']} tests passed, {number['skipped']} were skipped")
    return [Row(name, "passed", passed, "")]


def inference(place: Place, name: str) -> list[Row]:
    """A CT volume of 512 x 512 x 100 voxels through the paper's network (random weights), from file to file.

    Raises:
        ValueError: the mask is not one of the volume.
    """
    size = (64, 64, 6) if place.small else (512, 512, 100)
    record = dict(default_network()[1])
    if place.small:
        record["working"] = {"size": [64, 64]}
    torch.manual_seed(0)
    network = EncoderDecoder(
        "DeepLabV3Plus", "resnet18" if place.small else "resnet101", in_channels=1, num_classes=4,
        encoder_output_stride=16, decoder_atrous_rates=(6, 12, 18),
    ).eval().to(place.device)  # fmt: skip
    inferer = SliceVolumeInferer(working=record["working"], divisor=network.divisor, amp="auto")
    with tempfile.TemporaryDirectory() as temporary:
        volume, masks = Path(temporary) / "ct.nii.gz", Path(temporary) / "masks"
        make_volume(volume, size)
        taken = []
        for _ in range(2):  # the first one warms up
            start = time.perf_counter()
            PredictionRun(str(volume), masks, Trained(network, record, volume, ""), inferer, overwrite=True).run()
            place.wait()
            taken.append(time.perf_counter() - start)
        mask = np.asarray(nib.load(masks / "ct_seg.nii.gz").dataobj)
    if mask.shape != size or mask.dtype != np.uint8 or mask.max() > 3:
        raise ValueError(f"the mask has shape {mask.shape}, type {mask.dtype} and values up to {mask.max()}")
    return [Row(name, "from file to file", taken[-1], "s"), Row(name, "peak memory", place.peak_memory(), "MB")]


def resume(place: Place, name: str) -> list[Row]:
    """A default training that goes on from a checkpoint, beside one that never stopped.

    Raises:
        ValueError: the resumed one ends elsewhere.
    """
    with tempfile.TemporaryDirectory() as temporary:
        whole, resumed = Path(temporary) / "whole", Path(temporary) / "resumed"
        pairs = _small_training(place, temporary) | {"device": place.device}
        configure("chase_supmix", ["train"], pairs | {"output_dir": str(whole)}).run()
        shutil.copytree(whole, resumed)  # and now as a run that was killed after its first checkpoint
        first, last = existing_checkpoints(resumed / "checkpoints")
        for path in (last, resumed / "model.pt", resumed / "model.safetensors"):
            path.unlink()
        configure("chase_supmix", ["train"], pairs | {"output_dir": str(resumed), "resume": "auto"}).run()
        ends = [_flat(load_weights(folder / "model.pt")[0]) for folder in (whole, resumed)]
        learnt = (ends[0] - _flat(read_checkpoint(first)["state"]["network"])).norm()
    difference = float((ends[0] - ends[1]).norm() / learnt)
    if not difference <= MOST_DIFFERENT:
        raise ValueError(f"the resumed training differs by {difference:.3g} of what was learnt since the checkpoint")
    return [
        Row(
            name, "difference from a training that never stopped", 100 * difference, "%", f"<= {100 * MOST_DIFFERENT:g}"
        )
    ]


def two_processes(place: Place, name: str) -> list[Row]:
    """A default training in two processes, each with a device of its own; processes on a CPU share it.

    Raises:
        RuntimeError: it fails.
        ValueError: it did not run in two processes, or a loss is not finite.
    """
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary) / "output"
        options = (
            _small_training(place, temporary) | {"output_dir": str(out)} | ({} if place.on_gpu else {"device": "cpu"})
        )
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
        command += ["monai_supmix", "run", "chase_supmix", "train", "multi_gpu_train"]
        command += [word for key, text in options.items() for word in (f"--{key}", text)]
        start = time.perf_counter()
        if subprocess.run(command, check=False).returncode != 0:
            raise RuntimeError("torchrun failed")
        seconds = time.perf_counter() - start
        processes = read_checkpoint(existing_checkpoints(out / "checkpoints")[-1])["config"]["processes"]
        rows = json.loads((out / "history.json").read_text(encoding="utf-8"))["rows"]
    losses = [row["loss"] for row in rows]
    if processes != 2 or not np.isfinite(losses).all():
        raise ValueError(f"{processes} processes, losses {losses}")
    return [Row(name, "training, with the start of both", seconds, "s")]


def _small_training(place: Place, temporary: str) -> dict[str, str]:
    """Options of a short training with the default settings, most of it semi-supervised."""
    write_fundus_phantom(Path(temporary) / "data", size=(96, 100) if place.small else (480, 500))
    half = 2 if place.small else 20
    options = {
        "dataset_dir": f"{temporary}/data", "max_iterations": str(2 * half), "save_interval": str(half),
        "burn_in": "0.25", "log_interval": "1", "num_monitored": "0", "tensorboard": "False",
    }  # fmt: skip
    tiny = {"network_def#features": "[4,4,4,4,4,4]", "discriminator_widths": "[4,4]", "crop_size": "[64,64]"}
    return options | (tiny | {"num_workers": "0"} if place.small else {})


def _flat(state: dict[str, torch.Tensor]) -> torch.Tensor:
    """All weights in one vector."""
    return torch.cat([value.double().flatten() for value in state.values() if value.is_floating_point()])
