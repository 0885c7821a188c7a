"""The terms of Eq. 12 against their written form, and who learns from which."""

import pytest
import torch
from monai.networks.nets import BasicUNet
from torch import nn

from monai_supmix.losses import SUFDLoss, discriminator_accuracy
from monai_supmix.networks import CompactUNet, EncoderDecoder, FeatureDiscriminator, frozen
from tests.devices import DEVICES

devices = pytest.mark.parametrize("device", DEVICES)


@devices
@pytest.mark.parametrize("spatial", [(6, 7), (2, 3, 4)], ids=["2D", "3D"])
def test_terms_of_equation_12(device, spatial):
    d_unlabeled = torch.randn(4, 1, *spatial, device=device)
    d_labeled = torch.randn(2, 1, *spatial, device=device)
    said_labeled, bce = torch.sigmoid, nn.BCELoss()
    one, zero = torch.ones_like, torch.zeros_like
    loss = SUFDLoss()
    assert torch.allclose(loss.generator_loss(d_unlabeled), bce(said_labeled(d_unlabeled), one(d_unlabeled)))
    expected = 0.5 * (bce(said_labeled(d_unlabeled), zero(d_unlabeled)) + bce(said_labeled(d_labeled), one(d_labeled)))
    assert torch.allclose(loss.discriminator_loss(d_unlabeled, d_labeled), expected)


@devices
def test_large_half_precision_logits_stay_finite_and_in_float32(device):
    sure = torch.full((2, 1, 4, 4), 3e4, dtype=torch.float16, device=device)
    with torch.autocast(device, dtype=torch.bfloat16):
        losses = SUFDLoss().generator_loss(-sure), SUFDLoss().discriminator_loss(sure, -sure)
    for loss in losses:
        assert loss.dtype == torch.float32
        assert loss.item() == pytest.approx(3e4, rel=1e-3)


@devices
def test_accuracy_counts_both_sides_alike_and_stays_a_tensor(device):
    right, wrong = (
        torch.full((6, 1, 2, 2), -1.0, device=device),
        torch.full((2, 1, 2, 2), -1.0, device=device),
    )
    accuracy = discriminator_accuracy(right, wrong)
    assert accuracy.device == right.device
    assert accuracy.item() == 0.5  # not 6/8
    assert discriminator_accuracy(right, -wrong).item() == 1
    assert discriminator_accuracy(-right, wrong).item() == 0
    assert discriminator_accuracy(0 * right, 0 * wrong).item() == 0.5  # an undecided one guesses


NETWORKS = {
    "EncoderDecoder": lambda: EncoderDecoder("Unet", "resnet18", in_channels=1),
    "CompactUNet": lambda: CompactUNet(in_channels=1, features=(4, 4, 4, 8, 8, 4)),
    "BasicUNet": lambda: BasicUNet(2, 1, 2, features=(4, 4, 4, 8, 8, 4)),
}


def gradients(module):
    return {name: parameter.grad for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_generator_term_teaches_encoder_and_decoder_but_not_the_discriminator(build):
    network, discriminator = build(), FeatureDiscriminator(2, widths=(4, 8))
    p_w = network(torch.rand(2, 1, 64, 64)).softmax(dim=1)
    with frozen(discriminator) as judge:
        loss = SUFDLoss().generator_loss(judge(p_w))
    loss.backward()  # outside of the block, as a trainer that sums its terms does
    assert all(gradient is None for gradient in gradients(discriminator).values())
    reached = {name for name, gradient in gradients(network).items() if gradient is not None and gradient.any()}
    untouched = {name for name, _ in network.named_parameters() if not name.endswith("bias")} - reached
    assert not untouched


@pytest.mark.parametrize("build", NETWORKS.values(), ids=NETWORKS)
def test_discriminator_terms_teach_the_discriminator_alone(build):
    network, discriminator = build(), FeatureDiscriminator(2, widths=(4, 8))
    p_w, p_l = network(torch.rand(4, 1, 64, 64)).softmax(dim=1).detach().split([2, 2])
    SUFDLoss().discriminator_loss(discriminator(p_w), discriminator(p_l)).backward()
    assert all(gradient is None for gradient in gradients(network).values())
    assert all(gradient.any() for gradient in gradients(discriminator).values())


def test_following_each_gradient_serves_its_owner():
    maps = torch.randn(4, 2, 16, 16).requires_grad_()
    discriminator = FeatureDiscriminator(2, widths=(4,))
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-2)

    def sides():
        return discriminator(maps.detach()).split([2, 2])

    before = SUFDLoss().discriminator_loss(*sides())
    for _ in range(50):
        optimizer.zero_grad()
        SUFDLoss().discriminator_loss(*sides()).backward()
        optimizer.step()
    assert SUFDLoss().discriminator_loss(*sides()) < before / 2
    assert discriminator_accuracy(*sides()) > 0.9

    with frozen(discriminator) as judge:
        fooled = SUFDLoss().generator_loss(judge(maps)[:2])
    (gradient,) = torch.autograd.grad(fooled, maps)
    with torch.no_grad():
        nearer = SUFDLoss().generator_loss(discriminator(maps - 10 * gradient)[:2])
    assert nearer < fooled
