"""Training in float16 survives a first step that overflows, and goes on from a run that was not in float16."""

import pytest
import torch
from torch import nn

from monai_supmix.engines.scaling import LossScaler
from monai_supmix.errors import InputError
from monai_supmix.handlers.checkpoints import load_checkpoint
from tests.engines.toys import trainer


@pytest.fixture
def unwritten_memory_is_nan():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def train(make_optimizer):
    """Three steps, of which the first overflows; the weight after each."""
    weight = nn.Parameter(torch.zeros(4))
    optimizer, scaler, weights = make_optimizer([weight]), LossScaler("cpu", enabled=True), []
    for factor in (float("inf"), 1.0, 1.0):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
        weights.append(weight.detach().clone())
    return torch.stack(weights)


@pytest.mark.parametrize(
    "optimizer",
    [torch.optim.SGD, lambda params, **kwargs: torch.optim.AdamW(params, lr=kwargs["lr"], fused=kwargs["fused"])],
)
def test_a_step_that_overflows_is_left_out_whatever_the_kernel(optimizer, unwritten_memory_is_nan):
    fused, plain = (train(lambda p, f=f: optimizer(p, lr=0.1, momentum=0.9, fused=f)) for f in (True, False))
    assert not fused[0].any() and fused[1:].all()
    torch.testing.assert_close(fused, plain)


def test_a_run_in_another_format_is_continued_in_float16():
    begun = LossScaler("cpu", enabled=False).state_dict()
    scaler = LossScaler("cpu", enabled=True)
    load_checkpoint({"iteration": 2, "config": {}, "state": {"grad_scaler": begun}}, {"grad_scaler": scaler})
    assert scaler.get_scale() == 2.0**16


def test_its_own_state_is_continued_and_anything_else_refused():
    first, second = LossScaler("cpu", enabled=True), LossScaler("cpu", enabled=True)
    first.load_state_dict({**first.state_dict(), "scale": 8.0})
    second.load_state_dict(first.state_dict())
    assert second.get_scale() == 8.0
    content = {"iteration": 2, "config": {}, "state": {"grad_scaler": {"scale": 8.0}}}
    with pytest.raises(InputError, match="its 'grad_scaler' does not fit this run"):
        load_checkpoint(content, {"grad_scaler": second})


def test_the_trainer_has_one():
    assert isinstance(trainer("supervised").grad_scaler, LossScaler)
