"""How sure a network is of each class: the mean of its probabilities inside the mask that is written."""

import csv
import json

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers import SliceVolumeInferer, VolumeInferer, collect, predict_cases
from monai_supmix.inferers.confidence import predict_with_confidence
from monai_supmix.metrics import Calibration
from monai_supmix.transforms.intensity import intensity_rule
from tests.imageio.test_planes import place, rotation
from tests.inferers.tiny import RULE, scan, tiny_network

HU = intensity_rule(RULE)
KEPT = [{"classes": [1, 2]}]  # the largest piece of the foreground
RECORD = {"intensity": {"hu": RULE}, "class_names": ["background", "a", "b"], "trained_on": {}}


@pytest.mark.parametrize(
    ("inferer", "dims"),
    [
        (SliceVolumeInferer(amp=False, divisor=1), 2),
        (SliceVolumeInferer(amp=False, divisor=1, axis="coronal", flips=True, working={"scale": 0.5}), 2),
        (SliceVolumeInferer(amp=False, divisor=1, cleaning=KEPT, working={"center": [6, 8]}), 2),
        (VolumeInferer((4, 6, 6), amp=False, cleaning=KEPT), 3),
    ],
    ids=["planes", "coronal and flips", "cleaned", "windows"],
)
def test_it_is_the_mean_probability_inside_the_mask(inferer, dims):
    network = tiny_network(dims=dims)
    volume = CaseImage.from_array(scan(), place(rotation(12, -20, 8)))
    maps = np.zeros((3, *volume.label_shape))
    expected = inferer(volume, network, HU, maps)
    mask, sure = predict_with_confidence(inferer, volume, network, HU, num_classes=4)
    assert np.array_equal(mask, expected)
    assert sure[0] is None and sure[3] is None, "background, and a class that is not there"
    assert sure[1:3] == [pytest.approx(maps[k][mask == k].mean(), abs=0.003) for k in (1, 2)]
    assert 0.4 < min(sure[1:3]) < max(sure[1:3]) < 1


def test_an_inferer_of_ones_own_need_not_tell_it(tmp_path):
    class Own(SliceVolumeInferer):
        def __call__(self, image, network, intensity, probabilities=None):
            return super().__call__(image, network, intensity, probabilities)

    nib.save(nib.Nifti1Image(scan(), np.eye(4)), tmp_path / "scan.nii.gz")
    predict_cases(tmp_path / "scan.nii.gz", tmp_path / "out", tiny_network(), RECORD, Own(divisor=1))
    assert json.loads((tmp_path / "out" / "scan_seg.json").read_text(encoding="utf-8"))["confidence"] is None


def test_records_and_tables_say_whom_to_look_at_first(tmp_path):
    for number in range(12):  # nearer to a constant the further on, so that the network tells less and less apart
        nib.save(nib.Nifti1Image(scan(seed=number) // (number + 1), np.eye(4)), tmp_path / f"scan_{number}.nii.gz")
    out = tmp_path / "out"
    predict_cases(tmp_path, out, tiny_network(), RECORD, SliceVolumeInferer(divisor=1), keep_record=True)
    told = {path.name.removesuffix("_seg.json"): json.loads(path.read_text(encoding="utf-8"))["confidence"]
            for path in out.glob("*_seg.json")}  # fmt: skip
    assert len(told) == 12 and set(told["scan_0"]) == {"a", "b"}
    lowest = {f"{case}.nii.gz": min(v for v in of_case.values() if v is not None) for case, of_case in told.items()}
    for _ in range(2):  # the second time from what lies beside the masks
        summary = collect(out)
        first = [(row["case"], row["confidence"]) for row in summary["look_first"]]
        assert [value for _, value in first] == sorted(lowest.values())[:10]
        assert all(lowest[case] == value for case, value in first)
        with (out / "cases.csv").open(encoding="utf-8") as file:
            rows = {row["case"]: row for row in csv.DictReader(file)}
        assert {case: float(row["confidence"]) for case, row in rows.items()} == lowest
        assert all(told[case.removesuffix(".nii.gz")][row["least_sure"]] == lowest[case] for case, row in rows.items())
        (out / ".cohort" / "collected.json").unlink()
        predict_cases(tmp_path, out, tiny_network(), RECORD, SliceVolumeInferer(divisor=1), keep_record=True)


def test_a_calibration_predicts_dice_and_flags_masks(tmp_path):
    for number in range(4):
        nib.save(nib.Nifti1Image(scan(seed=number) // (3 * number + 1), np.eye(4)), tmp_path / f"scan_{number}.nii.gz")
    inferer = SliceVolumeInferer(divisor=1)
    line = Calibration(slope=1.0, intercept=0.0, margin=0.05, values=20, inference=inferer.settings)

    def run(out, inferer, quality):
        more = {"keep_record": True, "quality": quality}
        predict_cases(tmp_path / "scan_*.nii.gz", tmp_path / out, tiny_network(), RECORD, inferer, **more)
        records = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((tmp_path / out).glob("*_seg.json"))]
        return records, collect(tmp_path / out)

    records, summary = run("out", inferer, line)
    with (tmp_path / "out" / "cases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for record, row in zip(records, rows, strict=True):
        assert record["predicted"].keys() == record["confidence"].keys()
        lowest = min(record["confidence"].values())
        assert record["predicted"][row["least_sure"]] == line.predict(lowest)
        assert (float(row["predicted_dice"]), row["look"]) == (lowest, str(lowest < 0.7))
    assert summary["flagged"] == sum(row["look"] == "True" for row in rows)
    assert summary["look_first"][0]["predicted_dice"] == min(float(row["predicted_dice"]) for row in rows)

    records, summary = run("flips", SliceVolumeInferer(divisor=1, flips=True), line)
    assert "learnt with other settings (flips)" in records[0]["notes"][-1]
    assert "predicted" not in records[0] and summary["flagged"] is None
    assert run("none", inferer, None)[1]["flagged"] is None
