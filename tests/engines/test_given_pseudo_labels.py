"""Self-training: pseudo-labels that come with the unlabelled batch are the targets, and cost no forward."""

import pytest
import torch
from monai.losses import DiceLoss
from torch.nn import functional as F

from monai_supmix.engines import StrongViews
from monai_supmix.losses import ConsistencyLoss
from monai_supmix.transforms import CutMix
from tests.engines.test_teacher import Spy
from tests.engines.toys import CLASSES, trainer


def given(**kwargs):
    engine = trainer("fixmatch", max_iterations=1, given_pseudo_labels=True, **kwargs)
    engine.strong_views = StrongViews(num_views=1)
    return engine


def test_the_loss_of_the_unlabelled_images_is_that_of_their_given_labels():
    engine, seen = given(), []
    engine.consistency_loss = ConsistencyLoss(threshold=0.99, dice_weight=1.0)
    engine.network.register_forward_hook(lambda _, args, out: seen.append((args[0], out.detach())))
    batch = next(iter(engine.streams))["unlabeled"]
    engine.run()
    image, logits = seen[1]
    assert torch.equal(image, batch["image"])
    expected = F.cross_entropy(logits, batch["label"][:, 0].long())
    dice = DiceLoss(include_background=False, softmax=True, to_onehot_y=True, squared_pred=True, batch=True)
    expected += dice(logits, batch["label"])
    torch.testing.assert_close(engine.state.output["loss_strong_1"], expected, rtol=1e-3, atol=1e-4)
    assert engine.state.output["confidence_coverage"] == 1


@pytest.mark.parametrize("momentum", [None, 0.9])
def test_no_network_looks_at_the_weak_view(momentum):
    engine = given(teacher_momentum=momentum)
    engine.network, average = Spy(engine.network), engine.average
    if average is not None:
        engine.teacher, engine.average = Spy(engine.teacher), None
    engine.run()
    assert [count for count, *_ in engine.network.calls] == [2, 2]  # the labelled images, the strong views
    assert average is None or not engine.teacher.calls


def test_labels_of_unlabelled_images_count_only_where_they_are_given():
    """A stream that happens to bring the truth teaches nothing by itself."""
    outputs = []
    for wrong in (False, True):
        engine = trainer("fixmatch", max_iterations=1)
        if wrong:
            for item in engine.streams.unlabeled.dataset.items:
                item["label"] = torch.full_like(item["label"], CLASSES - 1)
        engine.run()
        outputs.append(engine.state.output["loss"])
    assert torch.equal(*outputs)


def test_labelled_images_are_mixed_beside_given_pseudo_labels():
    plain, mixed = given(), given(labeled_mixing=CutMix(prob=1.0, area=(0.3, 0.4)))
    plain.run()
    mixed.run()
    assert plain.state.output["loss_supervised"] != mixed.state.output["loss_supervised"]
