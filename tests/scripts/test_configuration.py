"""Which changes of a configuration make a finished cell another, and which do not."""

import json
import shutil

import pytest
from reproduction.configuration import Configuration
from reproduction.experiment import METHODS, Experiment

from tests.bundles.workflows import BUNDLES
from tests.scripts.cells import cell, configuration, experiment, overridden


@pytest.fixture
def edited(tmp_path):
    """An experiment on a copy of a bundle whose configuration has been edited."""

    def edit(change, kind="train"):
        folder = tmp_path / "chase_supmix"
        shutil.copytree(BUNDLES / "chase_supmix" / "configs", folder / "configs", dirs_exist_ok=True)
        path = folder / "configs" / f"{kind}.json"
        config = json.loads(path.read_text(encoding="utf-8"))
        change(config)
        path.write_text(json.dumps(config), encoding="utf-8")
        return experiment(bundle=str(folder))

    return edit


def test_cells_differ_in_their_configuration():
    cells = [cell(method, count, seed) for method in METHODS for count in (2, 5) for seed in (0, 1)]
    assert len({configuration(one).hash for one in cells}) == len(cells)


@pytest.mark.parametrize("bundle", ["chase_supmix", "covid19_ct_supmix"])
def test_values_are_resolved_and_fit_for_a_file(bundle):
    one = configuration(cell(), Experiment(bundle))
    assert one.train["num_classes"] == one.evaluate["num_classes"] == len(one.train["class_names"])
    assert one.train["optimizer#_target_"] == "AdamW"
    assert Configuration(*json.loads(json.dumps([one.train, one.evaluate]))).hash == one.hash
    assert not [value for value in one.train.values() if isinstance(value, str) and value[0] in "@$"]


def test_paths_devices_and_logging_do_not_count():
    more = {"device": "cpu", "num_workers": "2", "save_interval": "7", "log_interval": "3", "num_monitored": "0"}
    assert configuration(cell(), overridden(**more)) == configuration(cell())


@pytest.mark.parametrize(
    ("key", "text", "told"),
    [
        ("optimizer#lr", "0.01", "optimizer#lr was 0.002, is 0.01"),
        ("sufd_weight", "0.5", "sufd_weight was 0.01, is 0.5"),
        ("observer", "second", 'observer was "first", is "second"'),
        ("weak_augmentation#transforms#1#flip_prob", "0.1", "weak_augmentation#transforms#1#flip_prob was 0.5, is 0.1"),
        ("working#scale", "0.25", "working#scale was not there, is 0.25"),
        ("discriminator", "null", 'discriminator#_target_ was "FeatureDiscriminator", is not there'),
        ("train#trainer#burn_in", "0", "train#trainer#burn_in was not there, is 0"),
        ("lr_scheduler#total_iters", "$@max_iterations * 2", "lr_scheduler#total_iters was not there, is "),
        ("train#dataloader#transform", "@strong_augmentation", "train#dataloader#transform was not there"),
        ("ckpt_path", "model.pt", 'ckpt_path was not there, is "model.pt"'),
    ],
)
def test_overrides_count_and_are_named(key, text, told):
    now = configuration(cell(), overridden(**{key: text}))
    assert now.hash != configuration(cell()).hash
    assert any(line.startswith(told) for line in configuration(cell()).differences(now))


def test_flips_count():
    told = configuration(cell()).differences(configuration(cell(), experiment(tta=False)))
    assert told == ["evaluate: tta was true, is false"]


def test_a_default_that_changes_counts(edited):
    now = configuration(cell(), edited(lambda config: config["optimizer"].update(lr=0.004)))
    assert configuration(cell()).differences(now) == ["optimizer#lr was 0.002, is 0.004"]


def test_an_expression_counts_by_its_value(edited):
    now = configuration(cell(), edited(lambda config: config["optimizer"].update(lr="$0.004 / 2")))
    assert now == configuration(cell())
    now = configuration(cell(), edited(lambda config: config.update(base=0.001) or config.update(burn_in="$@base * 5")))
    assert "burn_in was 0.7, is 0.005" in configuration(cell()).differences(now)


def _without_surroundings(config):
    """A configuration from which others attach what is told on the way, and wire parts in another manner."""
    config["training"] = {"_target_": "monai_supmix.bundle.TrainingRun", "trainer": "@train#trainer"}
    config["initialize"] = ["$@training"]
    del config["train"]["handlers"], config["train"]["trainer"]["train_handlers"]
    config["train"]["trainer"]["discriminator"] = "@discriminator"
    config["labeled_list"] = "$None"
    config["optimizer"]["_target_"] = "elsewhere.optim.AdamW"


def test_what_is_attached_and_where_classes_live_does_not_count(edited):
    assert configuration(cell(), edited(_without_surroundings)) == configuration(cell())


def test_a_key_found_to_have_no_influence_counts_no_longer_in_earlier_cells():
    now = configuration(cell())
    then = Configuration({**now.train, "history#interval": 10, "train#dataset#progress": True}, now.evaluate)
    assert then.hash == now.hash
    assert then.differences(now) == []
