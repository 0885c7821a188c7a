"""The bundles train, evaluate and predict, and leave what the contract says."""

import csv
import json
import logging
import shutil
import warnings

import nibabel as nib
import numpy as np
import pydicom
import pytest
import torch
from ignite.engine import Events
from PIL import Image

from monai_supmix.config.error_lines import error_line
from monai_supmix.data import LoadPlanes, chase_datalist, covid_datalist
from monai_supmix.datalists.seen import image_digests
from monai_supmix.errors import InputError
from monai_supmix.handlers.checkpoints import newest_intact, read_checkpoint
from monai_supmix.imageio.reading import read_image
from monai_supmix.weights import load_weights
from tests.bundles.workflows import NAMES, OTHER_AUGMENTATIONS, TINY, run, workflow
from tests.imageio.dicom_series import write_series
from tests.masks import lowest_dice

SMALL = {key: value for key, value in TINY.items() if key != "discriminator_widths"}


def test_training_leaves_weights_and_checkpoints(trained):
    assert trained
    for bundle, folder in trained.items():
        assert [path.name for path in (folder / "checkpoints").iterdir()] == ["checkpoint_iteration=000002.pt"]
        for name in ("model.pt", "model.safetensors"):
            state, record = load_weights(folder / name)
            assert record["class_names"][0] == "background"
            assert record["network"]["_target_"].endswith("CompactUNet")
            assert set(record["intensity"]) == ({"picture"} if bundle == "chase_supmix" else {"hu", "picture"})
            assert state


@pytest.mark.parametrize("bundle", NAMES)
def test_the_discriminators_learning_rate_falls_from_the_end_of_the_burn_in_on(bundle, phantoms, tmp_path):
    rates = []
    flow = workflow(
        bundle, "train", dataset_dir=str(phantoms[bundle]), output_dir=str(tmp_path), num_labeled=2, max_iterations=5,
        burn_in=0.4, crop_size=[32, 32], **TINY,
    )  # fmt: skip
    flow.initialize()
    optimizer = flow.parser.get_parsed_content("discriminator_optimizer")
    trainer = flow.parser.get_parsed_content("train#trainer")
    trainer.add_event_handler(Events.ITERATION_STARTED, lambda _: rates.append(optimizer.param_groups[0]["lr"]))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*lr_scheduler.step.*")  # a schedule ahead of its optimizer
        flow.run()
    assert rates == pytest.approx([rates[0] * left**0.9 for left in (1, 1, 1, 2 / 3, 1 / 3)])


@pytest.mark.parametrize("method", OTHER_AUGMENTATIONS)
def test_the_other_augmentations_of_the_paper_train_as_any_method_does(method, phantoms, tmp_path):
    settings = {"num_labeled": 2, "max_iterations": 2, "burn_in": 0.0, "crop_size": [32, 32], **TINY}
    where = {"dataset_dir": str(phantoms["chase_supmix"]), "output_dir": str(tmp_path)}
    flow = run("chase_supmix", "train", method, **where, **settings, **{"consistency_loss#threshold": 0.3})
    output = flow.parser.get_parsed_content("train#trainer").state.output
    assert all(output[name].isfinite() and output[name] > 0 for name in ("loss_strong_1", "loss_strong_2"))
    assert load_weights(tmp_path / "model.pt")[0]


@pytest.mark.parametrize("method", ["supervised", "unimatch"])
def test_the_ct_weights_have_the_statistics_of_the_images_that_the_method_trains_on(method, phantoms, tmp_path):
    data, out = phantoms["covid19_ct_supmix"], tmp_path / "out"
    settings = {"num_labeled": 2, "max_iterations": 2, "crop_size": [32, 32], **TINY}
    flow = workflow("covid19_ct_supmix", "train", method, dataset_dir=str(data), output_dir=str(out), **settings)
    flow.initialize()
    get = flow.parser.get_parsed_content
    cases = {item["case"] for item in (get("recalibration").items[k] for k in range(len(get("recalibration").items)))}
    labeled, unlabeled = (
        {item["case"] for item in getattr(get("datalist"), side)} for side in ("labeled", "unlabeled")
    )
    assert cases == (labeled if method == "supervised" else labeled | unlabeled)
    flow.run()
    flow.finalize()
    final, trained = (
        load_weights(out / "model.pt")[0],
        read_checkpoint(newest_intact(out / "checkpoints")[0])["state"]["network"],
    )
    differing = {name for name, tensor in final.items() if not torch.equal(tensor, trained[name])}
    assert differing
    assert {name.rpartition(".")[2] for name in differing} <= {"running_mean", "running_var", "num_batches_tracked"}
    whole = (out / "model.pt").read_bytes()
    (out / "model.pt").unlink()  # killed after the last checkpoint
    run("covid19_ct_supmix", "train", method, dataset_dir=str(data), output_dir=str(out), resume="auto", **settings)
    assert (out / "model.pt").read_bytes() == whole


@pytest.mark.parametrize("method", ["supervised", "unimatch"])
def test_images_that_a_method_does_not_look_at_are_neither_read_nor_recorded(method, tmp_path, monkeypatch):
    """Case 5, which has no label, is larger than the others."""
    data, read = tmp_path / "data", []
    for place, count in (("images", 6), ("labels", 5)):
        (data / place).mkdir(parents=True)
        for number in range(count):
            side = 200 if number == 5 else 40 + number
            picture = np.random.default_rng(number).integers(1, 4, (side, side), dtype=np.uint8)
            picture[:20] //= 4
            Image.fromarray(picture if place == "labels" else 60 * picture).save(data / place / f"{number}.png")
    load = LoadPlanes.__call__
    monkeypatch.setattr(LoadPlanes, "__call__", lambda self, item: read.append(item["case"]) or load(self, item))
    settings = {
        "num_labeled": 2,
        "max_iterations": 2,
        "crop_size": [32, 32],
        "burn_in": 0.0,
        "num_monitored": 0,
        **TINY,
    }
    settings["found#view"] = "upright"
    out = tmp_path / "out"
    run("covid19_ct_supmix", "train", method, dataset_dir=str(data), output_dir=str(out), **settings)
    largest = max(load_weights(out / "model.pt")[1]["trained_on"]["size"])
    assert ("5" in read, largest == 200) == ((True, True) if method == "unimatch" else (False, False))


class FailingStep:
    """A last step of one's own that tells only at the end that it cannot be done."""

    def __call__(self, network):
        raise ValueError("the network has no bias")


def test_a_last_step_that_fails_is_told_and_the_training_is_kept(phantoms, tmp_path):
    where = {"dataset_dir": str(phantoms["covid19_ct_supmix"]), "output_dir": str(tmp_path)}
    settings = {"num_labeled": 2, "max_iterations": 2, "crop_size": [32, 32], "working": {"size": [32, 32]}, **TINY}
    with pytest.raises(RuntimeError) as raised:
        step = {"_target_": "tests.bundles.test_runs.FailingStep"}
        run("covid19_ct_supmix", "train", **where, **settings, recalibration=step)
    line = error_line(raised.value)
    assert line is not None
    assert line.startswith("error: recalibration: does not suit this network or size")
    assert line.endswith("continue with --recalibration null and --resume force")
    assert not (tmp_path / "model.pt").exists()
    flow = workflow("covid19_ct_supmix", "train", **where, **settings, resume="force")
    flow.parser.update({"recalibration": None})
    flow.initialize()
    flow.run()
    assert load_weights(tmp_path / "model.pt")[0]


def test_planes_of_the_least_size_are_trained_on(phantoms, tmp_path):
    where = {"dataset_dir": str(phantoms["covid19_ct_supmix"]), "output_dir": str(tmp_path)}
    settings = {"num_labeled": 2, "max_iterations": 2, "crop_size": [32, 32], "working": {"size": [32, 32]}, **TINY}
    run("covid19_ct_supmix", "train", **where, **settings)
    assert load_weights(tmp_path / "model.pt")[0]


def test_logits_that_cannot_be_adjusted_are_told_before_the_training(phantoms, tmp_path):
    where = {"dataset_dir": str(phantoms["covid19_ct_supmix"]), "output_dir": str(tmp_path)}
    adjust = {"_target_": "monai_supmix.engines.AdjustLogits", "items": "@train#dataset", "num_classes": "@num_classes"}
    small = {"working": {"spacing": [8.0, 5.0, 5.0]}, "crop_size": [16, 32, 32], "network_def#network#bias": False}
    settings = {"num_labeled": 1, "max_iterations": 2, "discriminator_widths": [4, 4], **small, "device": "cpu"}
    flow = workflow("covid19_ct_supmix", "train", preset="volume3d", **where, **settings, recalibration=adjust)
    with pytest.raises(RuntimeError) as raised:
        flow.initialize()
        flow.run()
    line = error_line(raised.value)
    assert line.startswith(
        "error: recalibration: has AdjustLogits, which does not suit this network (its last layer is"
    )
    assert not (tmp_path / "checkpoints").exists()


@pytest.mark.parametrize("bundle", NAMES)
def test_evaluation_writes_figures_of_every_class_and_case(bundle, trained, phantoms, tmp_path):
    checkpoint = trained[bundle] / "model.pt"
    run(
        bundle,
        "evaluate",
        dataset_dir=str(phantoms[bundle]),
        output_dir=str(tmp_path),
        ckpt_path=str(checkpoint),
        **SMALL,
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    names = load_weights(checkpoint)[1]["class_names"]
    assert list(metrics["classes"]) == names
    for figures in metrics["classes"].values():
        assert figures is None or 0 <= figures["iou"] <= figures["dice"] <= 1
    present = [figures["iou"] for figures in metrics["classes"].values() if figures]
    assert metrics["mean_iou"] == pytest.approx(np.mean(present))
    assert metrics["num_images"] == (8 if bundle == "chase_supmix" else 1)
    rows = list(csv.DictReader((tmp_path / "cases.csv").open()))
    assert len(rows) == metrics["num_images"]
    totals = [sum(int(row[f"{names[1]}_{count}"]) for row in rows) for count in ("tp", "fp", "fn")]
    assert metrics["classes"][names[1]]["iou"] == pytest.approx(totals[0] / sum(totals))


def test_an_evaluation_tells_of_test_images_that_the_weights_learnt_with_their_labels(
    trained, phantoms, tmp_path, caplog
):
    folder = tmp_path / "data"
    shutil.copytree(phantoms["chase_supmix"], folder)
    (learnt,) = chase_datalist(folder, num_labeled=1).labeled
    digests = set(load_weights(trained["chase_supmix"] / "model.pt")[1]["labelled_images"])
    assert digests == set(image_digests(chase_datalist(folder, num_labeled=2).labeled))
    assert digests >= set(image_digests([learnt]))
    more = {
        "num_labeled": 1,
        "max_iterations": 1,
        "crop_size": [32, 32],
        "ckpt_path": str(trained["chase_supmix"] / "model.pt"),
    }
    run("chase_supmix", "train", "supervised", dataset_dir=str(folder), output_dir=str(tmp_path / "on"), **more, **TINY)
    assert set(load_weights(tmp_path / "on" / "model.pt")[1]["labelled_images"]) == digests, "also what came before"
    tested = chase_datalist(folder, num_labeled=1).test[0]
    shutil.copy(learnt["image"], tested["image"])  # the same picture under another name
    where = {"dataset_dir": str(folder), "output_dir": str(tmp_path / "out")}
    run("chase_supmix", "evaluate", **where, ckpt_path=str(trained["chase_supmix"] / "model.pt"), **SMALL)
    told = f"test: 1 of 8 was trained on with its labels ({tested['case']}): figures are too good"
    assert told in caplog.text
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert [note for note in metrics["notes"] if note.startswith(told)]
    assert told in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_a_volume_gets_a_mask_on_its_own_grid(trained, phantoms, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    volume = sorted((phantoms["covid19_ct_supmix"] / "imagesTs").glob("*.nii.gz"))[0]
    checkpoint = trained["covid19_ct_supmix"] / "model.pt"
    run(
        "covid19_ct_supmix",
        "inference",
        dataset_dir=str(volume),
        output_dir=str(tmp_path),
        ckpt_path=str(checkpoint),
        **SMALL,
    )
    mask = nib.load(tmp_path / f"{volume.name.removesuffix('.nii.gz')}_seg.nii.gz")
    told = [record.getMessage().strip().split(" (")[0] for record in caplog.records]
    place = told.index(f"written to {tmp_path.resolve()}:")
    assert set(told[place + 1 :]) == {path.name for path in tmp_path.iterdir()}  # everything that was written
    assert mask.shape == nib.load(volume).shape
    assert mask.get_data_dtype() == np.uint8
    assert np.array_equal(mask.affine, nib.load(volume).affine)


def test_a_dicom_series_gets_a_dicom_segmentation_too(trained, phantoms, tmp_path):
    volume = nib.load(sorted((phantoms["covid19_ct_supmix"] / "imagesTs").glob("*.nii.gz"))[0])
    values = (np.asarray(volume.dataobj).astype(np.int32) + 2000).astype(np.uint16)
    write_series(tmp_path / "in/ct", values, volume.affine, inter=-2000)
    run(
        "covid19_ct_supmix",
        "inference",
        dataset_dir=str(tmp_path / "in"),
        output_dir=str(tmp_path / "out"),
        ckpt_path=str(trained["covid19_ct_supmix"] / "model.pt"),
        **SMALL,
    )
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "ct_seg.dcm", "ct_seg.json", "ct_seg.nii.gz"
    ]  # fmt: skip
    segments = pydicom.dcmread(tmp_path / "out/ct_seg.dcm").SegmentSequence
    assert [part.SegmentLabel for part in segments] == ["ground_glass", "consolidation", "pleural_effusion"]
    types = [part.SegmentedPropertyTypeCodeSequence[0] for part in segments]
    assert [code.CodeMeaning for code in types] == [
        "Ground glass lung opacity",
        "Lung consolidation",
        "Pleural effusion",
    ]
    assert all(code.CodingSchemeDesignator == "SCT" for code in types)


def test_openvino_gives_the_figures_and_the_masks_of_pytorch(trained, phantoms, tmp_path):
    pytest.importorskip("openvino")
    bundle = "covid19_ct_supmix"
    settings = {"ckpt_path": str(trained[bundle] / "model.pt"), "dataset_dir": str(phantoms[bundle]), **SMALL}
    figures, masks = [], []
    for runtime in ("torch", "openvino"):
        output = tmp_path / runtime
        for kind in ("evaluate", "inference"):
            run(bundle, kind, output_dir=str(output), runtime=runtime, **settings)
        metrics = json.loads((output / "metrics.json").read_text(encoding="utf-8"))
        assert metrics["settings"]["runtime"] == runtime
        figures.append(metrics["mean_iou"])
        masks.append([read_image(path).array for path in sorted(output.glob("*_seg.nii.gz"))])
    assert figures[1] == pytest.approx(figures[0], rel=1e-3)
    assert len(masks[0]) == len(masks[1]) > 0
    assert all(lowest_dice(ours, theirs) >= 0.999 for theirs, ours in zip(*masks, strict=True))


def test_a_picture_gets_a_mask_of_its_size(trained, phantoms, tmp_path):
    picture = sorted(phantoms["chase_supmix"].glob("*.jpg"))[0]
    checkpoint = trained["chase_supmix"] / "model.pt"
    run(
        "chase_supmix",
        "inference",
        dataset_dir=str(picture),
        output_dir=str(tmp_path),
        ckpt_path=str(checkpoint),
        **SMALL,
    )
    mask = Image.open(tmp_path / f"{picture.stem}_seg.png")
    assert mask.size == Image.open(picture).size
    assert set(np.unique(mask)) <= {0, 1}


def test_validation_during_training_and_resume_of_a_finished_run(phantoms, tmp_path):
    override = {
        "dataset_dir": str(phantoms["chase_supmix"]), "output_dir": str(tmp_path), "crop_size": [64, 64],
        "num_val_patients": 1, "max_epochs": 1, "val_interval": 1, **TINY,
    }  # fmt: skip
    flow = run("chase_supmix", "train", "supervised", **override)
    assert 0 <= flow.parser.get_parsed_content("validate#evaluator").state.metrics["mean_iou"] <= 1
    weights = (tmp_path / "model.pt").read_bytes()
    with pytest.raises(RuntimeError) as caught:
        run("chase_supmix", "train", "supervised", **override)
    assert "resume=auto" in str(caught.value.__cause__)
    assert isinstance(caught.value.__cause__, InputError)
    run("chase_supmix", "train", "supervised", resume="auto", **override)
    assert (tmp_path / "model.pt").read_bytes() == weights


def test_looking_at_pseudo_labels_changes_no_bit_of_the_weights(phantoms, tmp_path):
    """And no label of an unlabelled image is anywhere in the training's data."""
    weights = []
    for count in (0, 3):
        folder = tmp_path / str(count)
        flow = run(
            "chase_supmix", "train", dataset_dir=str(phantoms["chase_supmix"]), output_dir=str(folder),
            num_labeled=2, max_iterations=2, unlabeled_batch_size=18, val_interval=1, crop_size=[64, 64],
            num_monitored=count, **TINY,
        )  # fmt: skip
        weights.append((folder / "model.pt").read_bytes())
        part = flow.parser.get_parsed_content
        assert [row["iteration"] for row in part("training").history.pseudo_label_rows] == ([1, 2] if count else [])
        assert all("label" not in item for item in part("datalist").unlabeled)
        assert all("label" not in item for item in part("unlabeled_dataset"))
        assert "label" not in next(part("train#trainer").streams.unlabeled.batches())
    assert weights[0] == weights[1]


def test_training_can_begin_with_trained_weights(phantoms, trained, tmp_path):
    bundle = "chase_supmix"
    checkpoint = trained[bundle] / "model.pt"
    flow = workflow(
        bundle, "train", dataset_dir=str(phantoms[bundle]), output_dir=str(tmp_path), num_labeled=2, max_iterations=1,
        crop_size=[32, 32], ckpt_path=str(checkpoint), **TINY,
    )  # fmt: skip
    flow.initialize()
    flow.parser.get_parsed_content("run#0")  # what comes before the training
    state, network = load_weights(checkpoint)[0], flow.parser.get_parsed_content("network_def")
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("bundle", NAMES)
def test_a_datalist_file_can_be_evaluated(bundle, trained, phantoms, tmp_path):
    build = {"chase_supmix": chase_datalist, "covid19_ct_supmix": covid_datalist}[bundle]
    build(phantoms[bundle], num_labeled=2).to_json(tmp_path / "list.json")
    common = {"output_dir": str(tmp_path), "ckpt_path": str(trained[bundle] / "model.pt"), **SMALL}
    run(bundle, "evaluate", dataset_dir=str(tmp_path / "list.json"), **common)
    from_list = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    # The file has its own truth and split: what would choose them in a folder is not told as if it had.
    assert {
        from_list["settings"][key] for key in ("observer", "split", "form", "test_list") if key in from_list["settings"]
    } == {None}
    run(bundle, "evaluate", dataset_dir=str(phantoms[bundle]), **common)
    assert from_list["classes"] == json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["classes"]
