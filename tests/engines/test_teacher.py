"""The teacher is the average that a hand loop makes, gives the pseudo-labels, and costs no forward too many."""

import copy

import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_supmix.engines import MovingAverage
from monai_supmix.networks import CompactUNet
from tests.devices import DEVICES
from tests.engines.toys import trainer


@pytest.mark.parametrize("device", DEVICES)
def test_the_average_is_that_of_a_hand_loop_buffers_included(device):
    network = CompactUNet(2, 3, 3, features=(4, 4, 8, 8, 8, 4)).to(device)
    average = MovingAverage(nn.DataParallel(network), momentum=0.9)
    expected = {name: value.double() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for seed in range(4):
        images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(seed)).to(device)
        network.train()(images).square().mean().backward()
        optimizer.step()
        average.update(network)
        for name, value in network.state_dict().items():
            expected[name] = 0.9 * expected[name] + 0.1 * value if value.is_floating_point() else value.double()
    assert any(name.endswith("running_mean") for name in expected)
    for name, value in average.network.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_it_owns_its_tensors_and_takes_no_part_in_training():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = MovingAverage(network, 0.5)
    average.update(network)
    theirs = {t.data_ptr() for t in network.state_dict().values()}
    assert not theirs & {t.data_ptr() for t in average.network.state_dict().values()}
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert not any(module.training for module in average.network.modules())


def test_it_begins_with_the_weights_that_the_training_begins_with():
    engine = trainer("fixmatch", teacher_momentum=0.05, max_iterations=1)
    with torch.no_grad():
        for parameter in engine.network.parameters():
            parameter.add_(0.1)  # as if trained weights were loaded once the trainer exists
    before = copy.deepcopy(engine.network)
    engine.run()
    for ours, old, new in zip(
        engine.average.network.parameters(), before.parameters(), engine.network.parameters(), strict=True
    ):
        torch.testing.assert_close(ours, 0.05 * old + 0.95 * new)


def test_of_the_initial_weights_nothing_is_left_after_a_short_training():
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 1e6)
    average = MovingAverage(network, momentum=0.99)
    nn.init.zeros_(network.weight)
    for step in range(1, 31):
        average.update(network, step)
    assert average.network.weight.item() < 0.01  # 0.99 ** 30 is 0.74


def test_with_the_steps_it_becomes_the_average_of_its_momentum():
    network = nn.Linear(1, 1, bias=False)
    told, untold = MovingAverage(network, momentum=0.9), MovingAverage(network, momentum=0.9)
    nn.init.ones_(network.weight)
    told.update(network, 81)  # 81 / 90 = 0.9
    untold.update(network)
    assert torch.equal(told.network.weight, untold.network.weight)


def test_a_training_tells_its_average_the_steps():
    engine = trainer("supervised", teacher_momentum=0.9, save="teacher", max_iterations=3)
    networks = [copy.deepcopy(engine.network.state_dict())]
    engine.add_event_handler(
        Events.ITERATION_COMPLETED, lambda one: networks.append(copy.deepcopy(one.network.state_dict()))
    )
    engine.run()
    for name, ours in engine.average.network.named_parameters():
        expected = networks[0][name]
        for step, state in enumerate(networks[1:], start=1):
            expected = torch.lerp(state[name], expected, step / (step + 9))
        torch.testing.assert_close(ours, expected, msg=name)


class Spy(nn.Module):
    """Counts how many images pass through a network."""

    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, []

    def forward(self, x, **kwargs):
        self.calls.append((len(x), torch.is_grad_enabled(), self.training))
        return self.network(x, **kwargs)


@pytest.mark.parametrize(
    ("method", "first"), [("fixmatch", 2), ("unimatch", 4), ("sufd", 4)], ids=["nothing", "dropout", "discriminator"]
)
def test_the_weak_view_passes_through_the_student_only_if_something_looks_at_it(method, first):
    engine = trainer(method, max_iterations=1, teacher_momentum=0.9)
    engine.average.update(engine.network)
    student, teacher = Spy(engine.network), Spy(engine.teacher)
    engine.network, engine.teacher, engine.average = student, teacher, None
    engine.run()
    assert student.calls[0] == (first, True, True)
    assert teacher.calls == [(2, False, False)]


@pytest.mark.parametrize("burn_in", [0.0, 0.5])
@pytest.mark.parametrize("stop", [1, 4])
def test_resume_is_bit_identical(stop, burn_in):
    def make():
        return trainer("supmix", teacher_momentum=0.9, burn_in=burn_in)

    whole, first, second = make(), make(), make()
    whole.run()
    first.add_event_handler(Events.ITERATION_COMPLETED(once=stop), first.terminate)
    first.run()
    for part in ("network", "optimizer", "teacher"):
        getattr(second, part).load_state_dict(copy.deepcopy(getattr(first, part).state_dict()))
    second.load_state_dict({"iteration": stop, "epoch_length": 3, "max_epochs": 2})
    second.run()
    for part in ("network", "teacher"):
        expected = getattr(whole, part).state_dict()
        assert all(torch.equal(value, expected[name]) for name, value in getattr(second, part).state_dict().items())


def test_supervised_training_has_an_average_to_save_too():
    engine = trainer("supervised", teacher_momentum=0.9, save="teacher")
    engine.run()
    assert engine.saved_network is engine.average.network
    assert trainer("supervised", teacher_momentum=0.9).saved_network is not engine.average.network
    pairs = zip(engine.network.parameters(), engine.saved_network.parameters(), strict=True)
    assert not any(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"teacher_momentum": 1.0}, "teacher_momentum is in"),
        ({"teacher_momentum": -0.1}, "teacher_momentum is in"),
        ({"teacher_momentum": 0.9, "teacher": nn.Identity()}, "not both"),
        ({"save": "teacher"}, "give a teacher_momentum"),
        ({"save": "both"}, "not 'both'"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        trainer("supmix", **arguments)
