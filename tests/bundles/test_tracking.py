"""Both bundles under ``--tracking mlflow``, and what TensorBoard shows, read back with their own means."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from ignite.engine import Events
from monai.bundle import ConfigWorkflow
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from monai_supmix.handlers.follow import figure_curves, training_curves
from monai_supmix.handlers.preemption import Preempted
from tests.bundles.workflows import BUNDLES, NAMES, TINY, config_files, read_config, run
from tests.saved_states import saved_state

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")


@pytest.fixture(autouse=True)
def _local(monkeypatch):
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """An empty store; a copy takes less time than a new one."""
    path = tmp_path_factory.mktemp("store") / "mlruns.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


def tracked(bundle, kind, **override):
    """A workflow as ``python -m monai.bundle run --tracking mlflow`` builds it."""
    folder = BUNDLES / bundle
    tiny = TINY if kind == "train" else {key: value for key, value in TINY.items() if key != "discriminator_widths"}
    return ConfigWorkflow(
        config_file=config_files(bundle, kind),
        meta_file=str(folder / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train" if kind == "train" else "infer",
        tracking="mlflow",
        bundle_root=str(folder),
        **tiny,
        **override,
    )


def training(bundle, phantoms, output, **override):
    epochs = {
        "max_iterations": 4,
        "labeled_batch_size": 4,
        "unlabeled_batch_size": 4,
        "val_interval": 1,
        "num_val_patients": 1 if bundle == "chase_supmix" else 0,
    }
    return {"dataset_dir": str(phantoms[bundle]), "output_dir": str(output), "crop_size": [64, 64],
            "num_labeled": 2, "log_interval": 2, **epochs, **override}  # fmt: skip


def runs(folder, experiment):
    """All runs of the folder's own store, and MLflow's client of it."""
    client = mlflow.MlflowClient(tracking_uri=f"sqlite:///{folder}/mlruns.db")
    found = client.get_experiment_by_name(experiment)
    return client, client.search_runs([found.experiment_id], order_by=["attribute.start_time ASC"])


def logged(client, run):
    """Points by metric."""
    return {
        name: [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def expected(folder):
    """Points by curve, from the history that the run has left."""
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    tables = [(training_curves(row, history["class_names"]), row) for row in history["rows"]]
    tables += [(figure_curves("validation", row), row) for row in history["validation_rows"]]
    tables += [(figure_curves("hidden_truth", row), row) for row in history["pseudo_label_rows"]]
    points = {}
    for curves, row in tables:
        for name, value in curves.items():
            points.setdefault(name, []).append((row["iteration"], value))
    return points


@pytest.fixture(scope="module", params=NAMES)
def finished(request, phantoms, tmp_path_factory):
    """A short training under tracking."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        folder = tmp_path_factory.mktemp("tracked") / "a run ü"
        flow = tracked(request.param, "train", **training(request.param, phantoms, folder))
        flow.initialize()
        assert flow.check_properties() == []
        flow.run()
    return request.param, folder


def test_the_run_shows_parameters_metrics_and_the_report(finished):
    bundle, folder = finished
    client, (run,) = runs(folder, bundle)
    assert run.info.status == "FINISHED" and run.info.run_name == str(folder)
    assert logged(client, run) == expected(folder)
    assert {"loss/total", "loss/supervised", "learning_rate", "pseudo_label/confidence_coverage"} <= set(
        run.data.metrics
    )
    assert ("validation/mean_iou" in run.data.metrics) == (bundle == "chase_supmix")
    parameters = run.data.params
    for name, value in (
        ("method", "supmix_sufd"),
        ("seed", "0"),
        ("optimizer", "AdamW"),
        ("optimizer.lr", str(read_config(bundle, "train")["optimizer"]["lr"])),
        ("mixing", "SupMix"),
        ("images.labelled", "2"),
        ("total_iterations", "4"),
    ):
        assert parameters[name] == value
    artifacts = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert artifacts == {"report.html", "history.json"}
    kept = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="report.html", tracking_uri=f"sqlite:///{folder}/mlruns.db"
    )
    assert Path(kept).read_bytes() == (folder / "report.html").read_bytes()
    assert list(folder.glob("mlruns/*/artifacts/report.html"))
    assert list(folder.parent.iterdir()) == [folder], "nothing is written elsewhere"


def test_tensorboard_shows_the_same(finished):
    _, folder = finished
    accumulator = EventAccumulator(str(folder / "tensorboard")).Reload()
    shown = {tag: [(e.step, e.value) for e in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}
    points = expected(folder)
    assert shown.keys() == points.keys()
    for name, curve in shown.items():
        assert curve == [(step, pytest.approx(value, rel=1e-6)) for step, value in points[name]]


def test_the_weights_that_are_saved_are_validated_wherever_the_training_ends(phantoms, tmp_path):
    flow = tracked("chase_supmix", "train", **training("chase_supmix", phantoms, tmp_path, max_iterations=3))
    flow.initialize()
    assert flow.parser.get_parsed_content("train#trainer").state.epoch_length > 3, "no epoch ends in it"
    flow.run()
    rows = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))["validation_rows"]
    assert [row["iteration"] for row in rows] == [3]
    test_tensorboard_shows_the_same((None, tmp_path))
    client, (one,) = runs(tmp_path, "chase_supmix")
    assert logged(client, one) == expected(tmp_path)


def test_trackers_change_no_weights(finished, phantoms, tmp_path):
    bundle, folder = finished
    if bundle != "chase_supmix":
        pytest.skip("one bundle tells it")
    run(bundle, "train", **training(bundle, phantoms, tmp_path, tensorboard=False), **TINY)
    assert not (tmp_path / "tensorboard").exists()
    assert (tmp_path / "model.pt").read_bytes() == (folder / "model.pt").read_bytes()
    ours, theirs = (saved_state(out / "checkpoints/checkpoint_iteration=000004.pt") for out in (tmp_path, folder))
    assert ours == theirs


def test_a_stopped_run_is_continued_as_one(phantoms, store, tmp_path):
    shutil.copy(store, tmp_path)
    override = training("chase_supmix", phantoms, tmp_path, resume="auto")
    flow = tracked("chase_supmix", "train", **override)
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_STARTED(once=3), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted):
        flow.run()
    assert runs(tmp_path, "chase_supmix")[1][0].info.status == "KILLED"
    flow = tracked("chase_supmix", "train", **override)
    flow.initialize()
    flow.run()
    client, (only,) = runs(tmp_path, "chase_supmix")
    assert only.info.status == "FINISHED" and logged(client, only) == expected(tmp_path)


def test_an_evaluation_has_a_run_of_its_own(finished, phantoms, store, tmp_path):
    shutil.copy(store, tmp_path)
    bundle, folder = finished
    override = {
        "dataset_dir": str(phantoms[bundle]),
        "output_dir": str(tmp_path),
        "ckpt_path": str(folder / "model.pt"),
    }
    flow = tracked(bundle, "evaluate", **override)
    flow.initialize()
    flow.run()
    client, (only,) = runs(tmp_path, bundle)
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert only.info.run_name == f"{tmp_path} evaluation" and only.info.status == "FINISHED"
    assert only.data.metrics["test/mean_iou"] == metrics["mean_iou"]
    present = {name for name, figures in metrics["classes"].items() if figures}
    assert {name.removeprefix("test/iou_") for name in only.data.metrics if name.startswith("test/iou_")} == present
    assert only.data.params["checkpoint_sha256"] == metrics["checkpoint_sha256"]
    artifacts = {item.path for item in client.list_artifacts(only.info.run_id)}
    assert artifacts == {"metrics.json", "cases.csv", "report.html"}


def test_somebody_elses_method_is_called_what_its_file_says_everywhere(phantoms, store, tmp_path):
    shutil.copy(store, tmp_path)
    method = tmp_path / "any_name.json"
    method.write_text(
        json.dumps({"method": "mine", "mixing": None, "num_strong_views": 1, "train#handlers": []}), encoding="utf-8"
    )
    folder = BUNDLES / "chase_supmix"
    flow = ConfigWorkflow(
        config_file=[*config_files("chase_supmix", "train"), str(method)],
        meta_file=str(folder / "configs" / "metadata.json"),
        logging_file=False,
        workflow_type="train",
        tracking="mlflow",
        bundle_root=str(folder),
        **TINY,
        **training("chase_supmix", phantoms, tmp_path, max_iterations=2, log_interval=1),
    )
    flow.initialize()
    flow.run()
    history = json.loads((tmp_path / "history.json").read_text(encoding="utf-8"))
    assert history["method"] == "mine"
    assert "Training report: mine" in (tmp_path / "report.html").read_text("utf-8")
    (run,) = runs(tmp_path, "chase_supmix")[1]
    assert run.data.params["method"] == "mine"
    accumulator = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    (text,) = accumulator.Tensors("method/text_summary")
    assert text.tensor_proto.string_val == [b"mine"]
    # and its own "train#handlers" does not drop the schedule of the learning rate
    first, last = (row["learning_rate"] for row in history["rows"])
    assert last == 0 < first < read_config("chase_supmix", "train")["optimizer"]["lr"]
