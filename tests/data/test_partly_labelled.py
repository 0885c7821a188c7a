"""Loading tells which classes were labelled, and where pixels are ignored, for planes and for volumes."""

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_supmix.data import LoadPlanes, LoadVolume, RandPlane, RandVolumeCrop
from monai_supmix.errors import InputError
from monai_supmix.transforms import PercentileScale


@pytest.fixture
def item(tmp_path):
    """A volume of which one plane shows class 1, and two planes have pixels to ignore (3)."""
    label = np.zeros((8, 8, 6), np.uint8)
    label[2:4, 2:4, 1] = 1
    label[:, :, 3:5] = 3
    image = np.arange(label.size, dtype=np.int16).reshape(label.shape)
    for name, values in (("image", image), ("label", label)):
        nib.save(nib.Nifti1Image(values, np.eye(4)), tmp_path / f"{name}.nii.gz")
    paths = {name: str(tmp_path / f"{name}.nii.gz") for name in ("image", "label")}
    return {**paths, "case": "a", "ignored": 3, "labelled_classes": [1]}


@pytest.mark.parametrize(
    ("load", "draw"),
    [(LoadPlanes, RandPlane(foreground_prob=1.0)), (LoadVolume, RandVolumeCrop((1, 4, 4), foreground_prob=1.0))],
)
def test_a_sample_tells_what_was_labelled_and_is_drawn_around_classes(item, load, draw):
    loaded = load(lambda image: PercentileScale(), num_classes=3)(item)
    assert loaded["label"].unique().tolist() == [0, 1, 255]
    for seed in range(5):
        sample = draw.set_random_state(seed=seed)(loaded)
        assert sample["labelled_classes"].tolist() == [False, True, False]
        assert sample["labelled_classes"].dtype == torch.bool
        assert 1 in sample["label"]
    whole = {key: value for key, value in item.items() if key != "labelled_classes"}
    loaded = load(lambda image: PercentileScale(), num_classes=3)(whole)
    assert draw.set_random_state(seed=0)(loaded)["labelled_classes"].all()


def test_names_in_the_place_of_numbers_are_refused(item):
    with pytest.raises(InputError, match=r"a has labelled_classes=\['disc'\]: list numbers"):
        LoadPlanes(lambda image: PercentileScale(), num_classes=3)({**item, "labelled_classes": ["disc"]})
