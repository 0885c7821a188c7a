"""Pasting into labelled images: only what is believed is pasted, the rest stays, and it happens when it should."""

import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_supmix.engines.views import mix_labeled, paste_inward
from monai_supmix.transforms import ClassMix, CutMix, SupMix
from tests.engines.toys import trainer

MIXINGS = [lambda: SupMix(3, prob=1.0), lambda: ClassMix(3), lambda: CutMix(prob=1.0)]


def batches(labeled, unlabeled):
    generator = torch.Generator().manual_seed(0)
    x_l, x_w = (torch.rand(n, 1, 24, 24, generator=generator) for n in (labeled, unlabeled))
    y_l, pseudo_label = (torch.randint(3, (n, 1, 24, 24), generator=generator) for n in (labeled, unlabeled))
    return x_l, y_l.to(torch.uint8), x_w, pseudo_label, torch.rand(unlabeled, 1, 24, 24, generator=generator)


@pytest.mark.parametrize("mixing", MIXINGS)
@pytest.mark.parametrize("sizes", [(2, 3), (3, 2), (1, 1)])
def test_only_believed_pixels_are_pasted_image_and_label_alike(mixing, sizes):
    x_l, y_l, x_w, pseudo_label, confidence = batches(*sizes)
    sure = confidence > 0.5
    mixed = paste_inward(mixing(), x_l, y_l, x_w, pseudo_label, confidence, sure, seed=1)
    partner = [i % sizes[1] for i in range(sizes[0])]
    assert mixed.mask.any() and not (mixed.mask & ~sure[partner]).any()
    assert torch.equal(mixed.image, torch.where(mixed.mask, x_w[partner], x_l))
    assert torch.equal(mixed.label, torch.where(mixed.mask, pseudo_label[partner].to(torch.uint8), y_l))
    again = paste_inward(mixing(), x_l, y_l, x_w, pseudo_label, confidence, sure, seed=1)
    assert torch.equal(mixed.mask, again.mask)


@pytest.mark.parametrize("mixing", MIXINGS)
def test_labelled_images_are_mixed_with_others_of_their_batch(mixing):
    x_l, y_l, *_ = batches(3, 1)
    image, label = mix_labeled(mixing(), x_l, y_l, seed=2)
    for i in range(3):
        own = image[i] == x_l[i]
        assert not own.all()
        (partner,) = (j for j in range(3) if j != i and (own | (image[i] == x_l[j])).all())
        assert torch.equal(label[i], torch.where(own, y_l[i], y_l[partner]))


class Seen(nn.Module):
    """Keeps the images of every forward."""

    def __init__(self, network):
        super().__init__()
        self.network, self.images = network, []

    def forward(self, x, **kwargs):
        self.images.append(x.clone())
        return self.network(x, **kwargs)


def run(method, **kwargs):
    """Train; return the images of all forwards, the labels of the supervised loss, and all outputs."""
    engine = trainer(method, **kwargs)
    engine.network = Seen(engine.network)
    labels, outputs, loss = [], [], engine.supervised_loss
    engine.supervised_loss = lambda logits, label: (labels.append(label.clone()), loss(logits, label))[1]
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
    engine.run()
    return engine.network.images, labels, outputs


def test_labelled_images_are_mixed_during_the_burn_in_alone():
    plain = run("supervised", max_iterations=4)
    mixed = run("supervised", max_iterations=4, labeled_mixing=CutMix(prob=1.0))
    half = run("fixmatch", max_iterations=4, burn_in=0.5, labeled_mixing=CutMix(prob=1.0))
    for k in range(4):
        assert not torch.equal(plain[0][k], mixed[0][k])
        assert not torch.equal(plain[1][k], mixed[1][k])
    assert all(torch.equal(half[0][k], mixed[0][k]) for k in (0, 1))
    assert all(torch.equal(half[0][k][:2], plain[0][k]) for k in (2,))
    assert torch.equal(half[1][2], plain[1][2])


@pytest.mark.parametrize("method", ["supmix", "supervised"])
def test_inward_pasting_is_trained_on_like_labelled_images(method):
    images, labels, outputs = run(method, max_iterations=1, inward=CutMix(prob=1.0))
    (output,) = outputs
    plain, weak = images[0].split(2)
    changed = (images[1][-2:] != plain).any(dim=1, keepdim=True)
    assert changed.any()
    assert torch.equal(images[1][-2:], torch.where(changed, weak, plain))
    assert torch.equal(labels[1] != labels[0], (labels[1] != labels[0]) & changed)
    supervised = (output["loss_supervised"] + output["loss_inward"]) / 2
    if method == "supervised":
        expected = supervised
    else:
        strong = (output["loss_strong_1"] + output["loss_strong_2"]) / 2
        expected = supervised / 2 + (strong + output["loss_feature_dropout"]) / 4
    assert output["loss"].item() == pytest.approx(expected.item())
