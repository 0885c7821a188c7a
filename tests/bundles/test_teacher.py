"""With `save: teacher` the average is what is validated, recalibrated and saved, and what a checkpoint resumes."""

import pytest
import torch
from ignite.engine import Events

from monai_supmix.handlers.checkpoints import newest_intact, read_checkpoint
from monai_supmix.weights import load_weights
from tests.bundles.workflows import METHODS, SHIPPED, TINY, run, workflow

TEACHER = {"teacher_momentum": 0.5, "save": "teacher"}


def settings(phantoms, output, **more):
    data = str(phantoms["covid19_ct_supmix"])
    return {
        "dataset_dir": data, "output_dir": str(output), "num_labeled": 1, "max_iterations": 3, "crop_size": [32, 32],
        "num_val_patients": 1, "val_interval": 1, **TINY, **more,
    }  # fmt: skip


@pytest.mark.parametrize("save", ["student", "teacher"])
def test_what_is_saved_is_what_is_validated_and_recalibrated(save, phantoms, tmp_path):
    flow = workflow("covid19_ct_supmix", "train", **settings(phantoms, tmp_path, **TEACHER | {"save": save}))
    flow.initialize()
    get = flow.parser.get_parsed_content
    trainer, validator = get("train#trainer"), get("validate#evaluator")
    seen = []
    validator.add_event_handler(Events.STARTED, lambda engine: seen.append(engine.network))
    flow.run()
    expected = trainer.average.network if save == "teacher" else trainer.network
    assert seen and all(network is expected for network in seen)
    final, _ = load_weights(tmp_path / "model.pt")
    assert all(torch.equal(final[name], value) for name, value in expected.state_dict().items())
    state = read_checkpoint(newest_intact(tmp_path / "checkpoints").path)["state"]
    weights = {"student": state["network"], "teacher": state["teacher"]}
    for who, theirs in weights.items():
        differing = {name.rpartition(".")[2] for name in final if not torch.equal(final[name], theirs[name])}
        assert ("weight" in differing) == (who != save)
        assert "running_mean" in differing  # of whole planes by now


def test_a_run_stopped_and_resumed_ends_with_the_same_bits(phantoms, tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    run("covid19_ct_supmix", "train", **settings(phantoms, whole, **TEACHER))
    flow = workflow("covid19_ct_supmix", "train", **settings(phantoms, stopped, save_interval=1, **TEACHER))
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_STARTED(once=2), _stop)
    with pytest.raises(RuntimeError):  # MONAI says in which expression
        flow.run()
    run("covid19_ct_supmix", "train", **settings(phantoms, stopped, resume="auto", **TEACHER))
    assert (whole / "model.pt").read_bytes() == (stopped / "model.pt").read_bytes()


def _stop():
    raise InterruptedError


@pytest.mark.parametrize("preset", [None, "paper", "pretrained"])
@pytest.mark.parametrize("method", [*METHODS, "self_training"])
@pytest.mark.parametrize("bundle", SHIPPED)
def test_a_teacher_is_saved_only_where_there_is_one(bundle, method, preset):
    parser = workflow(bundle, "train", method, preset).parser
    momentum, save = (parser.get_parsed_content(key) for key in ("teacher_momentum", "save"))
    assert save == "student" or momentum is not None
