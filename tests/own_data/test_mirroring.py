"""Classes with a side are never mirrored: not in training, not in inference, in no preset."""

import json

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.own_data import propose, write_bundle
from monai_supmix.own_data.mirroring import confined_classes, propose_mirroring, sided_classes
from tests.bundles.workflows import workflow


@pytest.mark.parametrize(
    "names, sided",
    [
        (["kidney_left", "kidney_right", "liver"], 2),
        (["Left Kidney", "Right Kidney"], 2),
        (["kidneyLeft", "kidneyRight"], 2),
        (["L_kidney", "R_kidney"], 2),
        (["kidney-l", "kidney-r"], 2),
        (["ren sinister", "ren dexter"], 2),
        (["lung_upper_lobe_left"], 1),
        (["kidney_l"], 0),  # a letter alone may be anything
        (["grade_l", "grade_h"], 0),
        (["left"], 0),
        (["ground_glass", "consolidation"], 0),
    ],
)
def test_names_with_a_side(names, sided):
    assert len(sided_classes(["background", *names])) == sided


def test_a_class_in_one_half_of_all_cases_is_confined():
    rng = np.random.default_rng(0)
    planes = []
    for _ in range(4):
        plane = np.zeros((20, 40), np.uint8)
        plane[5:9, 2 + rng.integers(0, 5) :][:, :8] = 1
        start = int(rng.integers(0, 30))
        plane[12:16, start : start + 8] = 2
        planes.append(plane)
    planes[0][12:16], planes[1][12:16] = 0, 0
    planes[0][12:16, :5], planes[1][12:16, -5:] = 2, 2
    names = ["background", "spleen", "lesion"]
    assert confined_classes(planes, names) == ["spleen"]
    assert confined_classes(planes[:2], names) == [], "two cases may be chance"
    assert propose_mirroring(names, planes, "axial")[0] is False
    assert propose_mirroring(names, planes, "sagittal")[0] is True


def write_kidneys(folder, names, cases=8, labelled=6):
    """Volumes with two organs of one look, on either side, in nnU-Net's layout."""
    rng = np.random.default_rng(0)
    for name in ("imagesTr", "labelsTr"):
        (folder / name).mkdir(parents=True)
    x, y = np.meshgrid(np.arange(64), np.arange(64), indexing="ij")
    for case in range(cases):
        label = np.zeros((64, 64, 4), np.uint8)
        for value, centre in ((1, 18), (2, 46)):
            at, across = centre + rng.integers(-3, 4), 32 + rng.integers(-4, 5)
            label[((x - at) / 8) ** 2 + ((y - across) / 11) ** 2 < 1] = value
        scan = 100.0 * (label > 0) + rng.normal(0, 15, label.shape)
        nib.save(
            nib.Nifti1Image(scan.astype(np.int16), np.diag([-1.0, -1, 3, 1])), folder / f"imagesTr/k{case}_0000.nii.gz"
        )
        if case < labelled:
            nib.save(nib.Nifti1Image(label, np.diag([-1.0, -1, 3, 1])), folder / f"labelsTr/k{case}.nii.gz")
    labels = {"background": 0, names[0]: 1, names[1]: 2}
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "channel_names": {"0": "MR"}}), encoding="utf-8")
    return folder


def flips_in(config):
    """Every setting of a configuration that mirrors images."""
    if isinstance(config, list):
        return [found for entry in config for found in flips_in(entry)]
    if not isinstance(config, dict):
        return []
    found = [found for entry in config.values() for found in flips_in(entry)]
    if config.get("flips") or config.get("flip_axes"):
        found.append(config)
    if str(config.get("_target_")).endswith(".RandFlipd") and config["prob"]:
        found.append(config)
    return found


@pytest.mark.parametrize("names", [("kidney_left", "kidney_right"), ("a", "b")])
def test_no_file_of_a_bundle_mirrors_what_has_a_side(names, tmp_path):
    proposal = propose(write_kidneys(tmp_path / "data", names), "kidneys")
    assert not proposal.mirror, "told by the names, or measured"
    assert any(choice.subject == "mirroring" and choice.value == "off" for choice in proposal.choices)
    write_bundle(proposal, tmp_path / "bundle")
    files = sorted((tmp_path / "bundle" / "configs").rglob("*.json"))
    assert {"train.json", "inference.json", "paper.json", "volume3d.json"} <= {file.name for file in files}
    assert {file.name: flips_in(json.loads(file.read_text(encoding="utf-8"))) for file in files} == {
        file.name: [] for file in files
    }


def test_classes_in_one_half_are_told_in_good_english():
    plane = np.zeros((4, 8), np.uint8)
    plane[:, 1] = 1
    (one, two) = ("background", "spleen"), ("background", "spleen", "stomach")
    assert "spleen lies in the same half" in propose_mirroring(one, [plane] * 5, "axial")[1].why
    planes = [plane, np.where(plane, 2, 0)] * 5
    assert "spleen, stomach lie, each, in the same half" in propose_mirroring(two, planes, "axial")[1].why


def test_what_has_no_side_is_mirrored_as_in_the_template(proposals):
    assert all(proposal.mirror for proposal in proposals.values())


@pytest.mark.slow
def test_two_organs_of_one_look_are_told_apart_by_their_side(tmp_path):
    bundle = tmp_path / "bundle"
    write_bundle(propose(write_kidneys(tmp_path / "data", ("kidney_left", "kidney_right")), "kidneys"), bundle)
    for kind, more in (("train", {"max_iterations": 250, "save_interval": 1000}), ("evaluate", {"tta": True})):
        flow = workflow(
            bundle, kind, method="supervised" if kind == "train" else None, output_dir=str(tmp_path / "out"), **more
        )
        flow.initialize()
        flow.run()
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert min(metrics["classes"][name]["iou"] for name in ("kidney_left", "kidney_right")) > 0.9
