"""MixUp: blended images equal MONAI's, its soft target is that of blended one-hot labels, draws are reproducible."""

import pytest
import torch
import torch.nn.functional as F
from monai.networks import one_hot
from monai.transforms.regularization.array import MixUp as MonaiMixUp

from monai_supmix.engines import StrongViews
from monai_supmix.engines.loss_terms import view_loss
from monai_supmix.losses import ConsistencyLoss
from monai_supmix.transforms import CutMix, MixUp
from tests.devices import DEVICES
from tests.engines.toys import trainer
from tests.transforms.test_region_mix import SPATIAL, C, batches


def blended(arguments, seed=0, **settings):
    return MixUp(**{"prob": 1.0, **settings}).set_random_state(seed=seed)(*arguments)


@SPATIAL
def test_images_and_soft_labels_are_monais(spatial):
    partner = torch.tensor([1, 2, 3, 0])
    _, _, image, label, _, confidence = batches(spatial)
    label = label.clamp(max=C - 1)
    mixed = blended((image[partner], label[partner], image, label, confidence[partner], confidence))
    reference = MonaiMixUp(batch_size=4)
    reference._params = (torch.full((4,), 1 - mixed.share), partner, [])
    expected_image, expected_label = reference(image, one_hot(label, C).float(), randomize=False)
    assert torch.allclose(mixed.image, expected_image, atol=1e-6)
    soft = mixed.share * one_hot(mixed.other_label, C) + (1 - mixed.share) * one_hot(mixed.label, C)
    assert torch.allclose(soft, expected_label, atol=1e-6)

    logits = torch.randn(expected_label.shape, requires_grad=True)
    ours = view_loss(ConsistencyLoss(threshold=0.0), logits, mixed)
    theirs = F.cross_entropy(logits, expected_label)  # of probabilities
    assert torch.isclose(ours, theirs, rtol=1e-5)
    (ours_gradient,), (gradient,) = torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits)
    assert torch.allclose(ours_gradient, gradient, atol=1e-7)


@SPATIAL
@pytest.mark.parametrize("device", DEVICES)
def test_a_seed_fixes_the_result_on_every_device(spatial, device):
    reference, result = (blended(batches(spatial, device=where), seed=3, prob=0.5) for where in ("cpu", device))
    for value, expected in zip(result[:6], reference[:6], strict=True):
        assert torch.allclose(value.cpu(), expected)
    assert result.share == reference.share != blended(batches(spatial, device=device), seed=4).share


@SPATIAL
def test_nothing_is_read_back_from_the_device(spatial):
    arguments = batches(spatial, device="meta")
    assert [value.shape for value in blended(arguments)[:6]] == [arguments[2].shape, *[arguments[3].shape] * 5]


def test_each_side_keeps_its_label_and_confidence_and_samples_left_out_are_untouched():
    xa, ya, xb, yb, ca, cb = arguments = batches((24, 17), size=20)
    before = [value.clone() for value in arguments]
    mixed = blended(arguments, prob=0.5)
    applied = mixed.mask.flatten(1).all(1)
    assert torch.equal(applied, mixed.mask.flatten(1).any(1)) and 0 < applied.sum() < 20
    assert torch.equal(mixed.label, yb) and torch.equal(mixed.confidence, cb)
    for value, source, target in ((mixed.other_label, ya, yb), (mixed.other_confidence, ca, cb)):
        assert torch.equal(value[applied], source[applied]) and torch.equal(value[~applied], target[~applied])
    assert torch.equal(mixed.image[~applied], xb[~applied])
    low, high = torch.minimum(xa, xb)[applied] - 1e-6, torch.maximum(xa, xb)[applied] + 1e-6
    assert ((low <= mixed.image[applied]) & (mixed.image[applied] <= high)).all()
    assert all(torch.equal(*pair) for pair in zip(arguments, before, strict=True))
    assert not {value.data_ptr() for value in mixed[:6]} & {value.data_ptr() for value in arguments}


def test_a_draw_can_be_replayed():
    mix, arguments = MixUp(prob=0.5), batches((24, 17))
    first, second = mix(*arguments), mix(*arguments)
    replayed = mix(*arguments, randomize=False)
    assert torch.equal(replayed.image, second.image) and replayed.share == second.share != first.share


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_the_share_has_the_moments_of_its_distribution(alpha):
    mix = MixUp(alpha=alpha).set_random_state(seed=0)
    arguments = batches((2, 2), size=1)
    shares = torch.tensor([mix(*arguments).share for _ in range(2000)])
    variance = 1 / (4 * (2 * alpha + 1))
    assert abs(shares.mean() - 0.5) < 4 * (variance / 2000) ** 0.5
    assert shares.var() == pytest.approx(variance, rel=0.1)


def test_a_strong_view_is_blended_with_another_image_of_the_same_view():
    _, _, image, label, _, confidence = batches((8, 8))
    views = StrongViews(2, mixing=MixUp(prob=1.0))
    first, second = views(image, label, image, label, confidence)
    assert first.share != second.share
    for view in (first, second):
        partner = [next(j for j in range(4) if torch.equal(view.other_label[i], label[j]) and j != i) for i in range(4)]
        assert sorted(partner) == [0, 1, 2, 3]
        assert torch.allclose(view.image, view.share * image[partner] + (1 - view.share) * image)
    alone = views(*(value[:1] for value in (image, label, image, label, confidence)))[0]
    assert torch.allclose(alone.image, image[:1]) and torch.equal(alone.other_label, label[:1])


@pytest.mark.parametrize("alpha", [0, -1, float("nan")])
def test_an_alpha_that_is_not_positive_is_an_error(alpha):
    with pytest.raises(ValueError, match="alpha must be positive"):
        MixUp(alpha=alpha)


def test_whole_numbers_are_not_blended():
    xa, ya, xb, yb, _, _ = batches((24, 17))
    with pytest.raises(ValueError, match=r"must be floating point, in \[0, 1\], got torch.uint8"):
        MixUp()(xa.byte(), ya, xb.byte(), yb)


def test_one_confidence_without_the_other_is_an_error():
    xa, ya, xb, yb, _, cb = batches((24, 17))
    with pytest.raises(ValueError, match="source_confidence is None"):
        MixUp()(xa, ya, xb, yb, target_confidence=cb)


@pytest.mark.parametrize("where", ["inward", "labeled_mixing"])
def test_where_regions_are_pasted_a_mixing_without_regions_is_refused(where):
    trainer("fixmatch", **{where: CutMix()})
    with pytest.raises(ValueError, match=f"{where} pastes a region: it is a RegionMix"):
        trainer("fixmatch", **{where: MixUp()})
