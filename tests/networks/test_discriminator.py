"""The discriminator's geometry, and freezing."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_supmix.networks import FeatureDiscriminator, frozen
from tests.devices import DEVICES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("spatial", [(32, 48), (33, 71), (32, 32, 34)])
def test_one_logit_per_patch(device, spatial):
    discriminator = FeatureDiscriminator(3, widths=(4, 4, 8, 8), spatial_dims=len(spatial)).to(device)
    assert discriminator.min_size == 32
    logits = discriminator(torch.rand(2, 3, *spatial, device=device))
    assert logits.shape == (2, 1, *(side // 32 for side in spatial))


def test_default_layers_are_the_methods():
    layers = list(FeatureDiscriminator(2).layers)
    convolutions, activations = layers[::2], layers[1::2]
    assert [conv.out_channels for conv in convolutions] == [64, 128, 256, 512, 1]
    assert all((conv.kernel_size, conv.stride) == ((4, 4), (2, 2)) for conv in convolutions)
    assert all(isinstance(act, nn.LeakyReLU) and act.negative_slope == 0.2 for act in activations)
    assert len(activations) == 4


def test_samples_do_not_influence_each_other():
    discriminator, maps = FeatureDiscriminator(2, widths=(4, 8)), torch.rand(3, 2, 16, 16)
    assert torch.allclose(discriminator(maps)[1:2], discriminator(maps[1:2]), atol=1e-6)


def test_a_patch_is_judged_by_its_surroundings_only():
    discriminator = FeatureDiscriminator(2, widths=(4,))
    maps = torch.rand(1, 2, 64, 64).requires_grad_()
    discriminator(maps)[0, 0, 8, 8].backward()
    seen = maps.grad.abs().sum(dim=(0, 1)) > 0
    assert seen.any(dim=1).sum() == 10  # receptive field of two 4x4 convolutions of stride 2
    assert not seen[:16].any()


def test_wrong_maps_are_named():
    discriminator = FeatureDiscriminator(2, widths=(4, 4))
    assert discriminator(torch.rand(1, 2, 8, 8)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match=r"\[1, 2, 8, 7\].*at least 8"):
        discriminator(torch.rand(1, 2, 8, 7))
    with pytest.raises(ValueError, match=r"\[1, 3, 8, 8\].*2 channels"):
        discriminator(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match="widths"):
        FeatureDiscriminator(2, widths=())
    with pytest.raises(ValueError, match="spatial_dims is 2 or 3, not 1"):
        FeatureDiscriminator(2, spatial_dims=1)


def test_frozen_restores_every_parameter_also_after_an_error():
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    module[0].weight.requires_grad_(False)
    before = [parameter.requires_grad for parameter in module.parameters()]
    with pytest.raises(RuntimeError, match="inside"), frozen(module):
        assert not any(parameter.requires_grad for parameter in module.parameters())
        raise RuntimeError("inside")
    assert [parameter.requires_grad for parameter in module.parameters()] == before


def test_frozen_hands_out_the_module_inside_its_distributed_wrapper(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        module = nn.Linear(2, 1)
        wrapped, x = DistributedDataParallel(module), torch.rand(3, 2).requires_grad_()
        for _ in range(2):  # the wrapper would complain about unfinished gradients the second time
            with frozen(wrapped) as bare:
                assert bare is module
                bare(x).sum().backward()
            assert module.weight.grad is None
            wrapped(x.detach()).sum().backward()
            module.zero_grad()
    finally:
        dist.destroy_process_group()
