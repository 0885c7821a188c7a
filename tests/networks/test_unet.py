"""The compact U-Net against MONAI's BasicUNet, its protocol, and its export."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from monai_supmix.networks import CompactUNet
from monai_supmix.networks.unet import channels_to_space, space_to_channels
from tests.devices import DEVICES
from tests.networks.dropping import check_protocol

FEATURES = (4, 4, 6, 8, 8, 4)
devices = pytest.mark.parametrize("device", DEVICES)
kinds = pytest.mark.parametrize(
    ("spatial_dims", "patch_size"), [(2, 1), (3, 1), (2, 2)], ids=["2D", "3D", "2D patches"]
)


def build(spatial_dims=2, patch_size=1, **settings):
    torch.manual_seed(0)
    return CompactUNet(spatial_dims, 1, 3, features=FEATURES, patch_size=patch_size, **settings)


def images(spatial_dims, batch=2, device="cpu"):
    return torch.rand(batch, 1, *(64, 32, 32)[:spatial_dims], device=device)


@devices
@kinds
@pytest.mark.parametrize("upsample", ["deconv", "nontrainable"])
def test_protocol(device, spatial_dims, patch_size, upsample):
    network = build(spatial_dims, patch_size, upsample=upsample).to(device)
    check_protocol(network, images(spatial_dims, device=device), num_classes=3)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_is_monais_network_on_its_sizes(spatial_dims):
    network, x = build(spatial_dims).eval(), images(spatial_dims)
    reference = BasicUNet(spatial_dims, 1, 3, features=FEATURES, norm="batch", bias=False).eval()
    reference.load_state_dict(network.unet.state_dict())
    assert torch.equal(network(x), reference(x))


@pytest.mark.parametrize("norm", [None, ("instance", {"affine": True})])
def test_without_batch_statistics_the_plain_logits_do_not_feel_the_dropped_ones(norm):
    network, x = build(norm=norm, act="relu").train(), images(2, batch=3)
    assert torch.allclose(network(x, num_dropped=2)[:3], network(x), atol=1e-6)


def test_batch_norm_of_the_decoder_sees_both_that_of_the_encoder_only_the_plain():
    network, seen = build().train(), {}
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            module.register_forward_hook(
                lambda _module, inputs, _output, name=name: seen.update({name: len(inputs[0])})
            )
    network(images(2, batch=4), num_dropped=3)
    assert {count for name, count in seen.items() if "upcat" in name} == {7}
    assert {count for name, count in seen.items() if "upcat" not in name} == {4}


@pytest.mark.parametrize(("levels", "expected"), [((0, -1), {0, 4}), ((-4,), {1}), ((2, 2), {2})])
def test_whole_channels_of_the_chosen_levels_are_dropped(levels, expected):
    network, decoded = build(dropout_levels=levels, norm=None).train(), []
    network.decode = lambda features: decoded.append(features) or features[0]
    network(images(2), num_dropped=1)
    for level, feature in enumerate(decoded[0]):
        plain, dropped = feature[1], feature[2]
        if level not in expected:
            assert torch.equal(dropped, plain)
            continue
        for channel, original in zip(dropped, plain, strict=True):
            assert not channel.any() or torch.allclose(channel, 2 * original)


@kinds
def test_both_decodes_teach_the_encoder(spatial_dims, patch_size):
    network, x = build(spatial_dims, patch_size).train(), images(spatial_dims)
    network(x, num_dropped=1)[-1:].square().sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert network.unet.conv_0.conv_0.conv.weight.grad.any()


@pytest.mark.parametrize("shape", [(1, 2, 8, 12), (2, 3, 4, 8, 12)])
@pytest.mark.parametrize("patch_size", [1, 2, 4])
def test_patches_are_put_back_where_they_were(shape, patch_size):
    x = torch.rand(shape)
    folded = space_to_channels(x, patch_size)
    dims = len(shape) - 2
    assert folded.shape == (
        shape[0],
        shape[1] * patch_size**dims,
        *(side // patch_size for side in shape[2:]),
    )
    assert torch.equal(channels_to_space(folded, patch_size), x)
    corner = x[(slice(None), slice(None), *[slice(0, patch_size)] * dims)].flatten(2)
    assert torch.equal(folded[(..., *[0] * dims)].sort(dim=1).values, corner.flatten(1).sort(dim=1).values)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@kinds
def test_scripts_and_traces(spatial_dims, patch_size):
    network, x = build(spatial_dims, patch_size).eval(), images(spatial_dims)
    scripted, traced = torch.jit.script(network), torch.jit.trace(network, x)
    other = torch.rand(1, 1, *(32, 64, 64)[:spatial_dims])
    for y in (x, other):
        assert torch.allclose(scripted(y), network(y), atol=1e-6)
        assert torch.allclose(traced(y), network(y), atol=1e-6)
    assert torch.allclose(scripted(x, num_dropped=1), network(x, num_dropped=1), atol=1e-6)


@devices
def test_trains_in_bfloat16_and_channels_last(device):
    network = build().to(device).to(memory_format=torch.channels_last).train()
    x = images(2, device=device).contiguous(memory_format=torch.channels_last)
    with torch.autocast(device, dtype=torch.bfloat16):
        logits = network(x, num_dropped=2)
    assert logits.dtype == torch.bfloat16
    logits.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in network.parameters())


@pytest.mark.parametrize(("spatial_dims", "patch_size", "divisor"), [(2, 1, 16), (2, 2, 32), (3, 1, 16)])
def test_sides_that_do_not_fit_are_named(spatial_dims, patch_size, divisor):
    network = build(spatial_dims, patch_size)
    assert network.divisor == divisor
    wrong = torch.rand(1, 1, 64, *[divisor + 1] * (spatial_dims - 1))
    with pytest.raises(ValueError, match=rf"64, {divisor + 1}.*multiple of {divisor}"):
        network(wrong)


def test_wrong_arguments_are_named():
    network = build()
    with pytest.raises(ValueError, match=r"\[1, 3, 32, 32\].*1 channels"):
        network(torch.rand(1, 3, 32, 32))
    with pytest.raises(ValueError, match="2D images"):
        network(torch.rand(1, 1, 32, 32, 32))
    for n in (-1, 3):
        with pytest.raises(ValueError, match=rf"num_dropped is {n}.*2 images"):
            network(images(2), num_dropped=n)
    for settings, words in {
        "features": (1, 2, 3),
        "dropout_levels": (5,),
        "patch_size": 0,
        "dropout_prob": 2.0,
    }.items():
        with pytest.raises(ValueError, match=settings):
            CompactUNet(**{settings: words})
    with pytest.raises(ValueError, match="dropout_levels"):
        CompactUNet(dropout_levels=())
