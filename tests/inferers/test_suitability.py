"""The intensity rule follows the file type or the user's wish; unlikely inputs are warned about."""

import json
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers import SliceVolumeInferer, choose_intensity, predict_cases, suitability_warnings
from monai_supmix.transforms import clean
from monai_supmix.transforms.intensity import intensity_rule
from tests.inferers.tiny import RULE, scan, tiny_network

PICTURE_RULE = {"rule": "percentile_scale"}
BOTH = {"intensity": {"hu": RULE, "picture": PICTURE_RULE}}
CT = CaseImage.from_array(np.linspace(-1000, 1500, 60).astype(np.int16).reshape(3, 4, 5), np.eye(4))
PICTURE = CaseImage.from_array(np.arange(60, dtype=np.uint8).reshape(1, 6, 10))


@pytest.mark.parametrize(
    ("image", "wanted", "name"),
    [(CT, None, "hu"), (PICTURE, None, "picture"), (CT, "picture", "picture"), (PICTURE, "hu", "hu")],
)
def test_choice(image, wanted, name):
    chosen, rule = choose_intensity(BOTH, image, wanted)
    assert chosen == name and rule.to_dict()["rule"] == BOTH["intensity"][name]["rule"]


@pytest.mark.parametrize(
    ("rules", "image", "wanted", "problem"),
    [
        (
            {"picture": PICTURE_RULE},
            CT,
            None,
            "is a volume, read as 'hu', but the weights carry 'picture': set intensity",
        ),
        ({"hu": RULE}, PICTURE, None, "is a picture, read as 'picture', but the weights carry 'hu'"),
        ({"hu": RULE, "picture": None}, PICTURE, "picture", "read as 'picture'"),
        ({}, CT, None, "carry no rule: use other weights"),
        ({"hu": RULE}, CT, "HU", "is 'HU': use 'hu' or 'picture'"),
    ],
)
def test_no_rule_is_an_error(rules, image, wanted, problem):
    with pytest.raises(InputError, match=problem):
        choose_intensity({"intensity": rules}, image, wanted)


def test_nothing_to_warn_about():
    record = {"trained_on": {"spacing": [0.9, 1.1], "size": [3, 4], "field_of_view": [3, 4]}}
    assert suitability_warnings(CT, record, "hu") == []
    assert suitability_warnings(CT, {"trained_on": {"spacing": None}}, "hu") == []
    assert suitability_warnings(PICTURE, {}, "picture") == []


@pytest.mark.parametrize(
    ("change", "rule", "warning"),
    [
        (
            {"slope": 0.1, "inter": 100.0},
            "hu",
            "values run from 0 to 250, none below -200: this does not look like HU",
        ),
        (
            {"array": np.arange(-40, 5960, 100, np.int16).reshape(3, 4, 5)},
            "hu",
            "none below -200: this does not look like HU",
        ),
        ({"slope": 0.01}, "hu", "does not look like HU"),
        ({"slope": 20.0}, "hu", "does not look like HU"),
        ({"array": np.full((3, 4, 5), -1000, np.int16)}, "hu", "all values are -1000: the image is blank"),
        ({}, "picture", "looks like HU, but is read as a picture"),
    ],
)
def test_values(change, rule, warning):
    (found,) = suitability_warnings(replace(CT, **change), {}, rule)
    assert warning in found


def test_sizes():
    affine = np.diag([3.0, 2.0, 5.0, 1.0])
    image = CaseImage.from_array(CT.array, affine)
    record = {"trained_on": {"spacing": [0.5, 1], "field_of_view": [200, 400], "size": [256, 512]}}
    assert suitability_warnings(image, record, "hu") == [
        "planes of 4 x 3 pixels, the network was trained on 256 to 512: "
        "look at the mask with care, or give images of such sizes",
        "pixels of 2 x 3 mm, the network was trained on 0.5 to 1: "
        "look at the mask with care, or train on such images too",
        "planes of 8 x 9 mm, the network was trained on 200 to 400: "
        "look at the mask with care, or crop to what the training images show",
    ]
    coronal = suitability_warnings(image, {"trained_on": {"spacing": [3, 5]}}, "hu", "coronal")
    assert coronal == []
    assert len(suitability_warnings(image, {"trained_on": {"spacing": [3, 5]}}, "hu", "axial")) == 1
    large = CaseImage.from_array(np.zeros((1, 524, 1360), np.uint8))
    (found,) = suitability_warnings(large, {"trained_on": {"size": [4, 1024.4]}}, "picture")[1:]
    assert found.startswith("planes of 524 x 1360 pixels, the network was trained on 4 to 1024:")
    (found,) = suitability_warnings(PICTURE, record, "picture")
    assert found.startswith("planes of 6 x 10 pixels")


@pytest.mark.parametrize(
    ("sizes", "told"),
    [((30, 10), ["25 % of what was found of a was taken away"]), ((31, 9), []), ((40,), [])],
)
def test_much_taken_away_by_cleaning_is_told(tmp_path, sizes, told):
    """Rows of bright voxels in planes apart from one another: all but the longest are taken away."""
    values = np.full((40, 3, 8), -900, np.int16)
    for number, size in enumerate(sizes):
        values[:size, 1, 1 + 3 * number] = 900
    nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / "scan.nii.gz")
    record = {"intensity": {"hu": RULE}, "class_names": ["background", "a", "b"], "trained_on": {}}
    inferer = SliceVolumeInferer(divisor=1, amp=False, cleaning=[{"classes": [1, 2]}])
    predict_cases(tmp_path / "scan.nii.gz", tmp_path / "out", bright_is_first(), record, inferer)
    mask = np.asarray(nib.load(tmp_path / "out" / "scan_seg.nii.gz").dataobj)
    assert (mask == 1).sum() == max(sizes) and mask.max() == 1
    warnings = json.loads((tmp_path / "out" / "scan_seg.json").read_text(encoding="utf-8"))["warnings"]
    found = [warning for warning in warnings if "cleaning" in warning]
    assert len(found) == len(told) and all(part in warning for part, warning in zip(told, found, strict=True))


def test_labels_before_cleaning_are_those_without_it():
    volume, rule = CaseImage.from_array(scan(), np.eye(4)), intensity_rule(RULE)
    uncleaned = np.zeros(volume.label_shape, np.uint8)
    rules = [{"classes": [1]}, {"classes": [2], "touching": 1}]
    cleaned = SliceVolumeInferer(divisor=1, cleaning=rules)(volume, tiny_network(), rule, uncleaned=uncleaned)
    assert np.array_equal(uncleaned, SliceVolumeInferer(divisor=1)(volume, tiny_network(), rule))
    assert np.array_equal(cleaned, clean(uncleaned, rules)) and not np.array_equal(cleaned, uncleaned)


def bright_is_first():
    """A network of three classes: the first foreground class is what is brighter than the middle of the range."""
    network = nn.Conv2d(1, 3, 1)
    with torch.no_grad():
        network.weight[:, 0, 0, 0] = torch.tensor([0.0, 20.0, 0.0])
        network.bias[:] = torch.tensor([0.0, -10.0, -10.0])
    return network
