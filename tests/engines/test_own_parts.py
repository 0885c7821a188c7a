"""Parts of one's own that do what is usual elsewhere: random without a generator, with a state, with MONAI's forms."""

import random

import numpy as np
import pytest
import torch
from ignite.engine import Events
from monai.transforms import Compose, RandCoarseDropout, RandFlipd, RandScaleIntensity, Transform
from torch import nn

from monai_supmix.bundle import TrainingRun
from monai_supmix.bundle.attached import check_grid
from monai_supmix.data.paired import PairedLoader
from monai_supmix.data.streams import StreamLoader
from monai_supmix.engines import StrongViews
from monai_supmix.errors import InputError
from monai_supmix.handlers.preemption import Preempted
from monai_supmix.losses import ConsistencyLoss
from monai_supmix.transforms import BatchCompose, CutMix
from tests.engines.toys import CLASSES, items, loader, trainer

RECORD = {"class_names": ["background", "one", "two"], "intensity": {}, "working": {}}


def views_of(augmentation, images):
    label = torch.zeros(len(images), 1, *images.shape[2:], dtype=torch.long)
    confidence = torch.ones(label.shape)
    return StrongViews(2, augmentation)(images, label, images, label, confidence)


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: Compose([one]), lambda one: BatchCompose([one])])
def test_an_array_transform_sees_one_image_at_a_time(wrap):
    images = torch.rand(4, 3, 16, 16)
    before = images.clone()
    first, second = views_of(wrap(RandScaleIntensity(factors=0.5, prob=1.0)), images)
    factors = (first.image / images).flatten(1)
    assert torch.allclose(factors, factors[:, :1].expand_as(factors))
    assert len(set(factors[:, 0].tolist())) == 4  # one draw for each image
    assert not torch.equal(first.image, second.image)
    assert torch.equal(images, before)


@pytest.mark.parametrize("augmentation", [RandCoarseDropout(1, 8, fill_value=0.0, prob=1.0), lambda x: x.mul_(0.5)])
def test_what_writes_in_place_leaves_the_weak_view(augmentation):
    images = torch.full((2, 1, 16, 16), 0.5)
    for view in views_of(augmentation, images):
        assert view.image.min() < 0.5
    assert torch.equal(images, torch.full_like(images, 0.5))


def test_a_dictionary_transform_and_a_mixing_that_is_none_are_refused_at_once():
    with pytest.raises(ValueError, match="array transforms, got RandFlipd"):
        StrongViews(2, RandFlipd("image"))
    with pytest.raises(ValueError, match="mixing says where it takes images from"):
        StrongViews(2, mixing=lambda *given: given)


class Noise(Transform):
    """Draws from the generators of the process, as code from elsewhere does."""

    def __call__(self, item):
        noise = torch.rand(()) + np.random.rand() + random.random()
        return {**item, "image": (item["image"] + 0.1 * noise).clip(0, 1)} if isinstance(item, dict) else item + noise


def test_draws_without_a_generator_belong_to_the_sample_and_leave_the_process_alone():
    pictures = items(5, seed=0)
    whole, later = (StreamLoader(pictures, Noise(), 2, 0, "labeled") for _ in range(2))
    batches = whole.batches()
    torch.manual_seed(3)
    state = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    first, second = next(batches)["image"], next(batches)["image"]
    assert torch.equal(torch.get_rng_state(), state[0])
    assert np.array_equal(np.random.get_state()[1], state[1]) and random.getstate() == state[2]
    torch.manual_seed(4)
    assert torch.equal(next(later.batches(start_iteration=1))["image"], second)
    assert not torch.equal(first, second)


def test_strong_views_without_a_generator_are_those_of_the_iteration():
    def weights(disturb):
        engine = trainer("fixmatch", max_iterations=4)
        engine.strong_views.augmentation = BatchCompose([Noise()])
        if disturb:
            engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: (np.random.rand(), random.random()))
        engine.run()
        return engine.network.state_dict()

    expected, found = weights(disturb=False), weights(disturb=True)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_crop_that_makes_a_list_of_one_serves_and_one_of_several_is_told():
    pictures = items(3, seed=0)
    one = StreamLoader(pictures, lambda item: [item], 2, 0, "labeled")
    assert next(one.batches())["image"].shape == (2, 3, 32, 32)
    two = StreamLoader(pictures, lambda item: [item, item], 2, 0, "labeled")
    with pytest.raises(InputError, match=r"2 samples of one image.*num_samples=1"):
        next(two.batches())


class Adaptive(ConsistencyLoss):
    """Its threshold follows the confidence seen so far."""

    def __init__(self):
        super().__init__(threshold=0.5)
        self.register_buffer("mean", torch.tensor(0.5))

    def forward(self, logits, pseudo_label, confidence):
        self.mean.lerp_(confidence.mean(), 0.1)
        return self.mean.clone() * super().forward(logits, pseudo_label, confidence)


class Prototype(nn.Module):
    """A term that learns."""

    def __init__(self):
        super().__init__()
        self.centre = nn.Parameter(torch.zeros(CLASSES))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, step):
        self.seen += 1
        return {
            "prototype": (
                0.1,
                (step.logits.labeled.mean(dim=(0, 2, 3)) - self.centre).square().mean() * self.seen.clone(),
            )
        }


def run(folder, stop_at=None, resume=False):
    """Six iterations with a loss and a term that have a state, perhaps stopped on the way."""
    torch.manual_seed(0)
    term = Prototype()
    engine = trainer("unimatch", max_iterations=6, extra_terms=[term])
    engine.consistency_loss = Adaptive()
    engine.optimizer.add_param_group({"params": term.parameters()})
    training = TrainingRun(
        engine, folder, "mine", RECORD, 6, tensorboard=False, save_interval=2, configuration={"seed": 0}, resume=resume
    )
    if stop_at:

        @engine.on(Events.ITERATION_COMPLETED(once=stop_at))
        def stop():
            training.checkpoint.save(engine)
            raise Preempted

    training.run()
    return {**engine.network.state_dict(), "mean": engine.consistency_loss.mean, **term.state_dict()}


def test_what_losses_and_terms_remember_is_resumed(tmp_path):
    expected = run(tmp_path / "whole")
    with pytest.raises(Preempted):
        run(tmp_path / "stopped", stop_at=3)
    found = run(tmp_path / "stopped", resume="auto")
    assert expected["seen"] == 6 and expected["centre"].abs().max() > 0
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_a_consistency_loss_that_lacks_what_is_asked_of_it_is_refused_at_once():
    data, network = loader(), nn.Conv2d(3, CLASSES, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    for loss in (nn.CrossEntropyLoss(), lambda *given: 0):
        with pytest.raises(ValueError, match=r"consistency_loss is called as .*threshold"):
            type(trainer("fixmatch"))(
                "cpu", 1, data, network, optimizer, nn.CrossEntropyLoss(), StrongViews(1, mixing=CutMix()), loss
            )


def test_the_last_epoch_is_completed_where_the_iterations_are_whole_epochs():
    epochs = []
    engine = trainer("supervised", max_iterations=6)  # epochs of three
    engine.add_event_handler(Events.EPOCH_COMPLETED, lambda e: epochs.append(e.state.iteration))
    engine.run()
    assert (epochs, engine.state.iteration) == ([3, 6], 6)


def test_the_discriminator_may_look_into_the_encoder_beside_feature_dropout():
    engine = trainer("sufd", max_iterations=2, sufd_input="unet.conv_0")
    critic = nn.Conv2d(4, 1, 1)
    engine.discriminator, engine.discriminator_optimizer = critic, torch.optim.SGD(critic.parameters(), 0.1)
    engine.run()
    assert engine.state.output["loss_generator"] > 0


def test_a_module_that_is_never_called_is_named():
    with pytest.raises(InputError, match="extra_features: names 'unet', a part of the network that is never called"):
        trainer("supervised", extra_features="unet", extra_terms=[lambda step: {}]).run()


def test_modules_follow_the_network_to_its_device():
    moved = []

    class Loss(ConsistencyLoss):
        def _apply(self, fn, recurse=True):
            moved.append(fn)
            return super()._apply(fn, recurse)

    loss = Loss(threshold=0.5)
    data, network = PairedLoader(loader().labeled, loader().unlabeled), nn.Conv2d(3, CLASSES, 1)
    optimizer = torch.optim.SGD(network.parameters(), 0.1)
    type(trainer("fixmatch"))("cpu", 1, data, network, optimizer, nn.CrossEntropyLoss(), consistency_loss=loss)
    assert moved


class Bank(nn.Module):
    """Its state begins empty."""

    def __init__(self, first=None):
        super().__init__()
        if first is not None:
            self.register_buffer("lowest", first)

    def forward(self, step):
        if not hasattr(self, "lowest"):
            self.register_buffer("lowest", torch.zeros(3))
        self.lowest = self.lowest + 1
        return {}

    def load_state_dict(self, state):
        self.register_buffer("lowest", state["lowest"])


def bank_run(folder, term, **kwargs):
    engine = trainer("supervised", max_iterations=3, extra_terms=[term])
    return TrainingRun(engine, folder, "mine", RECORD, 3, tensorboard=False, configuration={"seed": 0}, **kwargs)


def test_a_state_that_begins_empty_is_kept_and_one_that_cannot_be_is_told_before_the_training(tmp_path):
    bank_run(tmp_path, Bank()).run()
    term = Bank()
    (tmp_path / "model.pt").unlink()
    bank_run(tmp_path, term, resume="auto").run()
    assert torch.equal(term.lowest, torch.full((3,), 3.0))
    with pytest.raises(InputError, match=r"extra_terms_0.*NaN or infinite"):
        bank_run(tmp_path, Bank(torch.full((3,), torch.inf)))

    class Foreign(Bank):
        def state_dict(self):
            return {"seen": np.zeros(3)}

    with pytest.raises(InputError, match="extra_terms_0: has a state that no checkpoint can keep"):
        bank_run(tmp_path, Foreign())


class Refuses:
    """A last step with an opinion of its own about what it is given."""

    def check(self, network):
        raise InputError("mine.csv", "is empty", "write it again")

    __call__ = check


def test_an_error_of_ones_own_is_told_in_its_own_words(tmp_path):
    with pytest.raises(InputError, match=r"^mine\.csv: is empty: write it again$"):
        bank_run(tmp_path / "checked", Bank(), recalibration=Refuses())
    with pytest.raises(InputError, match=r"^mine\.csv: is empty: write it again$"):
        bank_run(tmp_path / "called", Bank(), recalibration=Refuses().check).run()
    with pytest.raises(InputError, match=r"^extra_terms_0: .*NaN or infinite"):
        bank_run(tmp_path, Bank(torch.full((3,), torch.nan)))


class Loads:
    def __init__(self, working):
        self.working = working


@pytest.mark.parametrize(("trained", "kept"), [({"center": [9, 9]}, {"size": [8, 8]}), (None, {"scale": 2})])
def test_a_network_is_not_trained_on_another_grid_than_it_predicts_on(trained, kept, tmp_path):
    with pytest.raises(InputError, match=r"^working: is .*, on which the network is to predict, and it is trained on"):
        check_grid(Loads(trained), kept)
    for alike in ((trained, trained), ({}, None), ({"size": (8, 8)}, {"size": [8, 8]})):
        check_grid(Loads(alike[0]), alike[1])
    check_grid(Loads({"center": [9, 9]}), {"center": [8, 8]})
    check_grid(lambda item: item, kept)  # says nothing of a grid
