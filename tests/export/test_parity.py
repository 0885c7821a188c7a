"""What counts as the same network."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from monai_supmix.export import compare
from tests.export.networks import Plain


def inputs(count=3):
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(1, 1, 8, 12, generator=generator) for _ in range(count)]


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Plain()


def test_a_network_equals_itself_and_its_rounding(network):
    parity = compare(network, network, inputs())
    assert parity.holds
    assert (parity.max_difference, parity.dice, parity.num_pixels) == (0, {"class 1": 1}, 3 * 8 * 12)
    assert compare(network, lambda x: network(x) * (1 + 1e-6), inputs()).holds


def test_figures_are_the_largest_of_all_batches_and_dice_over_all_pixels(network):
    def other(images):
        logits = network(images).clone()
        if torch.equal(images, inputs()[1]):
            logits[0, 0, 0, :6] += 9  # now class 0
        return logits

    with torch.inference_mode():
        changed = int((network(inputs()[1])[0, :, 0, :6].argmax(0) == 1).sum())
        largest = max(float(network(images).abs().max()) for images in inputs())
        before = sum(int(network(images).argmax(1).sum()) for images in inputs())
    parity = compare(network, other, inputs())
    assert not parity.holds
    assert parity.max_difference == pytest.approx(9.0)
    assert changed and parity.dice["class 1"] == pytest.approx(2 * (before - changed) / (2 * before - changed))
    assert parity.largest_logit == pytest.approx(largest)


@pytest.mark.parametrize(
    "change",
    [
        lambda logits: logits + 0.05,
        lambda logits: torch.full_like(logits, float("nan")),
        lambda logits: torch.cat((logits[:1] * float("nan"), logits[1:])),
        lambda logits: logits[..., :-1],
        lambda logits: logits.flip(1),
    ],
)
def test_anything_else_is_another_network(network, change):
    assert not compare(network, lambda x: change(network(x)), inputs()).holds


def test_pixels_of_another_class_count_though_logits_are_near(network):
    nn.init.zeros_(network.up.weight)  # all classes are equally probable
    nn.init.zeros_(network.up.bias)
    tie = torch.tensor([0.0, 1e-7]).view(1, 2, 1, 1)
    assert not compare(network, lambda x: network(x) + tie, inputs()).holds


class Levels(nn.Module):
    """Class 1 where an image is above 0.5, class 2 nowhere but at one pixel in ten thousand."""

    def forward(self, images):
        rare = torch.zeros_like(images)
        rare[..., 0, 0] = 9
        return torch.cat([0.5 - images, images - 0.5, rare - 5, rare - 99], dim=1)


def test_a_lost_class_is_seen_however_few_pixels_it_has():
    reference, images = Levels(), [torch.rand(1, 1, 100, 100)]
    names = ["background", "organ", "lesion", "artery"]

    def without_lesion(x):
        logits = reference(x).clone()
        logits[:, 2] = logits.amin(1)  # logits within what rounding may do are no excuse, either
        return logits

    parity = compare(reference, without_lesion, images, names)
    assert not parity.holds and parity.dice["lesion"] == 0 and parity.dice["organ"] > 0.999
    assert "lesion 0.0000 (neither finds artery)" in str(parity)
    assert replace(parity, max_difference=0.0).holds is False
    assert compare(reference, reference, images, names).dice == {"organ": 1, "lesion": 1, "artery": None}
    assert compare(reference, reference, images, names).holds


def test_the_reference_is_compared_in_eval_mode_and_left_as_it_was(network):
    dropping = nn.Sequential(nn.Dropout(0.9), network)
    assert compare(dropping, network, inputs()).holds
    assert dropping.training


def test_nothing_to_compare_is_an_error(network):
    with pytest.raises(ValueError, match="nothing to compare"):
        compare(network, network, [])
