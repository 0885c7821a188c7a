"""The consistency loss against a loop over pixels, and where nothing is left to average."""

import math

import pytest
import torch

from monai_supmix.losses import ConsistencyLoss, masked_consistency
from tests.devices import DEVICES

IGNORE = 255
devices = pytest.mark.parametrize("device", DEVICES)
shapes = pytest.mark.parametrize("spatial", [(5, 6), (3, 4, 5)], ids=["2D", "3D"])


def draw(spatial, device="cpu", classes=3, batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(batch, classes, *spatial, generator=generator)
    label = torch.randint(classes, (batch, 1, *spatial), generator=generator)
    label[torch.rand(label.shape, generator=generator) < 0.2] = IGNORE
    confidence = torch.rand(batch, 1, *spatial, generator=generator)
    return logits.to(device).requires_grad_(), label.to(device), confidence.to(device)


def pixel_by_pixel(logits, label, confidence, threshold, ignore_index):
    """The definition, read aloud: one pixel at a time, in Python's own arithmetic."""
    total, counted = 0.0, 0
    columns = logits.movedim(1, -1).flatten(0, -2).tolist()
    for column, truth, sure in zip(columns, label.flatten().tolist(), confidence.flatten().tolist(), strict=True):
        if truth == ignore_index:
            continue
        counted += 1
        if sure >= threshold:
            total += math.log(sum(math.exp(value) for value in column)) - column[truth]
    return total / counted


@devices
@shapes
@pytest.mark.parametrize("threshold", [0.0, 0.6, 0.95])
def test_equals_the_definition(device, spatial, threshold):
    logits, label, confidence = draw(spatial, device)
    loss = ConsistencyLoss(threshold, ignore_index=IGNORE)(logits, label, confidence)
    expected = pixel_by_pixel(logits, label, confidence, threshold, IGNORE)
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@shapes
def test_without_an_ignore_index_the_divisor_is_every_pixel(spatial):
    logits, label, confidence = draw(spatial)
    label = label.clamp(max=2)
    loss = ConsistencyLoss(0.5)(logits, label, confidence)
    assert loss.item() == pytest.approx(pixel_by_pixel(logits, label, confidence, 0.5, None), rel=1e-5)


def dice_of_classes(logits, label, confidence, threshold, ignore_index):
    """1 - 2 sum(m p y) / (sum(m p^2) + sum(m y)), class by class, in float64."""
    m = ((confidence >= threshold) & (label != ignore_index)).double()[:, 0]
    p = logits.detach().double().softmax(dim=1)
    losses = []
    for c in range(1, logits.shape[1]):
        y = (label[:, 0] == c).double()
        losses.append(1 - 2 * (m * p[:, c] * y).sum() / ((m * p[:, c] ** 2).sum() + (m * y).sum()))
    return sum(losses).item() / len(losses)


@devices
@shapes
def test_dice_beside_it_equals_its_formula_and_has_a_gradient(device, spatial):
    logits, label, confidence = draw(spatial, device)
    plain = ConsistencyLoss(0.6, IGNORE)(logits, label, confidence)
    loss = ConsistencyLoss(0.6, IGNORE, dice_weight=0.7)(logits, label, confidence)
    expected = plain.item() + 0.7 * dice_of_classes(logits, label, confidence, 0.6, IGNORE)
    assert loss.item() == pytest.approx(expected, abs=1e-5)
    (gradient,) = torch.autograd.grad(loss, logits)
    counted = ((confidence >= 0.6) & (label != IGNORE)).expand(logits.shape)
    assert gradient[counted].abs().min() > 0 and (gradient[~counted] == 0).all()


@pytest.mark.parametrize("case", ["all ignored", "none confident", "background alone"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dice_is_finite_where_there_is_nothing_to_compare(case, dtype):
    logits, label, confidence = draw((5, 6))
    label = torch.full_like(label, IGNORE) if case == "all ignored" else label
    confidence = torch.zeros_like(confidence) if case == "none confident" else confidence
    label = torch.zeros_like(label) if case == "background alone" else label
    loss = ConsistencyLoss(0.5, IGNORE, dice_weight=1.0)(logits.to(dtype), label, confidence)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert loss.isfinite() and gradient.isfinite().all()
    assert (loss.item() == 0) == (case != "background alone")


@shapes
def test_each_class_may_have_its_threshold(spatial):
    logits, label, confidence = draw(spatial)
    each = [0.9, 0.3, 0.6]
    lifted = torch.zeros_like(confidence)
    for c, threshold in enumerate(each):
        lifted[(label == c) & (confidence >= threshold)] = 1.0
    for dice_weight in (0.0, 1.0):
        loss = ConsistencyLoss(each, IGNORE, dice_weight)(logits, label, confidence)
        assert loss.item() == ConsistencyLoss(1.0, IGNORE, dice_weight)(logits, label, lifted).item()
    assert torch.equal(ConsistencyLoss(each, IGNORE).believed(label, confidence), lifted == 1)


def test_the_threshold_itself_is_confident_and_the_defaults_are_the_papers():
    loss = ConsistencyLoss()
    assert (loss.threshold, loss.ignore_index) == (0.95, None)
    label, confidence = torch.zeros(1, 1, 2, 2, dtype=torch.uint8), torch.full((1, 1, 2, 2), 0.95)
    assert loss(torch.zeros(1, 2, 2, 2), label, confidence).item() == pytest.approx(math.log(2))
    assert loss(torch.zeros(1, 2, 2, 2), label, confidence - 1e-4).item() == 0


def test_only_confident_counted_pixels_get_a_gradient():
    logits, label, confidence = draw((8, 8))
    masked_consistency(logits, label, confidence, 0.5, IGNORE).backward()
    touched = logits.grad.abs().sum(dim=1, keepdim=True) > 0
    assert torch.equal(touched, (confidence >= 0.5) & (label != IGNORE))


@devices
@shapes
@pytest.mark.parametrize("case", ["all ignored", "none confident"])
def test_nothing_to_average_is_a_zero_one_can_go_back_through(device, spatial, case):
    logits, label, confidence = draw(spatial, device)
    if case == "all ignored":
        label, confidence = torch.full_like(label, IGNORE), torch.ones_like(confidence)
    else:
        label, confidence = label.clamp(max=2), torch.zeros_like(confidence)
    loss = ConsistencyLoss(0.95, ignore_index=IGNORE)(logits, label, confidence)
    assert loss.item() == 0
    loss.backward()
    assert torch.equal(logits.grad, torch.zeros_like(logits))


@devices
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("label_dtype", [torch.uint8, torch.int32, torch.int64])
def test_reduces_in_float32_also_under_autocast(device, dtype, label_dtype):
    logits, label, confidence = draw((64, 64), device)
    rounded = logits.detach().to(dtype)
    expected = masked_consistency(rounded.float(), label, confidence, 0.5, IGNORE)
    with torch.autocast(device, dtype=torch.bfloat16):
        loss = masked_consistency(rounded, label.to(label_dtype), confidence, 0.5, IGNORE)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_channels_last_changes_nothing():
    logits, label, confidence = draw((16, 16))
    other = logits.detach().contiguous(memory_format=torch.channels_last)
    assert torch.allclose(
        masked_consistency(other, label, confidence, 0.5, IGNORE),
        masked_consistency(logits, label, confidence, 0.5, IGNORE),
    )


def test_shapes_that_do_not_belong_together_are_named():
    logits, label, confidence = draw((4, 4))
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\).*\(2, 1, 4, 4\).*\(2, 4, 4\)"):
        masked_consistency(logits, label[:, 0], confidence)
    with pytest.raises(ValueError, match=r"confidence.*\(2, 1, 4, 3\).*\(2, 1, 4, 4\)"):
        masked_consistency(logits, label, confidence[..., :3])
    with pytest.raises(ValueError, match=r"threshold.*1\.5"):
        ConsistencyLoss(1.5)
