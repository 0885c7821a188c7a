"""The logits of a trained network, raised by how rare classes are, whatever its output layer looks like."""

import copy

import pytest
import torch
from monai.networks.nets import UNet
from torch import nn

from monai_supmix.engines import AdjustLogits
from monai_supmix.networks import CompactUNet, EncoderDecoder, HookedNetwork
from monai_supmix.networks.output_layer import shift_logits

NARROW = (4, 4, 4, 4, 4, 4)
LABELS = [{"label": torch.tensor([0] * 12 + [1] * 3)}, {"label": torch.tensor([0] * 12 + [2] + [255] * 2)}]  # 24, 3, 1


def networks():
    residual = UNet(2, 1, 4, channels=(4, 8), strides=(2,), num_res_units=2)
    return {
        "pixels at once": (CompactUNet(in_channels=1, num_classes=4, features=NARROW, patch_size=2), (1, 32, 32)),
        "plain": (CompactUNet(in_channels=1, num_classes=4, features=NARROW), (1, 32, 32)),
        "3D": (CompactUNet(3, in_channels=1, num_classes=4, features=NARROW, patch_size=2), (1, 32, 32, 32)),
        "encoder": (EncoderDecoder(num_classes=4, encoder_name="resnet18", encoder_weights=None), (3, 64, 64)),
        "residual": (HookedNetwork(residual, dropout_modules=("model.0",), divisor=2), (1, 8, 8)),
    }


@pytest.mark.parametrize("name", networks())
def test_it_adds_the_logarithm_of_how_rare_a_class_is(name):
    network, shape = networks()[name]
    images = torch.rand(2, *shape, generator=torch.Generator().manual_seed(0))
    network.train()
    modes = [module.training for module in network.modules()]
    plain = copy.deepcopy(network).eval()
    AdjustLogits(LABELS, num_classes=4, tau=0.5)(network)
    assert [module.training for module in network.modules()] == modes
    with torch.no_grad():
        added = network.eval()(images) - plain(images)
    expected = torch.tensor([0.0, 0.5 * torch.tensor(8.0).log(), 0.5 * torch.tensor(24.0).log(), 0.0])
    assert torch.allclose(added.mean(tuple(range(2, added.ndim))), expected.expand(2, 4), atol=1e-3)
    assert added.std(tuple(range(2, added.ndim))).max() < 1e-3, "the same at every pixel"


def test_nothing_but_the_bias_changes_and_nothing_at_all_at_strength_zero():
    network = CompactUNet(in_channels=1, num_classes=4, features=NARROW, patch_size=2)
    before = copy.deepcopy(network.state_dict())
    AdjustLogits(LABELS, num_classes=4, tau=0.0)(network)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    AdjustLogits(LABELS, num_classes=4)(nn.DataParallel(network))
    changed = [name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)]
    assert changed == ["unet.final_conv.bias"]


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_labels_without_background_shift_nothing_by_infinity(tau):
    network = nn.Conv2d(1, 4, 1)
    before = network.bias.detach().clone()
    AdjustLogits([{"label": torch.tensor([1] * 6 + [2] * 2)}], num_classes=4, tau=tau)(network)
    added = (network.bias.detach() - before).tolist()
    assert added == pytest.approx([0.0, 0.0, tau * torch.tensor(3.0).log().item(), 0.0], abs=1e-6)


@pytest.mark.parametrize(
    "network",
    [
        nn.Linear(1, 4),
        nn.Conv2d(1, 4, 1, bias=False),
        nn.Conv2d(1, 3, 1),
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.ReLU()),  # its bias does not reach the output as it is
        nn.Sequential(nn.Conv2d(1, 4, 1), nn.BatchNorm2d(4)),
    ],
    ids=["no convolution", "no bias", "other classes", "something after it", "a norm after it"],
)
def test_a_network_without_such_a_layer_is_refused_and_left_as_it_was(network):
    if isinstance(network, nn.Sequential) and isinstance(network[1], nn.BatchNorm2d):
        network[1].weight.data.fill_(2.0)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match=r"its last layer is no convolution|is not added to its logits"):
        shift_logits(network, torch.tensor([0.0, -50.0, 1.0, 1.0]))
    with pytest.raises(ValueError, match=r"its last layer is no convolution|is not added to its logits"):
        AdjustLogits(LABELS, num_classes=4).check(network)
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("name", networks())
def test_a_look_at_the_output_layer_changes_nothing(name):
    network, _ = networks()[name]
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    AdjustLogits(LABELS, num_classes=4).check(network.train())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("tau", [-1, float("nan"), float("inf"), "x"])
def test_a_strength_that_is_none_is_refused(tau):
    with pytest.raises(ValueError, match="at least 0"):
        AdjustLogits(LABELS, num_classes=4, tau=tau)


def test_a_number_of_classes_that_is_not_the_networks_is_told():
    network = CompactUNet(in_channels=1, num_classes=4, features=NARROW, patch_size=2)
    with pytest.raises(ValueError, match="it gives 4 classes and not 2"):
        AdjustLogits(LABELS, num_classes=2).check(network)
