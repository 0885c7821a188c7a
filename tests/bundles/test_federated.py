"""The training bundle in MONAI's federated client: rounds, averages, and the schedules of the whole training."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from monai.fl.client import MonaiAlgo
from monai.fl.utils.constants import ExtraItems
from monai.fl.utils.exchange_object import ExchangeObject

from tests.bundles.workflows import BUNDLES, TINY, run

BUNDLE = "covid19_ct_supmix"
ROUNDS = 3
QUICK = {
    **TINY, "crop_size": [64, 64], "working": {"size": [64, 64]}, "num_workers": 0, "num_labeled": 1,
    "num_monitored": 0, "consistency_loss#threshold": 0.3,
}  # fmt: skip


def client(data, name, evaluates=False, **settings):
    algorithm = MonaiAlgo(
        str(BUNDLES / BUNDLE),
        send_weight_diff=False,
        config_train_filename=["configs/train.json", "configs/federated.json"],
        train_kwargs={**QUICK, "dataset_dir": str(data), "rounds": ROUNDS, **settings},
        config_evaluate_filename=["configs/train.json"] if evaluates else None,
        eval_kwargs={**QUICK, "dataset_dir": str(data), "num_val_patients": 1},
    )
    algorithm.initialize({ExtraItems.CLIENT_NAME: name})
    return algorithm


def weights_of(algorithm):
    return {name: tensor.clone() for name, tensor in algorithm.get_weights().weights.items()}


def mean(states):
    return {
        name: torch.stack([s[name].double() for s in states]).mean(0).to(first.dtype)
        for name, first in states[0].items()
    }


def test_rounds_of_one_client_are_one_training(phantoms, tmp_path):
    settings = {"seed": 3, "discriminator": None}  # whose random weights depend on what was made before
    alone = client(phantoms[BUNDLE], "alone", **settings)
    weights = weights_of(alone)
    torch.save(weights, tmp_path / "start.pt")
    for _ in range(ROUNDS):
        alone.train(ExchangeObject(weights=weights))
        weights = weights_of(alone)
    trainer = alone.trainer
    length = trainer.state.epoch_length
    assert trainer.state.iteration == ROUNDS * length and trainer.burn_in == int(0.7 * ROUNDS * length)
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [0.0], "the schedule ends with the last round"
    assert "loss_strong_1" in trainer.state.output, "past the burn-in, in the last round"
    flow = run(
        BUNDLE, "train", dataset_dir=str(phantoms[BUNDLE]), output_dir=str(tmp_path / "out"), max_epochs=ROUNDS,
        ckpt_path=str(tmp_path / "start.pt"), recalibration=None, tensorboard=False, **settings, **QUICK,
    )  # fmt: skip
    central = flow.parser.get_parsed_content("network").state_dict()
    assert all(torch.equal(tensor, weights[name]) for name, tensor in central.items())


@pytest.fixture
def partly(phantoms, tmp_path):
    """The data of a site that lacks the labels of a class, which the other site has."""
    folder = Path(shutil.copytree(phantoms[BUNDLE], tmp_path / "partly"))
    for path in (folder / "labelsTr").glob("*.nii.gz"):
        image = nib.load(path)
        nib.save(nib.Nifti1Image(np.where(np.asarray(image.dataobj) == 3, 0, image.dataobj), image.affine), path)
        known = {"labelled_classes": ["ground_glass", "consolidation"]}
        path.with_name(path.name.replace(".nii.gz", ".json")).write_text(json.dumps(known), encoding="utf-8")
    return folder


def test_two_clients_learn_one_network(phantoms, partly):
    sites = enumerate((phantoms[BUNDLE], partly))
    clients = [client(data, f"site {seed}", evaluates=seed == 0, labeled_seed=seed, seed=seed) for seed, data in sites]
    weights = weights_of(clients[0])
    start = weights
    for _ in range(ROUNDS):
        for algorithm in clients:
            algorithm.train(ExchangeObject(weights=weights))
        own = [weights_of(algorithm) for algorithm in clients]
        weights = mean(own)
        assert any(not torch.equal(own[0][name], own[1][name]) for name in weights)
    assert any(not torch.equal(start[name], weights[name]) for name in weights)
    metrics = clients[0].evaluate(ExchangeObject(weights=weights)).metrics
    assert 0 <= metrics["mean_iou"] <= 1
    evaluated = clients[0].evaluator.network.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in evaluated.items())
