"""The monitor of pseudo-labels counts rightly, and training does not notice it."""

import logging

import numpy as np
import pytest
import torch
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.handlers import PseudoLabelMonitor, TrainingHistory
from monai_supmix.handlers.pseudo_labels import pseudo_label_quality
from monai_supmix.inferers import SliceVolumeInferer, VolumeInferer
from tests.engines.toys import items, trainer

NAMES = ["background", "lesion", "other"]


class Load:
    """Items that are loaded already."""

    def __call__(self, item):
        if "problem" in item:
            raise InputError("truth.png", "is damaged", "copy it again")
        return item

    def samples(self, loaded, most):
        return loaded["image"][None][:most], loaded["label"][None][:most]


def monitor(history=None, cases=None, **kwargs):
    arguments = {"interval": 2, "total_iterations": 6, "threshold": 0.4} | kwargs
    cases = items(3, seed=1) if cases is None else cases
    inferer = SliceVolumeInferer(amp=False)
    return PseudoLabelMonitor(history or TrainingHistory(), cases, Load(), inferer, NAMES, **arguments)


def test_a_volume_stays_in_the_memory_of_the_host():
    volumes = items(1, seed=1, spatial=(32, 32, 32))
    inferer = VolumeInferer(roi_size=(32, 32, 32), amp=False)
    one = PseudoLabelMonitor(TrainingHistory(), volumes, Load(), inferer, NAMES, interval=2, total_iterations=6)
    one._samples = [one.load.samples(volumes[0], 1)]
    row = one.measure(nn.Conv3d(3, 3, 1), "meta")  # a device from which nothing could be read
    assert sum(row[f"true_share_{name}"] for name in NAMES) == pytest.approx(1)


def follow(method="supmix_sufd", with_monitor=True, **kwargs):
    engine, history = trainer(method), TrainingHistory(2)
    history.attach(engine)
    if with_monitor:
        monitor(history, **kwargs).attach(engine)
    return engine, history


def test_counts_agree_with_a_slow_reference():
    """Pixel by pixel, with the words of the docstring."""
    random = np.random.default_rng(0)
    truth, predicted, sure = (random.integers(0, n, 500) for n in (3, 3, 2))
    predicted[predicted == 2] = 1  # never predicted
    confusions = torch.zeros(2, 3, 3, dtype=torch.int64)
    for t, p, s in zip(truth, predicted, sure, strict=True):
        confusions[s, t, p] += 1
    row = pseudo_label_quality(confusions[1], confusions[0], NAMES)
    confident = sure == 1
    assert row["coverage"] == pytest.approx(confident.mean())
    assert row["precision"] == pytest.approx((truth == predicted)[confident].mean())
    assert "precision_other" not in row
    for index, name in enumerate(NAMES[:2]):
        assert row[f"precision_{name}"] == pytest.approx((truth == index)[confident & (predicted == index)].mean())
    for index, name in enumerate(NAMES):
        assert row[f"recall_{name}"] == pytest.approx((confident & (predicted == index))[truth == index].mean())
        assert row[f"share_{name}"] == pytest.approx((predicted == index).mean())
        assert row[f"true_share_{name}"] == pytest.approx((truth == index).mean())
    nothing = torch.zeros(3, 3, dtype=torch.int64)
    assert "precision" not in pseudo_label_quality(nothing, confusions[0], NAMES)
    assert pseudo_label_quality(nothing, nothing, NAMES) == {}


def test_what_is_measured_is_what_the_network_says_of_the_images():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout())
    watch = monitor()
    watch._samples = watch._load()
    row = watch.measure(network, "cpu")
    network.eval()
    images, truth = (torch.stack([item[key] for item in items(3, seed=1)]) for key in ("image", "label"))
    confidence, label = network(images).softmax(dim=1).max(dim=1, keepdim=True)
    assert row["coverage"] == pytest.approx((confidence >= 0.4).float().mean().item())
    assert row["precision"] == pytest.approx((label == truth)[confidence >= 0.4].float().mean().item())


def test_pixels_that_the_truth_leaves_out_are_not_counted():
    network, cases = nn.Conv2d(3, 3, 1), items(2, seed=1)
    rows = []
    for ignored in (False, True):
        if ignored:
            cases = [{**case, "label": case["label"].clone()} for case in cases]
            for case in cases:
                case["label"][:, :, 16:] = 255
        watch = monitor(cases=cases)
        watch._samples = watch._load()
        rows.append(watch.measure(network, "cpu"))
    confidence, label = network(torch.stack([item["image"] for item in cases])).softmax(1).max(1, keepdim=True)
    truth, known = torch.stack([item["label"] for item in cases]), torch.arange(32) < 16
    sure = (confidence >= 0.4) & known
    assert rows[1]["coverage"] == pytest.approx(sure.sum().item() / (2 * 32 * 16))
    assert rows[1]["precision"] == pytest.approx((label == truth)[sure].float().mean().item())
    assert rows[0] != rows[1]


def test_it_looks_at_intervals_and_at_the_end(caplog):
    caplog.set_level(logging.INFO)
    engine, history = follow(interval=4)
    engine.run()
    assert [row["iteration"] for row in history.pseudo_label_rows] == [4, 6]
    assert 0 <= engine.state.metrics["hidden_truth_precision"] <= 1
    assert sum("of 3 unlabelled cases with hidden truth" in r.getMessage() for r in caplog.records) == 2


def test_every_module_keeps_its_mode_and_every_generator_its_state():
    engine, _ = follow()
    engine.network.train()
    frozen = next(module for module in engine.network.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    watch = monitor()
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    weights = {name: value.clone() for name, value in engine.network.state_dict().items()}
    modes = [module.training for module in engine.network.modules()]
    watch._samples = watch._load()
    watch.measure(engine.network, "cpu")
    assert [module.training for module in engine.network.modules()] == modes
    assert not frozen.training
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])
    assert all(torch.equal(value, weights[name]) for name, value in engine.network.state_dict().items())


@pytest.mark.parametrize("method", ["unimatch", "supmix_sufd"])
def test_weights_and_losses_are_the_same_bits_without_it(method):
    results = []
    for with_monitor in (True, False):
        engine, history = follow(method, with_monitor, interval=1)
        engine.run()
        results.append((engine.network.state_dict(), history.rows))
    (weights, rows), (others, other_rows) = results
    assert rows == other_rows
    assert all(torch.equal(weights[name], others[name]) for name in others)


def test_a_teacher_gives_the_pseudo_labels():
    engine, history = follow(interval=6)
    engine.teacher = nn.Conv2d(3, 3, 1)
    nn.init.zeros_(engine.teacher.weight)
    engine.teacher.bias.data = torch.tensor([0.0, 9.0, 0.0])
    engine.run()
    assert history.pseudo_label_rows[-1]["share_lesion"] == 1


def test_a_method_without_pseudo_labels_and_data_without_truth_have_no_rows():
    for method, kwargs in (("supervised", {}), ("supmix", {"cases": []}), ("supmix", {"num_samples": 0})):
        engine, history = follow(method, **kwargs)
        engine.run()
        assert history.pseudo_label_rows == []


def test_truth_that_cannot_be_read_is_left_out_and_told(caplog):
    engine, history = follow(cases=[{"case": "a", "problem": True}, *items(1, seed=1)])
    engine.run()
    assert len(history.pseudo_label_rows) == 3
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert told == ["pseudo-labels of a are not looked at: truth.png: is damaged: copy it again"]
    engine, history = follow(cases=[{"case": "a", "problem": True}])
    engine.run()
    assert history.pseudo_label_rows == []


def test_rows_are_part_of_the_state_and_older_states_have_none():
    engine, history = follow()
    engine.run()
    other = TrainingHistory()
    other.load_state_dict(history.state_dict())
    assert other.pseudo_label_rows == history.pseudo_label_rows != []
    other.load_state_dict({k: v for k, v in history.state_dict().items() if k != "pseudo_label_rows"})
    assert other.pseudo_label_rows == []
