"""The intensity rule follows the file type or the user's wish; unlikely inputs are warned about."""

from dataclasses import replace

import numpy as np
import pytest

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers import choose_intensity, suitability_warnings
from tests.inferers.tiny import RULE

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
            "values run from 0 to 250, none below 0: this does not look like HU",
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
