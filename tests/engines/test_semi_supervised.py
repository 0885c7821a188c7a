"""Every method trains by composition, replays exactly, and does no more work than its loss needs."""

import copy
import pickle

import pytest
import torch
from ignite.engine import Events
from ignite.handlers import Checkpoint
from monai.data import MetaTensor, list_data_collate
from monai.handlers import (
    CheckpointLoader,
    CheckpointSaver,
    LrScheduleHandler,
    StatsHandler,
    TensorBoardStatsHandler,
)
from torch import nn

from monai_supmix.data.paired import PairedLoader
from monai_supmix.data.streams import StreamLoader
from monai_supmix.engines import StrongViews
from monai_supmix.engines.loss_terms import combine
from monai_supmix.errors import InputError
from monai_supmix.losses import ConsistencyLoss
from monai_supmix.networks import HookedNetwork
from tests.devices import DEVICES
from tests.engines.toys import METHODS, items, loader, trainer


def run(*args, **kwargs):
    """Train and return the trainer with the outputs of all iterations."""
    engine = trainer(*args, **kwargs)
    outputs = []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
    engine.run()
    return engine, outputs


def losses(outputs):
    return [output["loss"].item() for output in outputs]


def test_what_lies_outside_the_images_is_of_no_class_and_not_confident():
    class Outside:
        """Half of each image is padding."""

        def __call__(self, item):
            ignore = torch.zeros(1, 32, 32, dtype=torch.bool)
            ignore[:, :16] = True
            return {**item, "ignore": ignore}

    streams = [StreamLoader(items(2, seed=1), Outside(), 2, 0, name) for name in ("labeled", "unlabeled")]
    engine = trainer("unimatch", data=PairedLoader(*streams), max_epochs=1)
    engine.consistency_loss, seen = ConsistencyLoss(threshold=0.0, ignore_index=255), []
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda: seen.append(engine.state.output))
    engine.run()
    assert seen and all(output["confidence_coverage"] == 1 for output in seen)
    assert all(output["pseudo_label_share"].sum().item() == pytest.approx(1) for output in seen)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_trains_and_reports_its_terms(method, device):
    mixing, num_views, feature_dropout, discriminator = METHODS[method]
    engine, outputs = run(method, device=device)
    expected = {"loss", "loss_supervised"}
    expected |= {f"loss_strong_{k + 1}" for k in range(num_views)}
    expected |= {"loss_feature_dropout"} if feature_dropout else set()
    expected |= {"confidence_coverage", "pseudo_label_share"} if mixing else set()
    if discriminator:
        expected |= {"loss_generator", "loss_discriminator", "discriminator_accuracy"}
    assert set(outputs[0]) == expected
    assert engine.state.epoch_length == 3
    assert len(outputs) == 6
    assert all(torch.isfinite(value).all() for output in outputs for value in output.values())
    if mixing:
        assert outputs[0]["pseudo_label_share"].sum().item() == pytest.approx(1)


def test_a_3d_network_trains_with_the_same_trainer():
    _, outputs = run("supmix_sufd", spatial=(32, 32, 32), max_epochs=1)
    assert len(outputs) == 3


def test_same_seed_same_losses_other_seed_others():
    first, second, other = (losses(run(seed=seed)[1]) for seed in (0, 0, 1))
    assert first == second
    assert first != other


def test_a_few_epochs_lower_the_supervised_loss():
    outputs = run("supmix_sufd", max_epochs=20)[1]
    early, late = (sum(o["loss_supervised"].item() for o in part) for part in (outputs[:10], outputs[-10:]))
    assert late < 0.7 * early


class Spy(nn.Module):
    """Counts how many images pass through a network."""

    def __init__(self, network):
        super().__init__()
        self.network, self.calls = network, []

    def forward(self, x, num_dropped=0):
        self.calls.append((len(x), num_dropped))
        return self.network(x, num_dropped=num_dropped)


@pytest.mark.parametrize(
    ("method", "calls"),
    [
        ("supervised", [(2, 0)]),
        ("fixmatch", [(4, 0), (2, 0)]),
        ("unimatch", [(4, 2), (4, 0)]),
        ("supmix_sufd", [(4, 2), (4, 0)]),
    ],
)
def test_no_forward_is_run_whose_result_nothing_uses(method, calls):
    engine = trainer(method, max_iterations=1)
    engine.network = Spy(engine.network)
    engine.run()
    assert engine.network.calls == calls


def test_supervised_training_does_not_even_load_unlabelled_images():
    engine = trainer("supervised", data=loader())
    engine.streams.unlabeled.batches = None  # would fail when called
    engine.run()
    assert engine.state.iteration == 6


def test_the_discriminator_learns_only_from_its_own_terms():
    """The generator term moves the whole network and leaves the discriminator's gradients to its own step."""
    engine = trainer("sufd", max_iterations=1, sufd_weight=1.0)
    reference = copy.deepcopy(engine.discriminator)
    seen = {}
    step = engine.optimizer.step

    def record_and_step(*args, **kwargs):
        seen["discriminator"] = [p.grad for p in engine.discriminator.parameters()]
        seen["network"] = [p.grad.abs().sum().item() for p in engine.network.parameters()]
        return step(*args, **kwargs)

    engine.optimizer.step = record_and_step
    engine.run()
    assert all(grad is None for grad in seen["discriminator"])
    assert all(grad > 0 for grad in seen["network"][:2])
    changed = [
        not torch.equal(a, b) for a, b in zip(engine.discriminator.parameters(), reference.parameters(), strict=True)
    ]
    assert all(changed)


def test_adversarial_weight_ramps_up():
    engine, weights = trainer("sufd", max_iterations=6, sufd_weight=2.0, sufd_ramp_up=4), []

    def weigh(engine):
        terms = {name: value for name, value in engine.state.output.items() if name.startswith("loss_")}
        weights.append((engine.state.output["loss"] - combine(terms)) / terms["loss_generator"])

    engine.add_event_handler(Events.ITERATION_COMPLETED, weigh)
    engine.run()
    assert torch.allclose(torch.stack(weights), torch.tensor([0.5, 1.0, 1.5, 2.0, 2.0, 2.0]), rtol=1e-4)


@pytest.mark.parametrize("sufd_input", ["softmax", "logits"])
def test_what_the_discriminator_sees(sufd_input):
    seen = []
    engine = trainer("sufd", max_iterations=1, sufd_input=sufd_input)
    engine.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    engine.run()
    is_distribution = torch.allclose(seen[0].sum(dim=1), torch.ones(()), atol=1e-5)
    assert is_distribution == (sufd_input == "softmax")
    assert [len(maps) for maps in seen] == [2, 4]


def test_an_unknown_feature_map_is_refused():
    with pytest.raises(ValueError, match="not 'decoderr'"):
        trainer("sufd", sufd_input="decoderr")


def test_a_discriminator_needs_its_optimizer():
    with pytest.raises(ValueError, match="together"):
        trainer("sufd", with_optimizer=False)


def test_a_teacher_gives_the_pseudo_labels():
    class Certain(nn.Module):
        def forward(self, x):
            return torch.tensor([0.0, 0.0, 50.0])[None, :, None, None].expand(len(x), 3, *x.shape[2:])

    _, outputs = run("unimatch", max_iterations=1, teacher=Certain())
    assert outputs[0]["pseudo_label_share"].tolist() == [0, 0, 1]
    assert outputs[0]["confidence_coverage"] == 1


@pytest.mark.parametrize("max_epochs", [1, 100])
def test_max_iterations_overrides_epochs(max_epochs):
    engine, outputs = run(max_epochs=max_epochs, max_iterations=4)
    assert len(outputs) == 4
    assert engine.state.iteration == 4


def test_the_burn_in_is_supervised_training():
    supervised, semi = run("supervised")[1], run("supmix_sufd", burn_in=0.5)[1]
    assert losses(semi)[:3] == losses(supervised)[:3]
    assert set(semi[2]) == {"loss", "loss_supervised"}
    assert set(semi[3]) == set(run("supmix_sufd", max_iterations=1)[1][0])


def test_the_burn_in_ends_at_its_share_of_the_iterations():
    counts = [sum("loss_strong_1" in output for output in run("supmix", **length)[1]) for length in (
        {"max_epochs": 2, "burn_in": 0.7}, {"max_iterations": 10, "burn_in": 0.7}, {"max_iterations": 10},
    )]  # fmt: skip
    assert counts == [2, 3, 10]


@pytest.mark.parametrize("burn_in", [-0.1, 1, 700])
def test_a_burn_in_that_leaves_nothing_is_refused(burn_in):
    with pytest.raises(ValueError, match="burn_in is a share"):
        trainer(burn_in=burn_in)


@pytest.mark.parametrize("burn_in", [0.0, 0.34])
@pytest.mark.parametrize("stop", [1, 3, 4])
def test_resume_from_a_state_is_bit_identical(stop, burn_in):
    whole, expected = run(burn_in=burn_in)
    first = trainer(burn_in=burn_in)
    first.add_event_handler(Events.ITERATION_COMPLETED(once=stop), first.terminate)
    first.run()
    second = trainer(burn_in=burn_in)
    parts = ("network", "optimizer", "discriminator", "discriminator_optimizer")
    for part in parts:
        getattr(second, part).load_state_dict(getattr(first, part).state_dict())
    second.load_state_dict(
        {"iteration": stop, "epoch_length": second.state.epoch_length, "max_epochs": second.state.max_epochs}
    )
    outputs = []
    second.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
    second.run()
    assert losses(outputs) == losses(expected)[stop:]
    for part in ("network", "discriminator"):
        for a, b in zip(
            getattr(whole, part).state_dict().values(),
            getattr(second, part).state_dict().values(),
            strict=True,
        ):
            assert torch.equal(a, b)


@pytest.mark.parametrize("when", ["before", "in a handler"])
def test_a_checkpoint_of_monais_handlers_goes_on_with_the_next_batch(tmp_path, when):
    def parts(engine):
        return {
            "trainer": engine,
            "network": engine.network,
            "optimizer": engine.optimizer,
            "teacher": engine.average.network,
        }

    def made():
        return trainer("supmix", max_epochs=3, teacher_momentum=0.9, save="teacher")

    whole, first, second = made(), made(), made()
    whole.run()
    first.add_event_handler(Events.ITERATION_COMPLETED(once=4), first.terminate)
    first.run()
    torch.save({name: part.state_dict() for name, part in parts(first).items()}, tmp_path / "four.pt")
    if when == "before":
        Checkpoint.load_objects(parts(second), torch.load(tmp_path / "four.pt"))
    else:
        CheckpointLoader(str(tmp_path / "four.pt"), parts(second)).attach(second)
    second.run()
    for name in ("network", "teacher"):
        for a, b in zip(parts(whole)[name].parameters(), parts(second)[name].parameters(), strict=True):
            assert torch.equal(a, b), name


def test_a_teacher_of_ones_own_is_not_replaced_by_the_student(tmp_path):
    def made(**kwargs):
        return trainer("supmix", teacher_momentum=0.9, max_iterations=1, burn_in=0.0, **kwargs)

    pair = made()
    states = {"network": pair.network.state_dict(), "teacher": made(seed=7).network.state_dict()}
    torch.save(states, tmp_path / "pair.pt")
    seen = []

    def run_with(names):
        engine = made(seed=3)
        parts = {"network": engine.network, "teacher": engine.average.network}
        CheckpointLoader(str(tmp_path / "pair.pt"), {name: parts[name] for name in names}).attach(engine)
        engine.add_event_handler(
            Events.EPOCH_STARTED, lambda e: seen.append(copy.deepcopy(e.average.network.state_dict()))
        )
        engine.run()

    run_with(["network", "teacher"])
    run_with(["network"])
    for found, name in zip(seen, ("teacher", "network"), strict=True):
        assert all(torch.equal(found[key], states[name][key]) for key in found), name


def test_a_teacher_that_a_checkpoint_lacks_begins_as_the_network(tmp_path):
    first, second = (trainer("supmix", max_epochs=3, teacher_momentum=0.9) for _ in range(2))
    first.add_event_handler(Events.ITERATION_COMPLETED(once=4), first.terminate)
    first.run()
    torch.save({"trainer": first.state_dict(), "network": first.network.state_dict()}, tmp_path / "four.pt")
    CheckpointLoader(str(tmp_path / "four.pt"), {"trainer": second, "network": second.network}).attach(second)
    seen = []
    second.add_event_handler(Events.EPOCH_STARTED, lambda e: seen.append(copy.deepcopy(e.average.network)))
    second.run()
    assert all(map(torch.equal, seen[0].state_dict().values(), first.network.state_dict().values()))
    assert not seen[1].state_dict().keys() ^ seen[0].state_dict().keys() and not second.average.is_fresh
    assert not all(map(torch.equal, seen[-1].parameters(), seen[0].parameters())), "later epochs go on with it"


def test_a_teacher_can_be_pickled():
    average = trainer("supmix", teacher_momentum=0.9).average.network
    again = pickle.loads(pickle.dumps(average))
    assert all(map(torch.equal, average.parameters(), again.parameters()))


@pytest.mark.parametrize("dtype", [torch.bool, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64])
def test_labels_are_integers_of_any_kind(dtype):
    def streams(kind):
        made = loader()
        for item in made.labeled.dataset.items:
            item["label"] = item["label"].clamp(max=1).to(kind)
        return made

    outputs = []
    for kind in (torch.uint8, dtype):
        engine = trainer("supmix", data=streams(kind), max_iterations=2)
        engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: outputs.append(e.state.output))
        engine.run()
    assert losses(outputs[:2]) == losses(outputs[2:])


def test_labels_that_are_no_integers_are_refused_at_once():
    streams = loader()
    for item in streams.labeled.dataset.items:
        item["label"] = item["label"].float()
    with pytest.raises(InputError, match=r"label: is of torch\.float32, and classes are integers: cast it"):
        trainer("supmix", data=streams, burn_in=0.5).run()


def test_a_loader_of_another_kind_is_refused():
    with pytest.raises(ValueError, match="train_data_loader is a PairedLoader of both streams"):
        trainer("supmix", data=[{"labeled": {}, "unlabeled": {}}])


def test_metadata_of_monais_images_is_of_no_account():
    streams = loader(collate_fn=list_data_collate)
    for stream in (streams.labeled, streams.unlabeled):
        for number, item in enumerate(stream.dataset.items):
            item["image"] = MetaTensor(item["image"], meta={"number": number})
    plain, meta = run("unimatch", max_iterations=2)[1], []
    engine = trainer("unimatch", data=streams, max_iterations=2, extra_terms=[lambda step: {}])
    engine.add_event_handler(Events.ITERATION_COMPLETED, lambda e: meta.append(e.state.output))
    engine.run()
    assert losses(meta) == losses(plain)


def test_monais_handlers_work(tmp_path, capsys):
    engine = trainer()
    scheduler = torch.optim.lr_scheduler.PolynomialLR(engine.optimizer, 6, 0.9)
    for handler in (
        LrScheduleHandler(scheduler, print_lr=False, epoch_level=False),
        StatsHandler(name="stats", output_transform=lambda output: output["loss"]),
        TensorBoardStatsHandler(log_dir=str(tmp_path / "tb"), output_transform=lambda output: output["loss"]),
        CheckpointSaver(str(tmp_path), {"network": engine.network}, save_final=True),
    ):
        handler.attach(engine)
    engine.run()
    assert "Loss" in capsys.readouterr().out
    assert engine.optimizer.param_groups[0]["lr"] == pytest.approx(0)
    assert list((tmp_path / "tb").iterdir())
    other = trainer(seed=5)
    CheckpointLoader(str(next(tmp_path.glob("*.pt"))), {"network": other.network}).attach(other)
    other.fire_event(Events.STARTED)
    for a, b in zip(other.network.parameters(), engine.network.parameters(), strict=True):
        assert torch.equal(a, b)


def test_bfloat16_stays_close_to_float32():
    plain, bf16 = (losses(run("unimatch", amp=amp, max_iterations=2)[1]) for amp in (False, "bf16"))
    assert bf16 == pytest.approx(plain, rel=0.05)
    assert bf16 != plain


def test_strong_views_in_dacs_order_augment_the_pasted_pixels_too():
    image, label = torch.zeros(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    views = StrongViews(1, lambda x: x + 1, augment_mixed=True)
    view = views(image, label, image, label.long(), torch.ones(1, 1, 8, 8))[0]
    assert (view.image == 1).all()


class Plain(nn.Conv2d):
    """A network that knows nothing of feature dropout."""

    def forward(self, x):
        return super().forward(x)


@pytest.mark.parametrize(
    ("network", "says"),
    [
        (Plain(3, 3, 1), "network_def: is a Plain, which has no feature dropout"),
        (HookedNetwork(Plain(3, 3, 1)), "network_def#dropout_modules: is empty, and feature dropout needs"),
    ],
)
def test_features_that_cannot_be_dropped_are_no_surprise_after_the_burn_in(network, says):
    with pytest.raises(InputError, match=says):
        trainer("unimatch", network=copy.deepcopy(network), burn_in=0.5)
    trainer("fixmatch", network=copy.deepcopy(network), max_iterations=1, max_epochs=1)
