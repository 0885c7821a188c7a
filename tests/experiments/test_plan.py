"""Which settings reach a training on a datalist file, and its evaluation."""

import json
from pathlib import Path

import pytest

from monai_supmix.experiments.evaluation import evaluation_of
from monai_supmix.experiments.plan import Plan
from tests.bundles.workflows import SHIPPED, read_config

WANTED = {"seed": "3", "tta": "true", "amp": "false", "num_val_patients": "2", "unlabeled_pool": "all"}


@pytest.mark.parametrize("bundle", SHIPPED)
@pytest.mark.parametrize("method", [None, "self_training"])
def test_every_shipped_bundle_takes_its_cases_from_a_file(bundle, method):
    trial = Plan(bundle, WANTED).trial(Path("out"), Path("cases.json"), {}, method)
    assert trial.training.overrides.items() >= {"dataset_dir": "cases.json", "output_dir": "out", "seed": 3}.items()
    assert trial.training.overrides.items() >= {"num_labeled": None, "num_val_patients": 0}.items()
    assert trial.evaluation.overrides.items() >= {"dataset_dir": "cases.json", "output_dir": "out", "tta": True}.items()
    assert trial.evaluation.overrides["amp"] is trial.training.overrides["amp"] is False
    assert "tta" not in trial.training.overrides and "unlabeled_pool" not in trial.training.overrides
    config = trial.evaluation.parser().get()
    assert config["run"] == read_config(bundle, "evaluate")["run"]  # and not that of the method


def test_a_file_of_ones_own_counts_for_the_evaluation_where_it_has_such_entries(tmp_path):
    mine = tmp_path / "mine.json"
    network = {"_target_": "monai_supmix.networks.CompactUNet", "in_channels": 1, "num_classes": "@num_classes"}
    mine.write_text(json.dumps({"method": "mine", "network_def": network, "burn_in": 0.1}), encoding="utf-8")
    for plan, method in (
        (Plan("covid19_ct_supmix", {}), str(mine)),
        (Plan("covid19_ct_supmix", {}, ("train", str(mine))), None),
    ):
        trial = plan.trial(tmp_path / "out", tmp_path / "cases.json", {}, method)
        assert trial.evaluation.parser().get("network_def") == network
        assert "burn_in" not in trial.evaluation.parser()


def test_a_trial_is_another_with_other_settings_length_or_data():
    def hash_of(data=0, method=None, **pairs):
        plan = Plan("chase_supmix", {key: str(value) for key, value in pairs.items()})
        return plan.trial(Path("out"), Path("cases.json"), {"labeled": data}, method).hash

    same = [hash_of(), hash_of(log_interval=3), hash_of(num_workers=0)]
    others = [
        hash_of(seed=1), hash_of(max_iterations=7), hash_of(max_epochs=7), hash_of(tta="true"), hash_of(data=1),
        hash_of(method="supervised"), hash_of(pseudo_labels="masks"),
    ]  # fmt: skip
    assert len(set(same)) == 1
    assert len({*same, *others}) == 1 + len(others)
    trial = Plan("chase_supmix", {}).trial(Path("out"), Path("cases.json"), {})
    assert trial.at(Path("elsewhere")).hash == trial.hash


def test_weights_to_begin_with_are_not_evaluated():
    assert "ckpt_path" not in evaluation_of("chase_supmix", {"ckpt_path": "start.pt"}).overrides
