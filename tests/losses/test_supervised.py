"""The supervised loss against torch's cross entropy and MONAI's Dice loss."""

import pytest
import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss, DiceLoss

from monai_supmix.losses import SupervisedLoss, masked_cross_entropy
from tests.devices import DEVICES

IGNORE = 255
devices = pytest.mark.parametrize("device", DEVICES)
shapes = pytest.mark.parametrize("spatial", [(8, 6), (4, 5, 6)], ids=["2D", "3D"])


def draw(spatial, device="cpu", classes=4, batch=3):
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(batch, classes, *spatial, generator=generator)
    label = torch.randint(classes, (batch, 1, *spatial), generator=generator)
    return logits.to(device).requires_grad_(), label.to(device)


@devices
@shapes
@pytest.mark.parametrize("weights", [None, (0.1, 1.0, 2.0, 0.0)])
@pytest.mark.parametrize("ignoring", [False, True])
def test_cross_entropy_is_torchs(device, spatial, weights, ignoring):
    logits, label = draw(spatial, device)
    if ignoring:
        label[..., :2] = IGNORE
    loss = SupervisedLoss(ignore_index=IGNORE if ignoring else None, class_weights=weights).to(device)
    weight = None if weights is None else torch.tensor(weights, device=device)
    expected = F.cross_entropy(logits, label[:, 0], weight=weight, ignore_index=IGNORE)
    result = loss(logits, label.to(torch.uint8))
    assert torch.allclose(result, expected)
    assert torch.allclose(*(torch.autograd.grad(value, logits)[0] for value in (result, expected)), atol=1e-7)


@devices
@shapes
def test_with_dice_it_is_monais_sum(device, spatial):
    logits, label = draw(spatial, device)
    reference = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True, lambda_dice=0.7)
    assert torch.allclose(SupervisedLoss(dice_weight=0.7)(logits, label), reference(logits, label))


@shapes
def test_ignored_pixels_are_as_if_cut_away(spatial):
    logits, label = draw(spatial)
    label[..., -2:] = IGNORE
    loss = SupervisedLoss(dice_weight=1.0, ignore_index=IGNORE)
    kept = SupervisedLoss(dice_weight=1.0)(logits[..., :-2], label[..., :-2])
    assert torch.allclose(loss(logits, label), kept, atol=1e-6)
    loss(logits, label).backward()
    assert not logits.grad[..., -2:].any()
    assert logits.grad[..., :-2].all()


def test_dice_leaves_the_background_out_and_takes_the_batch_as_one():
    label = torch.zeros(2, 1, 4, 4, dtype=torch.int64)
    label[0] = 1  # the class is absent from the second image, whose own Dice would be 0 or undefined
    logits = 40 * F.one_hot(label[:, 0], 2).movedim(-1, 1).float()
    loss = SupervisedLoss(dice_weight=1.0)(logits, label)
    assert loss.item() == pytest.approx(0, abs=1e-4)
    with_background = DiceLoss(to_onehot_y=True, softmax=True, batch=True)(-logits, label)
    only_foreground = SupervisedLoss(dice_weight=1.0)(-logits, label) - masked_cross_entropy(-logits, label)
    assert only_foreground.item() == pytest.approx(with_background.item(), abs=1e-3)


@devices
@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
@pytest.mark.parametrize("weights", [None, (1.0, 1.0, 1.0, 0.0)])
def test_nothing_left_is_finite_and_moves_nothing(device, dice_weight, weights):
    logits, label = draw((4, 4), device)
    loss = SupervisedLoss(dice_weight, ignore_index=IGNORE, class_weights=weights).to(device)
    result = loss(logits, torch.full_like(label, IGNORE))
    result.backward()
    assert torch.isfinite(result)
    assert not logits.grad.any()


def test_pixels_of_a_class_without_weight_alone_are_no_division_by_zero():
    logits, label = draw((4, 4))
    loss = SupervisedLoss(class_weights=(1.0, 0.0, 1.0, 1.0))(logits, torch.ones_like(label))
    assert loss.item() == 0


@devices
def test_half_precision_is_reduced_in_float32(device):
    logits, label = draw((32, 32), device)
    half = logits.detach().bfloat16()
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = SupervisedLoss(dice_weight=1.0)(half, label)
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, SupervisedLoss(dice_weight=1.0)(half.float(), label))


def test_class_weights_do_not_enter_checkpoints():
    assert not SupervisedLoss(class_weights=(1.0, 2.0)).state_dict()


def test_wrong_arguments_are_named():
    logits, label = draw((4, 4))
    with pytest.raises(ValueError, match=r"\(3, 4, 4, 4\).*\(3, 1, 4, 4\).*\(3, 1, 4, 3\)"):
        SupervisedLoss()(logits, label[..., :3])
    with pytest.raises(ValueError, match=r"dice_weight.*-1"):
        SupervisedLoss(dice_weight=-1)
    with pytest.raises(ValueError, match=r"class_weights.*-2"):
        SupervisedLoss(class_weights=(1, -2))
