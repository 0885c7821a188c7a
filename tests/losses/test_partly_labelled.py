"""The loss of images in which not all classes were labelled, against a sum over what their label leaves open."""

import pytest
import torch
from monai.losses import DiceLoss

from monai_supmix.losses import SupervisedLoss, masked_cross_entropy
from monai_supmix.losses.partly_labelled import merge_missing
from tests.devices import DEVICES

IGNORE = 255
CLASSES = 4
WEIGHTS = (0.5, 1.0, 2.0, 3.0)
devices = pytest.mark.parametrize("device", DEVICES)
# The first image is labelled as a whole, the second lacks classes 2 and 3, the third class 1.
LABELLED = torch.tensor([[True] * 4, [False, True, False, False], [False, False, True, True]])


def draw(spatial=(8, 6), device="cpu"):
    """Logits, and labels in which missing classes look like background."""
    generator = torch.Generator().manual_seed(1)
    logits = 2 * torch.randn(3, CLASSES, *spatial, generator=generator)
    truth = torch.randint(CLASSES, (3, 1, *spatial), generator=generator)
    label = torch.stack([t.where(LABELLED[b][t], 0) for b, t in enumerate(truth)])
    return logits.to(device).requires_grad_(), label.to(device)


def marginal_cross_entropy(logits, label, labelled, weights=None, ignore=None):
    """One pixel at a time: minus the log of the probability of all that the label allows."""
    probability = logits.double().softmax(dim=1)
    total, divisor = 0.0, 0.0
    for b, *place in torch.cartesian_prod(*(torch.arange(side) for side in (len(label), *label.shape[2:]))).tolist():
        value = int(label[(b, 0, *place)])
        if value == ignore:
            continue
        allowed = [value] + [c for c in range(1, CLASSES) if value == 0 and not labelled[b, c]]
        weight = 1.0 if weights is None else weights[value]
        total = total - weight * torch.log(sum(probability[(b, c, *place)] for c in allowed))
        divisor += weight
    return total / divisor


def dice_without_missing(logits, label, labelled, ignore=None):
    """MONAI's Dice, one class at a time over the images in which it is labelled."""
    terms = []
    for c in range(1, CLASSES):
        own = labelled[:, c]
        kept = (label[own, 0] != ignore).flatten() if ignore is not None else slice(None)
        p = logits[own].softmax(dim=1)[:, c].flatten()[kept][None, None]
        y = (label[own, 0] == c).flatten()[kept][None, None]
        terms.append(DiceLoss()(p, y.float()))
    return torch.stack(terms).mean()


@pytest.mark.parametrize("spatial", [(6, 5), (3, 4, 3)], ids=["2D", "3D"])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("ignore", [None, IGNORE])
def test_it_is_the_marginal_cross_entropy_and_dice_over_the_images_that_label_a_class(spatial, weights, ignore):
    logits, label = draw(spatial)
    if ignore is not None:
        label[..., :2] = ignore
    loss = SupervisedLoss(dice_weight=0.7, ignore_index=ignore, class_weights=weights)
    result = loss(logits, label.to(torch.uint8), LABELLED)
    expected = marginal_cross_entropy(logits, label, LABELLED, weights, ignore)
    expected = expected + 0.7 * dice_without_missing(logits, label, LABELLED, ignore)
    assert result.item() == pytest.approx(expected.item(), abs=1e-5)
    gradients = [torch.autograd.grad(value, logits)[0] for value in (result, expected)]
    assert torch.allclose(*gradients, atol=1e-6)


@devices
@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("ignore", [None, IGNORE])
def test_where_all_classes_are_labelled_it_is_the_plain_loss(device, dice_weight, weights, ignore):
    logits, label = draw(device=device)
    if ignore is not None:
        label[..., :2] = ignore
    loss = SupervisedLoss(dice_weight, ignore_index=ignore, class_weights=weights).to(device)
    plain, told = loss(logits, label), loss(logits, label, torch.ones_like(LABELLED, device=device))
    assert told.item() == pytest.approx(plain.item(), abs=1e-6)
    assert torch.allclose(*(torch.autograd.grad(value, logits)[0] for value in (plain, told)), atol=1e-7)


@pytest.mark.parametrize("dice_weight", [0.0, 1.0])
def test_background_of_a_partly_labelled_image_moves_only_the_sum_of_what_it_may_be(dice_weight):
    logits, label = draw()
    SupervisedLoss(dice_weight)(logits, label, LABELLED).backward()
    relative = (logits.grad / logits.detach().softmax(dim=1))[1].movedim(0, -1)[label[1, 0] == 0]
    # Steps in proportion to the probabilities leave the shares of background, class 2 and class 3 alone.
    assert torch.allclose(relative[:, [0]].expand(-1, 3), relative[:, [0, 2, 3]], atol=1e-6)
    assert (relative[:, 0] < 0).all() and (relative[:, 1] > 0).all()


def test_an_image_without_any_labelled_class_there_moves_nothing():
    logits, label = draw()
    nothing = torch.zeros_like(LABELLED)
    result = SupervisedLoss(dice_weight=1.0)(logits, torch.zeros_like(label), nothing)
    result.backward()
    assert result.item() == pytest.approx(0, abs=1e-6)
    assert logits.grad.abs().max() < 1e-7


def test_pixels_of_a_missing_class_that_was_pasted_in_count_as_what_they_are():
    logits, label = draw()
    label[1, 0, 0] = 3  # not labelled in this image, but here it is for certain
    told = SupervisedLoss()(logits, label, LABELLED)
    assert torch.isfinite(told)
    assert told.item() == pytest.approx(marginal_cross_entropy(logits, label, LABELLED).item(), abs=1e-5)


@devices
def test_half_precision_is_reduced_in_float32(device):
    logits, label = draw(device=device)
    half = logits.detach().bfloat16()
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = SupervisedLoss(dice_weight=1.0)(half, label, LABELLED.to(device))
    assert loss.dtype == torch.float32
    assert torch.allclose(loss, SupervisedLoss(dice_weight=1.0)(half.float(), label, LABELLED.to(device)))


def test_pixels_that_are_not_background_keep_their_logits():
    logits, label = draw()
    merged = merge_missing(logits, label, LABELLED)
    assert torch.equal(merged.movedim(1, -1)[label[:, 0] > 0], logits.movedim(1, -1)[label[:, 0] > 0])
    assert torch.equal(merged[0], logits[0])
    assert masked_cross_entropy(merged, label).isfinite()


def test_labelled_classes_of_another_shape_are_refused():
    logits, label = draw()
    with pytest.raises(ValueError, match=r"labelled_classes .*\(3, 4\), not \(2, 4\)"):
        SupervisedLoss()(logits, label, LABELLED[:2])
