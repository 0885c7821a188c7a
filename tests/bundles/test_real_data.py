"""The shipped weights on the real data, through the bundles' own configurations."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from monai_supmix.datalists.seen import image_digests, seen_note
from monai_supmix.weights import read_weights
from tests.bundles.workflows import BUNDLES, DATA, run, workflow
from tests.imageio.dicom_series import write_series

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(DATA is None, reason="SUPMIX_DATA names no data folder"),
]


def test_a_chest_ct_as_nifti_turned_and_as_dicom_gets_one_mask(tmp_path):
    source = nib.load(Path(DATA) / "chest_ct_nifti" / "images" / "chest_ct_cropped.nii.gz")
    inputs, masks = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    nib.save(source, inputs / "plain.nii.gz")
    turn = ornt_transform(io_orientation(source.affine), axcodes2ornt("SAR"))
    nib.save(source.as_reoriented(turn), inputs / "turned.nii.gz")
    values = np.asarray(source.dataobj).astype(np.int32)
    write_series(inputs / "series", (values + 2000).astype(np.uint16), source.affine, inter=-2000)
    run("covid19_ct_supmix", "inference", dataset_dir=str(inputs), output_dir=str(masks), device="cpu")
    plain = nib.load(masks / "plain_seg.nii.gz")
    assert np.array_equal(plain.affine, source.affine)
    for field in ("dim", "pixdim", "qform_code", "sform_code", "xyzt_units", "srow_x", "srow_y", "srow_z"):
        assert np.array_equal(plain.header[field], source.header[field]), field
    expected = np.asarray(plain.dataobj)
    assert expected.any() and plain.get_data_dtype() == np.uint8
    turned = nib.load(masks / "turned_seg.nii.gz")
    assert np.array_equal(plain.as_reoriented(turn).dataobj, turned.dataobj)
    series = nib.load(masks / "series_seg.nii.gz")
    back = ornt_transform(io_orientation(series.affine), io_orientation(source.affine))
    assert np.array_equal(series.as_reoriented(back).dataobj, expected)


@pytest.mark.parametrize(
    ("bundle", "folder", "least"),
    [
        ("chase_supmix", "CHASE_DB1", {"vessel": 0.65}),
        ("covid19_ct_supmix", "COVID_MedSeg98", {"ground_glass": 0.45, "consolidation": 0.36}),
        ("acdc_supmix", "ACDC_SSL", {"right_ventricle": 0.75, "myocardium": 0.67, "left_ventricle": 0.85}),
    ],
)
def test_shipped_weights_reach_the_figures_of_their_card(bundle, folder, least, tmp_path):
    run(bundle, "evaluate", dataset_dir=str(Path(DATA) / folder), output_dir=str(tmp_path), tta=True, device="cpu")
    metrics = json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    assert least
    for name, bound in least.items():
        assert metrics["classes"][name]["iou"] >= bound
    if bundle == "covid19_ct_supmix":
        assert metrics["classes"]["pleural_effusion"] is None
        assert any("patients are unknown" in note for note in metrics["notes"])


LEARNT = {
    "chase_supmix": ("CHASE_DB1", 20),
    "covid19_ct_supmix": ("COVID_MedSeg98", 50),
    "acdc_supmix": ("ACDC_SSL", 69),
}


@pytest.mark.parametrize("bundle", LEARNT)
def test_the_shipped_weights_know_what_they_have_learnt_and_no_test_image_is_of_it(bundle):
    folder, count = LEARNT[bundle]
    options = {"dataset_dir": str(Path(DATA) / folder), "output_dir": "O", "num_labeled": count}
    datalist = workflow(bundle, "train", **options).parser.get_parsed_content("datalist")
    record = read_weights(BUNDLES / bundle / "models" / "model.safetensors").record
    assert record["labelled_images"] == image_digests(datalist.labeled)
    assert seen_note(datalist.test, record["labelled_images"]) == []
    assert (
        f"{len(datalist.labeled)} of {len(datalist.labeled)} were"
        in seen_note(datalist.labeled, record["labelled_images"])[0]
    )
