"""The 3D configuration of the CT bundle trains, evaluates and predicts volumes on their own grid."""

import json
import math
import os
import signal

import nibabel as nib
import numpy as np
import pytest
from ignite.engine import Events

from monai_supmix.config.error_lines import error_line
from monai_supmix.handlers.preemption import Preempted
from monai_supmix.weights import load_weights
from tests.bundles.test_configs import PIECES, parser
from tests.bundles.workflows import METHODS, run, workflow

BUNDLE = "covid19_ct_supmix"
SMALL = {
    "network_def#network#channels": [4, 4, 4, 4], "crop_size": [16, 32, 32], "working": {"spacing": [8.0, 5.0, 5.0]},
    "amp": False, "device": "cpu",
}  # fmt: skip
ITERATIONS = 2


def settings(phantoms, folder, **more):
    return {
        "dataset_dir": str(phantoms[BUNDLE]), "output_dir": str(folder), "num_labeled": 1, "max_iterations": ITERATIONS,
        "unlabeled_batch_size": 2, "discriminator_widths": [4, 4], "log_interval": 1, **SMALL, **more,
    }  # fmt: skip


@pytest.fixture(scope="module")
def volumetric(phantoms, tmp_path_factory):
    """A short training in 3D: the flow and its folder."""
    folder = tmp_path_factory.mktemp("volume3d")
    return run(BUNDLE, "train", preset="volume3d", **settings(phantoms, folder)), folder


def test_training_in_3d_has_all_terms_and_finite_losses(volumetric):
    flow, folder = volumetric
    rows = flow.parser.get_parsed_content("training").history.rows
    assert len(rows) == ITERATIONS
    terms = {"supervised", "strong_1", "strong_2", "feature_dropout", "generator", "discriminator"}
    assert {f"loss_{term}" for term in terms} <= rows[-1].keys()
    assert all(math.isfinite(value) for row in rows for value in row.values())
    batch = flow.parser.get_parsed_content("train#trainer").state.batch
    assert batch["labeled"]["image"].shape == (2, 1, 16, 32, 32)
    assert type(batch["unlabeled"]["image"]).__name__ == "Tensor"  # MONAI's metadata would slow down every operation
    assert "label" not in batch["unlabeled"]
    assert load_weights(folder / "model.pt")[1]["working"] == SMALL["working"]
    looks = flow.parser.get_parsed_content("training").history.pseudo_label_rows
    assert looks[-1]["iteration"] == ITERATIONS
    assert 0 <= looks[-1]["coverage"] <= 1


def test_windows_that_the_network_cannot_take_are_told_before_the_training(phantoms, tmp_path):
    flow = workflow(
        BUNDLE,
        "train",
        preset="volume3d",
        **settings(phantoms, tmp_path),
        **{"validation_inferer#roi_size": [20, 32, 32]},
    )
    with pytest.raises(RuntimeError) as raised:
        flow.initialize()
        flow.run()
    assert error_line(raised.value).startswith(
        "error: roi_size: is [20, 32, 32], and the network takes windows of mult"
    )
    assert not (tmp_path / "model.pt").exists()


def test_windows_are_those_of_the_training_and_others_are_told(volumetric, phantoms, tmp_path, caplog):
    _, folder = volumetric
    common = {"ckpt_path": str(folder / "model.pt"), "output_dir": str(tmp_path), **SMALL, "crop_size": [32, 96, 96]}
    del common["working"]
    volume = next((phantoms[BUNDLE] / "imagesTs").iterdir())
    with caplog.at_level("INFO"):
        run(BUNDLE, "inference", preset="volume3d", dataset_dir=str(volume), **common)
    assert "windows of [16, 32, 32], as in these weights' training, not of crop_size [32, 96, 96]; " in caplog.text


def test_evaluation_and_inference_are_on_the_native_grid(volumetric, phantoms, tmp_path):
    _, folder = volumetric
    common = {"ckpt_path": str(folder / "model.pt"), "output_dir": str(tmp_path), **SMALL}
    del common["working"], common["crop_size"]  # they come with the weights
    run(BUNDLE, "evaluate", preset="volume3d", dataset_dir=str(phantoms[BUNDLE]), **common)
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    truth = nib.load(next((phantoms[BUNDLE] / "labelsTs").iterdir()))
    assert metrics["num_images"] == 1
    assert metrics["inference"]["roi_size"] == SMALL["crop_size"]
    assert 0 <= metrics["mean_iou"] <= 1
    volume = next((phantoms[BUNDLE] / "imagesTs").iterdir())
    run(BUNDLE, "inference", preset="volume3d", dataset_dir=str(volume), **common)
    mask = nib.load(tmp_path / f"{volume.name.removesuffix('.nii.gz')}_seg.nii.gz")
    assert mask.get_data_dtype() == np.uint8
    for field in ("dim", "pixdim", "qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z"):
        assert np.array_equal(mask.header[field], nib.load(volume).header[field]), field
    labels, found = np.asarray(truth.dataobj), np.asarray(mask.dataobj)
    background = np.count_nonzero((labels == 0) & (found == 0)) / np.count_nonzero((labels == 0) | (found == 0))
    assert metrics["classes"]["background"]["iou"] == pytest.approx(background)


def test_a_stopped_training_in_3d_goes_on_with_the_same_bits(volumetric, phantoms, tmp_path):
    flow = workflow(BUNDLE, "train", preset="volume3d", **settings(phantoms, tmp_path, resume="auto"))
    flow.initialize()
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_STARTED(once=1), lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Preempted):
        flow.run()
    run(BUNDLE, "train", preset="volume3d", **settings(phantoms, tmp_path, resume="auto", num_workers=1))
    assert (tmp_path / "model.pt").read_bytes() == (volumetric[1] / "model.pt").read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_is_its_pieces_in_3d(method):
    config = parser(BUNDLE, method, "volume3d")
    mixing, views, feature_dropout, discriminator = PIECES[method]
    found = config.get_parsed_content("mixing")
    assert (type(found).__name__ if mixing else found) == mixing
    assert config.get_parsed_content("strong_views").num_views == views
    assert config.get_parsed_content("feature_dropout") is feature_dropout
    found = config.get_parsed_content("discriminator")
    assert (found.spatial_dims if discriminator else found) == (3 if discriminator else None)
