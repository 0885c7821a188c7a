"""Rounds of self-training: what each is trained on, what lies where, and exact resume."""

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from monai.bundle import ConfigParser

from monai_supmix.bundle import IntensityRules, SelfTraining
from monai_supmix.config.error_lines import error_line
from monai_supmix.data import load_case
from monai_supmix.files import sha256
from monai_supmix.handlers.checkpoints import newest_intact, read_checkpoint
from monai_supmix.handlers.preemption import Preempted
from monai_supmix.inferers import SliceVolumeInferer
from monai_supmix.networks import Ensemble
from monai_supmix.weights import load_weights
from tests.bundles.workflows import SHIPPED, TINY, run, workflow

BUNDLE = "covid19_ct_supmix"
SETTINGS = {
    "num_labeled": 2, "max_iterations": 2, "crop_size": [32, 32], "tensorboard": False, "self_training#rounds": 2,
    **TINY,
}  # fmt: skip


def train(data, out, **changes):
    return run(BUNDLE, "train", "self_training", dataset_dir=str(data), output_dir=str(out), **SETTINGS | changes)


@pytest.fixture(scope="module")
def finished(phantoms, tmp_path_factory):
    out = tmp_path_factory.mktemp("self_training")
    train(phantoms[BUNDLE], out)
    return out


def history(folder):
    return json.loads((folder / "history.json").read_text(encoding="utf-8"))


def pseudo_labels(folder):
    """Names and content of the label files of the unlabelled cases that a training saw."""
    data = read_checkpoint(newest_intact(folder / "checkpoints")[0])["config"]["data"]
    told = [data["files"][case]["label"] for case in data["unlabeled"] if "label" in data["files"][case]]
    return {label.split(" (")[0]: label.rpartition(" ")[2].rstrip(")") for label in told}


def test_each_round_learns_from_the_masks_of_the_one_before(finished):
    folders = [finished / f"rounds/{number}/network_{place}" for number in (0, 1) for place in (0, 1)]
    methods = [history(folder)["method"] for folder in (*folders, finished)]
    assert methods == ["supervised"] * 2 + ["self_training"] * 3
    assert not history(finished)["pseudo_label_rows"], "masks that are given are not those of the network"
    labels = [pseudo_labels(folder) for folder in (*folders, finished)]
    masks = [
        {path.name: sha256(path)[:32] for path in (finished / f"rounds/{number}/pseudo_labels").glob("*.nii.gz")}
        for number in (0, 1)
    ]
    assert labels == [{}, {}, masks[0], masks[0], masks[1]] and len(masks[0]) > 1
    weights = [load_weights(folder / "model.pt")[0] for folder in (*folders, finished)]
    name = next(name for name, value in weights[0].items() if value.ndim == 4)
    assert len({tuple(state[name].flatten().tolist()) for state in weights}) == 5


def test_pseudo_labels_are_the_mean_networks_masks_of_whole_images(finished, phantoms):
    flow = workflow(BUNDLE, "train", "self_training", dataset_dir=str(phantoms[BUNDLE]), output_dir="x", **SETTINGS)
    get = flow.parser.get_parsed_content
    networks = []
    for place in (0, 1):
        state, record = load_weights(finished / f"rounds/0/network_{place}/model.pt")
        network = ConfigParser({"num_classes": 4, "network_def": record["network"]}).get_parsed_content("network_def")
        network.load_state_dict(state)
        networks.append(network.eval())
    item = get("datalist").unlabeled[0]
    image, _ = load_case(item, 4)
    rule = IntensityRules(record["intensity"])(image)
    expected = get("validation_inferer")(image, Ensemble(networks), rule)
    masks = finished / "rounds/0/pseudo_labels"
    _, mask = load_case(item | {"label": str(masks / f"{item['case']}_seg.nii.gz")}, 4)
    assert np.array_equal(mask, expected)
    assert len(list(masks.glob("*_seg.nii.gz"))) == len(get("datalist").unlabeled)


@pytest.mark.slow
def test_a_run_stopped_in_any_round_continues_to_the_same_weights(finished, phantoms, tmp_path, monkeypatch):
    whole = (finished / "model.pt").read_bytes()
    original, count = SelfTraining._folders, []

    def stopping(self, number):
        count.append(number)
        if len(count) == 5:
            raise Preempted
        return original(self, number)

    monkeypatch.setattr(SelfTraining, "_folders", stopping)
    with pytest.raises(Preempted):
        train(phantoms[BUNDLE], tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / "model.pt").exists()
    train(phantoms[BUNDLE], tmp_path, resume="auto")
    assert (tmp_path / "model.pt").read_bytes() == whole


def test_masks_of_ones_own_are_trained_on_without_further_rounds(finished, phantoms, tmp_path):
    masks = finished / "rounds/1/pseudo_labels"
    train(phantoms[BUNDLE], tmp_path, pseudo_labels=str(masks))
    assert (tmp_path / "model.pt").is_file() and not (tmp_path / "rounds").exists()


def test_masks_of_images_that_have_changed_places_are_made_again(finished, phantoms, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(phantoms[BUNDLE], data)
    shutil.copytree(finished, out)
    shutil.rmtree(out / "checkpoints")
    labels = {path.name for path in (data / "labelsTr").iterdir()}
    bare = [path for path in sorted((data / "imagesTr").iterdir()) if path.name.replace("_0000", "") not in labels]
    contents = [path.read_bytes() for path in bare[:2]]
    for path, content in zip(bare, contents[::-1], strict=False):
        path.write_bytes(content)
    masks = [out / "rounds/0/pseudo_labels" / path.name.replace("_0000", "_seg") for path in bare[:2]]
    before = [np.asarray(nib.load(mask).dataobj) for mask in masks]
    train(data, out, resume="force")
    after = [np.asarray(nib.load(mask).dataobj) for mask in masks]
    assert all(np.array_equal(*pair) for pair in zip(after, before[::-1], strict=True))
    assert not np.array_equal(*before)


def test_masks_of_other_images_are_made_again(finished, phantoms, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(phantoms[BUNDLE], data)
    shutil.copytree(finished, out)
    shutil.rmtree(out / "checkpoints")
    labels = {path.name for path in (data / "labelsTr").iterdir()}
    bare = [path for path in sorted((data / "imagesTr").iterdir()) if path.name.replace("_0000", "") not in labels]
    scan = nib.load(bare[0])
    nib.save(nib.Nifti1Image(np.asarray(scan.dataobj)[::-1], scan.affine, scan.header), bare[0])
    mask = out / "rounds/0/pseudo_labels" / bare[0].name.replace("_0000", "_seg")
    before = mask.read_bytes()
    train(data, out, resume="force")
    assert mask.read_bytes() != before


def test_without_unlabelled_images_nothing_is_trained(phantoms, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(phantoms[BUNDLE], data)
    labels = {path.name for path in (data / "labelsTr").iterdir()}
    for path in (data / "imagesTr").iterdir():
        if path.name.replace("_0000", "") not in labels:
            path.unlink()
    with pytest.raises(RuntimeError) as failure:
        train(data, tmp_path / "out")
    assert "self-training needs unlabelled images" in error_line(failure.value)
    assert not (tmp_path / "out").exists()


def test_what_inference_would_warn_of_is_told_of_pseudo_labels(finished, phantoms, tmp_path, caplog):
    data = tmp_path / "data"
    shutil.copytree(phantoms[BUNDLE], data)
    labels = {path.name for path in (data / "labelsTr").iterdir()}
    bare = [path for path in sorted((data / "imagesTr").iterdir()) if path.name.replace("_0000", "") not in labels]
    scan = nib.load(bare[0])
    nib.save(nib.Nifti1Image(np.full(scan.shape, -1000, np.int16), scan.affine), bare[0])
    with caplog.at_level("INFO"):
        train(data, tmp_path / "out", **{"self_training#rounds": 1, "self_training#networks": 1})
    case = bare[0].name.removesuffix("_0000.nii.gz")
    assert f"pseudo-labels of {case}: all values are -1000: the image is blank" in caplog.text
    assert "% ground_glass, " in caplog.text


def test_a_moved_run_goes_on(finished, phantoms, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(finished, moved)
    whole = (moved / "model.pt").read_bytes()
    (moved / "model.pt").unlink()
    train(phantoms[BUNDLE], moved, resume="auto")
    assert (moved / "model.pt").read_bytes() == whole


def test_a_broken_case_is_left_out_of_all_rounds_and_ends_in_status_1(phantoms, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(phantoms[BUNDLE], data)
    labels = {path.name for path in (data / "labelsTr").iterdir()}
    bare = [path for path in sorted((data / "imagesTr").iterdir()) if path.name.replace("_0000", "") not in labels]
    bare[0].write_bytes(b"no image")
    with pytest.raises(SystemExit) as end:
        train(data, tmp_path / "out", on_error="skip", **{"self_training#rounds": 1, "self_training#networks": 1})
    assert end.value.code == 1
    assert (tmp_path / "out/model.pt").is_file() and (tmp_path / "out/rounds/0/pseudo_labels/made_by.json").is_file()


def test_a_run_that_is_there_is_not_overwritten(finished, phantoms):
    with pytest.raises(RuntimeError) as failure:
        train(phantoms[BUNDLE], finished)
    assert "give --resume auto to continue it" in error_line(failure.value)


@pytest.mark.parametrize("bundle", SHIPPED)
def test_every_bundle_trains_itself_as_it_validates(bundle):
    flow = workflow(bundle, "train", "self_training", output_dir="out", device="cpu")
    made = flow.parser.get_parsed_content("self_training")
    assert made.inferer.settings == flow.parser.get_parsed_content("validate#inferer").settings
    assert made.folders()[-1] == "out" and len(made.folders()) == 1 + made.rounds * len(made.networks)


def test_networks_have_entries_of_their_own_and_the_first_is_the_last(phantoms, finished, tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr("monai_supmix.bundle.start_from", lambda path, *more: begun.append(path))
    own = [
        {"teacher_momentum": 0.25, "optimizer#lr": 0.5, "ckpt_path": str(finished / "model.pt")},
        {"optimizer#lr": 0.125, "network_def#features": [8, 4, 4, 4, 4, 4]},
    ]
    out = tmp_path / "out"
    train(phantoms[BUNDLE], out, **{"self_training#networks": own, "self_training#rounds": 1})
    seen = []
    for folder in (out / "rounds/0/network_0", out / "rounds/0/network_1", out):
        config = read_checkpoint(newest_intact(folder / "checkpoints")[0])["config"]
        seen.append((config["teacher_momentum"], config["optimizer"]["lr"]))
    assert seen == [(0.25, 0.5), (0.99, 0.125), (0.25, 0.5)]
    first, second, last = begun
    assert (first, second) == (str(finished / "model.pt"), None)
    assert last == str(out / "rounds/0/network_0/model.pt"), "the second round goes on with what the first has learnt"


@pytest.mark.parametrize("entry", [{"working": {"size": [64, 64]}}, {"intensity_settings#hu#high": 99.0}])
def test_networks_that_see_images_differently_have_no_mean(entry, phantoms, tmp_path):
    with pytest.raises(RuntimeError) as failure:
        train(phantoms[BUNDLE], tmp_path / "out", **{"self_training#networks": [{}, entry]})
    key = "working" if "working" in entry else "intensity"
    assert f"self_training#networks#1: is to have another {key} than the configuration" in error_line(failure.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "wrong", [{"rounds": 0}, {"networks": 0}, {"networks": []}, {"lengths": [1]}, {"lengths": [1, 0]}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"at least 1|one positive number"):
        SelfTraining(Path("out"), SliceVolumeInferer(), **wrong)
