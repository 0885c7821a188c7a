"""A term of one's own sees the step as it is, weighs as it says, and stands beside the others."""

import pytest
import torch
from ignite.engine import Events

from monai_supmix.engines.loss_terms import combine
from monai_supmix.errors import InputError
from monai_supmix.handlers.history import TrainingHistory
from tests.engines.toys import trainer


class Entropy:
    """Entropy of the network's own answer for the weak view."""

    def __init__(self, weight=0.5):
        self.weight, self.steps = weight, []

    def __call__(self, step):
        self.steps.append(step)
        if step.logits.weak is None:
            return {}
        p = step.logits.weak.softmax(dim=1)
        return {"entropy": (self.weight, -(p * p.clamp(min=1e-9).log()).sum(dim=1).mean())}


class OfLabeled:
    """A term that has no use for unlabelled images."""

    uses_unlabeled = False

    def __call__(self, step):
        return {"size": (0.1, step.logits.labeled.square().mean())}


def run(*args, **kwargs):
    engine = trainer(*args, **kwargs)
    outputs = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
    engine.run()
    return engine, outputs


def test_it_sees_the_whole_step():
    term = Entropy()
    engine, outputs = run("unimatch", max_iterations=1, extra_terms=[term], extra_features="unet.down_1")
    (step,) = term.steps
    assert step.iteration == 1
    assert [len(maps) for maps in (step.images.labeled, step.images.weak, *step.images.strong)] == [2, 2, 2, 2]
    for images, logits in zip(
        (step.images.labeled, step.images.weak, *step.images.strong),
        (step.logits.labeled, step.logits.weak, *step.logits.strong),
        strict=True,
    ):
        assert logits.shape == (len(images), 3, *images.shape[2:])
    assert all(len(maps) == 2 for maps in (step.features.labeled, step.features.weak, *step.features.strong))
    confidence, pseudo_label = step.logits.weak.softmax(dim=1).max(dim=1, keepdim=True)
    assert torch.equal(pseudo_label, step.pseudo_label)
    assert torch.allclose(confidence, step.confidence)
    for k, (view, logits) in enumerate(zip(step.views, step.logits.strong, strict=True), 1):
        expected = engine.consistency_loss(logits, view.label, view.confidence)
        assert outputs[0][f"loss_strong_{k}"].item() == pytest.approx(expected.item())


def test_the_loss_grows_by_its_share_and_the_history_has_it():
    engine = trainer("unimatch", extra_terms=[Entropy(0.25), OfLabeled()])
    history = TrainingHistory(interval=1)
    history.attach(engine)
    engine.run()
    assert history.rows
    for row in history.rows:
        own = {name: torch.tensor(row[name]) for name in row if name.startswith(("loss_sup", "loss_str", "loss_fea"))}
        expected = combine(own).item() + 0.25 * row["loss_entropy"] + 0.1 * row["loss_size"]
        assert row["loss"] == pytest.approx(expected, rel=1e-5)


def test_it_moves_the_network_and_a_weight_of_zero_does_not():
    plain, none, some = (
        run("supmix", max_iterations=3, extra_terms=terms)[1] for terms in ([], [Entropy(0.0)], [Entropy(5.0)])
    )
    assert [o["loss"].item() for o in plain] == [o["loss"].item() for o in none]
    assert some[2]["loss_supervised"].item() != plain[2]["loss_supervised"].item()


def test_during_the_burn_in_there_are_labelled_images_alone():
    term = Entropy()
    _, outputs = run("supmix", burn_in=0.5, extra_terms=[term])
    assert [step.images.weak is None for step in term.steps] == [True] * 3 + [False] * 3
    assert ["loss_entropy" in output for output in outputs] == [False] * 3 + [True] * 3
    assert term.steps[0].pseudo_label is None and term.steps[0].views == ()


def test_it_decides_whether_unlabelled_images_are_looked_at():
    engine, outputs = run("supervised", extra_terms=[Entropy()])
    assert engine.uses_unlabeled and "loss_entropy" in outputs[0]
    engine = trainer("supervised", extra_terms=[OfLabeled()])
    engine.streams.unlabeled.batches = None  # would fail when called
    engine.run()
    assert "loss_size" in engine.state.output
    for term, seen in ((Entropy(), True), (OfLabeled(), False)):
        steps = []
        engine = trainer("fixmatch", max_iterations=1, teacher_momentum=0.9, extra_terms=[term, Watcher(steps, term)])
        engine.run()
        assert (steps[0].logits.weak is not None) == seen


class Watcher:
    """Sees what another term sees."""

    def __init__(self, steps, term):
        self.steps, self.uses_unlabeled = steps, getattr(term, "uses_unlabeled", True)

    def __call__(self, step):
        self.steps.append(step)
        return {}


@pytest.mark.parametrize("names", [["entropy", "entropy"], ["generator"], ["strong_1"], ["total"], ["a/b"]])
def test_two_losses_of_one_name_are_refused_and_names_that_would_be_one_in_curves(names):
    engine = trainer("supmix", extra_terms=[lambda step, n=n: {n: (1.0, step.logits.labeled.mean())} for n in names])
    with pytest.raises(InputError, match=r"extra_terms: (two losses are|a loss is) called .*: (give|use) "):
        engine.run()


@pytest.mark.parametrize(
    "made",
    [
        0.5,
        {"entropy": torch.ones(())},
        {"entropy": (0.1, 0.5)},
        {"entropy": (0.1,)},
        {1: (0.1, torch.ones(()))},
        {"entropy": (torch.ones(2), torch.ones(()))},
    ],
)
def test_what_is_no_loss_with_its_weight_is_refused(made):
    engine = trainer("supmix", extra_terms=[lambda step: made])
    with pytest.raises(InputError, match=r"extra_terms: .*: (return|use letters)"):
        engine.run()


def test_an_unknown_module_is_refused():
    with pytest.raises(ValueError, match="extra_features is the name of a module of the network, not 'x'"):
        trainer("supmix", extra_features="x")
