"""Grey pictures saved in colour are read as grey wherever one channel is wanted, and nowhere else."""

import numpy as np
import pytest
import torch
from PIL import Image

from monai_supmix.data import LoadPlanes
from monai_supmix.datalists.check import usable_cases
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.errors import InputError
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.reading import read_image
from monai_supmix.own_data.proposal import propose
from monai_supmix.transforms.intensity import PercentileScale

GREY = np.random.default_rng(0).integers(0, 256, (40, 40)).astype(np.uint8)


def write(folder, count=5, colourful=()):
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    for index in range(count):
        grey = np.roll(GREY, index, axis=0)
        grey[:4], grey[-4:], grey[:, :4], grey[:, -4:] = 0, 0, 0, 0  # dark around, as fundus pictures are
        colour = np.stack([grey] * 3, -1)
        if index in colourful:
            colour[20, 20] = (1, 2, 3)
        Image.fromarray(colour).save(folder / "images" / f"c{index}.png")
        Image.fromarray((grey > 128).astype(np.uint8)).save(folder / "labels" / f"c{index}.png")
    return folder


@pytest.mark.parametrize(("colourful", "template"), [((), "covid19_ct_supmix"), ((0, 1, 2, 3, 4), "chase_supmix")])
def test_a_proposal_for_grey_in_colour_is_one_for_grey(tmp_path, colourful, template):
    found = propose(write(tmp_path / "data", colourful=colourful), "x")
    assert found.template.name == template and found.channels == (3 if colourful else 1)
    told = "5 are saved in colour with three equal channels and read as grey"
    assert any(told in choice.why for choice in found.choices) == (not colourful)
    assert ("field_of_view_scale" in str(found.intensity_settings)) == bool(colourful)


def test_one_picture_in_colour_makes_a_data_set_of_colour(tmp_path):
    assert propose(write(tmp_path / "data", colourful=(2,)), "x").channels == 3


def test_training_reads_grey_with_a_note(tmp_path):
    write(tmp_path)
    items = [
        {"image": str(tmp_path / f"images/c{i}.png"), "label": str(tmp_path / f"labels/c{i}.png")} for i in range(3)
    ]
    items = [{**item, "case": str(i), "group": str(i)} for i, item in enumerate(items)]
    bare = [{key: value for key, value in items[1].items() if key != "label"}]
    datalist = Datalist(items[:1], bare, [], items[2:], ["background", "lesion"])
    usable, _ = usable_cases(datalist, 2, channels=1)
    assert "3 pictures are saved in colour with three equal channels: read as grey" in usable.notes
    load = LoadPlanes(lambda image: PercentileScale(), 2)
    for item in (*usable.labeled, *usable.unlabeled, *usable.test):
        assert load(item)["image"].shape == torch.Size([1, 1, 40, 40])
    assert usable_cases(datalist, 2, channels=3)[0] == datalist  # a network for colour reads colour


def test_colour_stays_refused_where_grey_is_wanted(tmp_path):
    write(tmp_path, count=1, colourful=(0,))
    image = read_image(tmp_path / "images/c0.png")
    assert fit_channels(image, 1) is image
    item = {"image": str(image.path), "case": "0", "group": "0", "label": str(tmp_path / "labels/c0.png")}
    with pytest.raises(InputError, match="3 channels and the network takes 1"):
        usable_cases(Datalist([item], [], [], [], ["background", "lesion"]), 2, channels=1)
