"""Partly labelled images in the trainer: the loss is told, and nothing of them is pasted into other labelled images."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from monai_supmix.data import PairedLoader, StreamLoader
from monai_supmix.engines import CaseEvaluator
from monai_supmix.engines.views import mix_labeled
from monai_supmix.inferers import SliceVolumeInferer
from monai_supmix.metrics import DatasetOverlap
from monai_supmix.transforms import ClassMix, CutMix, PercentileScale, SupMix
from tests.engines.toys import CLASSES, Flip, items, trainer

WHOLE, PARTLY = torch.ones(CLASSES, dtype=torch.bool), torch.tensor([False, True, False])


class Told(Flip):
    """Flips image and label, and passes the rest on."""

    def __call__(self, item):
        return {k: v if k == "labelled_classes" else v.flip(-1) for k, v in item.items()}


def data(*labelled):
    pictures = [
        {**item, "labelled_classes": known} for item, known in zip(items(len(labelled), 7), labelled, strict=True)
    ]
    streams = [(pictures, "labeled"), (items(5, 9), "unlabeled")]
    return PairedLoader(*(StreamLoader(images, Told(), 2, 0, name) for images, name in streams))


@pytest.mark.parametrize("method", ["supervised", "supmix"])
@pytest.mark.parametrize("inward", [None, SupMix(CLASSES, prob=1.0)])
def test_the_loss_is_told_of_batches_with_a_partly_labelled_image_and_of_no_others(method, inward):
    for labelled in ([WHOLE, WHOLE], [WHOLE, PARTLY]):
        engine = trainer(method, data=data(*labelled), inward=inward, max_epochs=1)
        told, loss = [], engine.supervised_loss
        engine.supervised_loss = lambda *given: (told.append(given[2:]), loss(*given))[1]  # noqa: B023
        engine.run()
        partly = not all(known.all() for known in labelled)
        assert len(told) == engine.state.iteration * (2 if inward else 1)
        assert all(len(given) == partly for given in told)
        assert all(sorted(given[0].sum(1).tolist()) == [1, CLASSES] for given in told if given)


def test_training_on_it_differs_from_training_on_its_background_as_such():
    states = []
    for known in (PARTLY, WHOLE):
        engine = trainer("supervised", data=data(WHOLE, known), max_epochs=1)
        engine.run()
        states.append(next(engine.network.parameters()).detach().clone())
    assert not torch.allclose(*states)


@pytest.mark.parametrize("mixing", [lambda: SupMix(3, prob=1.0), lambda: ClassMix(3), lambda: CutMix(prob=1.0)])
def test_nothing_of_a_partly_labelled_image_is_pasted_but_it_is_pasted_into(mixing):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(4, 1, 24, 24, generator=generator), torch.randint(3, (4, 1, 24, 24), generator=generator)
    labelled = torch.ones(4, 3, dtype=torch.bool)
    labelled[1, 2] = labelled[1, 0] = False
    pasted_into = False
    for seed in range(12):
        image, label = mix_labeled(mixing(), x, y, seed, labelled)
        for i in (0, 2, 3):
            assert not ((image[i] != x[i]) & (image[i] == x[1])).any()
        changed = image[1] != x[1]
        pasted_into |= bool(changed.any())
        assert torch.equal(label[1][~changed], y[1][~changed])
    assert pasted_into


def test_extra_terms_are_told_too():
    seen = []
    for known in (WHOLE, PARTLY):
        engine = trainer(
            "supervised", data=data(WHOLE, known), max_iterations=1, extra_terms=[lambda step: seen.append(step) or {}]
        )
        engine.run()
    assert seen[0].labelled_classes is None
    assert seen[1].labelled_classes.all(dim=1).tolist().count(True) == 1


def test_an_evaluation_leaves_out_what_the_truth_does_not_know(tmp_path):
    mask = np.zeros((8, 8), np.uint8)
    mask[:, :2], mask[:, 6:] = 1, 3
    Image.fromarray(mask * 60).save(tmp_path / "image.png")
    Image.fromarray(mask).save(tmp_path / "mask.png")
    paths = {"image": str(tmp_path / "image.png"), "label": str(tmp_path / "mask.png"), "case": "a"}
    network = nn.Conv2d(1, CLASSES, 1)
    nn.init.zeros_(network.weight)
    network.bias.data = torch.tensor([0.0, 0.0, 1.0])  # class 2 everywhere
    metric = DatasetOverlap(["background", "disc", "cup"])
    evaluator = CaseEvaluator(
        "cpu",
        [{**paths, "labelled_classes": [1], "ignored": 3}],
        network,
        SliceVolumeInferer(),
        lambda image: PercentileScale(),
        CLASSES,
        key_val_metric={"mean_iou": metric},
    )
    evaluator.run()
    assert metric.counts.tolist() == [[0, 0, 0], [0, 0, 16], [0, 0, 0]]
