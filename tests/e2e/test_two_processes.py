"""Two processes train one network: the same weights and figures on both, and a signal to the launcher is survived."""

import json
import os
import signal
import socket
import time
from pathlib import Path

import pytest

from monai_supmix.phantoms import write_fundus_phantom
from tests import forked
from tests.bundles.workflows import BUNDLES, TINY

pytestmark = pytest.mark.slow
WORKER = """
import json, os, signal, sys
import torch
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from monai_supmix.bundle import rank
torch.set_num_threads(1)
files, override, result = json.loads(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
killed_at = override.pop("killed_at", None)
flow = ConfigWorkflow(config_file=files, logging_file=False, meta_file=None, workflow_type="train", **override)
flow.initialize()
part = flow.parser.get_parsed_content
if killed_at is not None:
    kill = lambda: os.kill(os.getpid(), signal.SIGKILL)
    part("train#trainer").add_event_handler(Events.ITERATION_STARTED(once=killed_at), kill)
flow.run()
number = rank()
state = part("network").module.state_dict()
statistics = ("running_mean", "running_var", "num_batches_tracked")  # without SyncBatchNorm each rank has its own
weights = {name: value.double().sum().item() for name, value in state.items() if not name.endswith(statistics)}
rows = part("training").history.rows
metrics = part("validate#evaluator").state.metrics
losses = [row["loss_supervised"] for row in rows]
teacher = part("train#trainer").teacher
average = {} if teacher is None else {name: value.double().tolist() for name, value in teacher.state_dict().items()}
with open(f"{result}.{number}", "w") as file:
    json.dump({"weights": weights, "average": average, "mean_iou": metrics.get("mean_iou"), "losses": losses}, file)
flow.finalize()
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fundus")
    write_fundus_phantom(folder, size=(96, 100))
    return folder


SEVERAL_TRAININGS = """
import json, logging, sys
import torch
from monai.bundle import ConfigWorkflow
logging.basicConfig(level=logging.INFO)
torch.set_num_threads(1)
files, override = json.loads(sys.argv[1]), json.loads(sys.argv[2])
flow = ConfigWorkflow(config_file=files, logging_file=False, meta_file=None, workflow_type="train", **override)
flow.initialize()
flow.run()
flow.finalize()
"""


def words(data, output, tmp_path, method=None, **override):
    """A script that trains, and its arguments."""
    worker = tmp_path / "worker.py"
    worker.write_text(SEVERAL_TRAININGS if method == "self_training" else WORKER, encoding="utf-8")
    configs = BUNDLES / "chase_supmix" / "configs"
    methods = [] if method is None else [f"methods/{method}.json"]
    files = [str(configs / name) for name in ("train.json", *methods, "multi_gpu_train.json")]
    settings = {
        "bundle_root": str(BUNDLES / "chase_supmix"), "dataset_dir": str(data), "output_dir": str(output),
        "crop_size": [64, 64], "labeled_batch_size": 2, "unlabeled_batch_size": 2, **TINY, **override,
    }  # fmt: skip
    return [str(worker), json.dumps(files), json.dumps(settings), str(tmp_path / "result")]


def run_ranks(data, output, tmp_path, **override):
    """Start and await the two processes that torchrun would start; their exit statuses, and what they printed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    meeting |= {"SLURM_JOB_ID": "1"}  # torchrun within a job of Slurm, which has started one task
    log, command = tmp_path / "log.txt", words(data, output, tmp_path, **override)
    ranks = [
        forked.start_python(command, log, meeting | {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"} | number)
        for number in ({"RANK": "0", "LOCAL_RANK": "0"}, {"RANK": "1", "LOCAL_RANK": "1"})
    ]
    for process in ranks:
        process.join()
    return [process.exitcode for process in ranks], log.read_text(encoding="utf-8")


def test_both_ranks_agree_and_the_loss_falls_and_one_of_them_is_tracked(data, tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    out, lengths = tmp_path / "out", {"max_epochs": 8, "val_interval": 8, "log_interval": 2, "optimizer#lr": 0.02}
    statuses, printed = run_ranks(data, out, tmp_path, num_val_patients=3, tracking="mlflow", **lengths)
    assert statuses == [0, 0], printed
    first, second = (json.loads((tmp_path / f"result.{rank}").read_text(encoding="utf-8")) for rank in (0, 1))
    assert first["weights"] == second["weights"]
    assert first["mean_iou"] == second["mean_iou"] is not None
    assert first["losses"] != second["losses"]  # each rank has samples of its own
    for result in (first, second):
        assert result["losses"][-1] < 0.9 * result["losses"][0]
    assert len(list((out / "tensorboard").iterdir())) == 1
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{out}/mlruns.db")
    (tracked,) = client.search_runs([client.get_experiment_by_name("chase_supmix").experiment_id])
    points = client.get_metric_history(tracked.info.run_id, "loss/supervised")
    assert [point.value for point in points] == first["losses"] and tracked.info.status == "FINISHED"


@pytest.mark.parametrize("everyone", [False, True], ids=["the launcher", "all processes"])
def test_sigterm_leaves_a_checkpoint_to_resume_from(everyone, data, tmp_path):
    """A system that ends a service sends it to all of its processes, and the launcher passes it on once more."""
    output, log = tmp_path / "out", tmp_path / "torchrun.txt"
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = words(data, output, tmp_path, max_iterations=100000, save_interval=100000, log_interval=1)
    log.touch()
    process = forked.start_python([*launcher, *command], log, {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 120
    while ", iteration " not in log.read_text(encoding="utf-8") and time.monotonic() < deadline:
        assert process.is_alive(), log.read_text(encoding="utf-8")
        time.sleep(0.01)
    ranks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8").split()
    process.terminate()
    for rank in ranks if everyone else []:
        os.kill(int(rank), signal.SIGTERM)
    process.join(timeout=120)
    assert process.exitcode and len(ranks) >= 2
    assert "stopped by a signal after iteration" in log.read_text(encoding="utf-8")
    (newest,) = (output / "checkpoints").glob("*.pt")
    stopped_at = int(newest.stem.split("=")[1])
    statuses, printed = run_ranks(data, output, tmp_path, max_iterations=stopped_at + 2, resume="force")
    assert statuses == [0, 0], printed
    assert (output / "checkpoints" / f"checkpoint_iteration={stopped_at + 2:06d}.pt").exists()


def test_both_ranks_keep_one_teacher_which_resumes_to_the_same_bits_after_a_kill(data, tmp_path):
    """Without SyncBatchNorm each rank has statistics of its own; the teacher has one set of them, that of rank 0."""
    teacher = {"teacher_momentum": 0.8, "save": "teacher", "burn_in": 0.2}
    settings = {"max_iterations": 6, "save_interval": 1, "log_interval": 1, **teacher}
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    runs = [(whole, {}, 0), (killed, {"killed_at": 4}, -signal.SIGKILL), (killed, {"resume": "auto"}, 0)]
    for output, more, status in runs:
        statuses, printed = run_ranks(data, output, tmp_path, **settings, **more)
        assert statuses == [status, status], printed
        assert (output / "model.pt").exists() == (status == 0) and any((output / "checkpoints").iterdir())
        if status == 0:
            first, second = (json.loads((tmp_path / f"result.{rank}").read_text(encoding="utf-8")) for rank in (0, 1))
            assert first["average"] == second["average"] != {}
    assert (whole / "model.pt").read_bytes() == (killed / "model.pt").read_bytes()


def test_ranks_share_the_images_that_self_training_predicts(data, tmp_path):
    out = tmp_path / "out"
    statuses, printed = run_ranks(data, out, tmp_path, method="self_training", max_iterations=2, num_labeled=2)
    assert statuses == [0, 0], printed
    masks = [*(out / "rounds/0/pseudo_labels").glob("*_seg.png")]
    assert len(masks) > 2
    assert printed.count(f"{len(masks)} pseudo-labels, ") == 1, "counted over all ranks, told by one"
    assert (out / "model.pt").exists()
