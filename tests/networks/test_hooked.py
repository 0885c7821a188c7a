"""Networks of MONAI in the wrapper, in 2D and 3D."""

from importlib.util import find_spec

import pytest
import torch
from monai.networks.nets import (
    BasicUNet,
    BasicUNetPlusPlus,
    DynUNet,
    SegResNet,
    SegResNetVAE,
    SwinUNETR,
    UNet,
)
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.networks import HookedNetwork
from tests.devices import DEVICES
from tests.networks.dropping import check_protocol, without_batch_statistics

SMALL = (4, 4, 4, 8, 8, 4)


def dynunet(dims, **settings):
    kernels, strides = [3, 3, 3], [1, 2, 2]
    return DynUNet(dims, 1, 3, kernels, strides, strides[1:], filters=[4, 8, 8], **settings)


SWIN = {"feature_size": 12, "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "norm_name": "batch"}
NETWORKS = {
    "UNet": (lambda d: UNet(d, 1, 3, (4, 8, 8), (2, 2), norm="batch"), ("model.0", "model.1.submodule.1")),
    "BasicUNet": (lambda d: BasicUNet(d, 1, 3, features=SMALL), ("conv_0", "down_4")),
    "BasicUNetPlusPlus": (lambda d: BasicUNetPlusPlus(d, 1, 3, features=SMALL), ("conv_0_0", "conv_4_0")),
    "DynUNet": (dynunet, ("input_block", "bottleneck")),
    "SegResNet": (lambda d: SegResNet(d, 4, 1, 3, norm="batch"), ("convInit", "down_layers.3")),
    "SwinUNETR": (lambda d: SwinUNETR(1, 3, spatial_dims=d, **SWIN), ("encoder1", "encoder10")),
}
needs_einops = pytest.mark.skipif(find_spec("einops") is None, reason="einops is not installed")


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_einops if name == "SwinUNETR" else ()) for name in NETWORKS]
)
def test_protocol(device, dims, name):
    build, modules = NETWORKS[name]
    torch.manual_seed(0)
    network = HookedNetwork(build(dims), modules).to(device)
    check_protocol(network, torch.rand(2, 1, *[32] * dims, device=device), num_classes=3)


def test_whole_channels_of_the_named_module_are_dropped_for_the_last_only():
    network = HookedNetwork(BasicUNet(2, 1, 2, features=SMALL), ("down_1",)).train()
    without_batch_statistics(network)
    seen = []
    network.network.down_2.register_forward_hook(lambda _module, inputs, _output: seen.append(inputs[0]))
    network(torch.rand(3, 1, 32, 32), num_dropped=2)
    plain, dropped = seen[0][:3], seen[0][3:]
    zero = (dropped == 0).all(dim=(2, 3), keepdim=True)
    assert zero.any()
    assert torch.allclose(dropped, 2 * plain[-2:] * ~zero, atol=1e-5)


def test_no_hook_is_left_behind_also_after_an_error():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            raise RuntimeError(f"conv made {tuple(self.conv(x).shape)}")

    network = HookedNetwork(Failing(), ("conv",)).train()
    with pytest.raises(RuntimeError, match=r"\(3, 2, 8, 8\)"):
        network(torch.rand(2, 1, 8, 8), num_dropped=1)
    assert not network.network.conv._forward_hooks


def test_without_names_it_serves_until_something_is_to_be_dropped():
    network = HookedNetwork(BasicUNet(2, 1, 2, features=SMALL))
    assert network(torch.rand(2, 1, 32, 32)).shape == (2, 2, 32, 32)
    with pytest.raises(ValueError, match="dropout_modules"):
        network(torch.rand(2, 1, 32, 32), num_dropped=1)


def test_the_channels_of_images_are_those_of_the_first_module_or_given():
    network = nn.Sequential(nn.Conv2d(8, 2, 1), nn.Conv2d(1, 8, 1))  # the head defined first, as some networks do
    assert HookedNetwork(network).in_channels == 8
    assert HookedNetwork(network, in_channels=1).in_channels == 1


def test_an_unknown_module_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="dropout_modules: 'down4' is unknown: did you mean 'down_4'"):
        HookedNetwork(BasicUNet(2, 1, 2, features=SMALL), ("conv_0", "down4"))


DEEP = {
    "list": BasicUNetPlusPlus(2, 1, 3, features=SMALL, deep_supervision=True),
    "tuple": SegResNetVAE((32, 32), spatial_dims=2, init_filters=8, in_channels=1, out_channels=3),
    "stack": dynunet(2, deep_supervision=True, deep_supr_num=1),
}


@pytest.mark.parametrize("network", DEEP.values(), ids=DEEP)
def test_several_maps_are_refused(network):
    with pytest.raises(ValueError, match="deep supervision"):
        HookedNetwork(network).train()(torch.rand(2, 1, 32, 32))


def test_wrong_arguments_are_named():
    network = HookedNetwork(BasicUNet(2, 1, 2, features=SMALL), ("conv_0",), divisor=16)
    assert network.divisor == 16
    for n in (-1, 3):
        with pytest.raises(ValueError, match=rf"num_dropped is {n}.*2 images"):
            network(torch.rand(2, 1, 32, 32), num_dropped=n)
    with pytest.raises(ValueError, match=r"dropout_prob.*-0\.1"):
        HookedNetwork(network, dropout_prob=-0.1)


def test_a_module_with_several_outputs_cannot_be_dropped():
    class Pyramid(nn.Module):
        def forward(self, x):
            return [x, x]

    class First(nn.Module):
        def __init__(self):
            super().__init__()
            self.pyramid = Pyramid()

        def forward(self, x):
            return self.pyramid(x)[0]

    with pytest.raises(ValueError, match="one tensor; Pyramid returns a list"):
        HookedNetwork(First(), ("pyramid",))(torch.rand(1, 1, 8, 8), num_dropped=1)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("dims", [2, 3])
def test_scripts_and_traces_as_far_as_its_network_does(dims):
    network = HookedNetwork(BasicUNet(dims, 1, 2, features=SMALL), ("conv_0",)).eval()
    x = torch.rand(2, 1, *[32] * dims)
    scripted = torch.jit.script(network)
    assert torch.allclose(scripted(x), network(x), atol=1e-6)
    with pytest.raises(torch.jit.Error, match="no feature dropout"):
        scripted(x, num_dropped=1)
    assert torch.allclose(torch.jit.trace(network, x)(x[:1]), network(x[:1]), atol=1e-5)
