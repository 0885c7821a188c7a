"""A folded network gives what the network gives, with fewer steps; where the order is not certain it is left alone."""

import copy

import pytest
import torch
from monai.networks.blocks import Convolution
from torch import nn

from monai_supmix.networks import CompactUNet, EncoderDecoder, folded


def lived_in(network: nn.Module) -> nn.Module:
    """With statistics and weights as after a training."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            for tensor in (module.running_mean, module.weight.data, module.bias.data):
                tensor.copy_(torch.randn(tensor.shape, generator=generator))
            module.running_var.copy_(torch.rand(module.running_var.shape, generator=generator) + 0.1)
    return network.double().eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)) for module in network.modules())


@pytest.mark.parametrize(
    ("network", "shape", "left"),
    [
        (CompactUNet(2, 1, 3, (4, 4, 8, 8, 8, 4), patch_size=2), (2, 1, 32, 64), 0),
        (CompactUNet(3, 1, 3, (4, 4, 8, 8, 8, 4)), (1, 1, 16, 32, 16), 0),
        (EncoderDecoder("Unet", "resnet18", in_channels=1, num_classes=2), (1, 1, 64, 64), 17),
        (nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3, groups=1)), nn.BatchNorm2d(4)), (1, 1, 8, 8), 0),
        (Convolution(2, 1, 4, adn_ordering="ADN"), (1, 1, 8, 8), 0),
    ],
    ids=["compact", "compact 3D", "encoder and decoder", "nested", "instance norm"],
)
def test_it_gives_what_the_network_gives(network, shape, left):
    network = lived_in(network)
    before, images = copy.deepcopy(network.state_dict()), torch.rand(shape, dtype=torch.float64)
    with torch.no_grad():
        expected, given = network(images), folded(network)(images)
    assert torch.allclose(given, expected, rtol=1e-9, atol=1e-9)
    assert norms(folded(network)) == left, "most of an encoder come in no certain order"
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert norms(network) > 0 or folded(network) is network


def test_a_network_in_training_mode_is_folded_for_inference_and_left_in_its_mode():
    network = lived_in(CompactUNet(2, 1, 2, (4, 4, 4, 4, 4, 4))).train()
    result = folded(network)
    assert network.training and not any(module.training for module in result.modules())
    images = torch.rand(1, 1, 16, 16, dtype=torch.float64)
    assert torch.allclose(result(images), network.eval()(images))


class Tapped(nn.Sequential):
    """Runs the normalisation twice."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self[1](self[1](self[0](x)))


def shared() -> nn.Module:
    convolution = nn.Conv2d(1, 1, 1)
    return nn.Sequential(convolution, nn.BatchNorm2d(1), convolution, nn.ReLU())


def watched() -> nn.Module:
    """A network whose hook looks at it: what a copy gives would be about the network itself."""
    network = nn.ModuleList([nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)), nn.Conv2d(1, 1, 1)])
    network[0].register_forward_hook(lambda _module, _images, output: setattr(network, "seen", output))
    return network


@pytest.mark.parametrize(
    "network",
    [
        Tapped(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)),
        shared(),
        watched(),
        nn.Sequential(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1, track_running_stats=False)),
        nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.BatchNorm2d(1)),
        nn.ModuleList([nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1)]),
    ],
    ids=["own forward", "shared", "watched", "no statistics", "activation between", "list"],
)
def test_where_the_order_is_not_certain_the_network_stays(network):
    assert folded(network) is network
