"""Settings that are read off the images."""

import json
import math

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.own_data import BrokenCasesError, propose
from monai_supmix.own_data.dimensions import propose_dimensions
from monai_supmix.own_data.facts import View, has_dark_surround
from monai_supmix.own_data.grid import grid_of_side, kept_dice, memory_needed, propose_crop, propose_grid
from monai_supmix.own_data.intensity import rule_for_volumes
from tests.own_data.folders import write_pair


def why(proposal, subject):
    (choice,) = (choice for choice in proposal.choices if choice.subject == subject)
    return choice


def test_each_kind_gets_the_template_and_rule_that_suit_it(proposals):
    volumes, grey, colour = (proposals[kind] for kind in ("volumes", "grey", "colour"))
    assert volumes.template == grey.template and volumes.template.name == "covid19_ct_supmix"
    assert colour.template.name == "chase_supmix"
    assert (volumes.channels, grey.channels, colour.channels) == (1, 1, 3)
    assert set(volumes.intensity_settings) == {"hu"} and set(grey.intensity_settings) == {"picture"}
    assert colour.intensity_settings == {"picture": {"rule": "field_of_view_scale"}}
    assert volumes.intensity_settings["hu"]["low"] == -1250, "ground glass lies in the lung window"
    assert volumes.working == {"spacing": [5.0, 5.0]}
    assert volumes.grid_3d.working == {"spacing": [20.0, 5.0, 5.0]}, "planes, rows, columns"
    assert grey.grid_3d is colour.grid_3d is None
    assert grey.working == colour.working == {}, "pictures this small stay as they are"


def test_labelled_images_join_a_pool_that_is_smaller_than_they_are(proposals):
    assert proposals["volumes"].unlabeled_pool == "rest"
    colour = proposals["colour"]
    assert len(colour.datalist.unlabeled) == 2 and len(colour.datalist.labeled) == 4
    assert colour.unlabeled_pool == "all"
    assert not any("only supervised" in warning for warning in colour.warnings)
    batch = json.loads((colour.template / "configs" / "train.json").read_text(encoding="utf-8"))["unlabeled_batch_size"]
    assert colour.max_epochs == 1200 / math.ceil(6 / batch)


def test_a_class_that_no_labelled_image_shows_is_told(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        write_pair(tmp_path / "data", name, rng.integers(0, 255, (40, 40)), np.eye(40))
    proposal = propose(tmp_path / "data", "x", class_names=["none", "line", "never"])
    assert proposal.warnings[0].startswith("no labelled image shows never: it cannot be learnt")
    with pytest.raises(InputError, match="no labelled training image shows any of"):
        for name in "abcd":
            write_pair(tmp_path / "data", name, rng.integers(0, 255, (40, 40)), np.zeros((40, 40)))
        propose(tmp_path / "data", "x", class_names=["none", "line", "never"])


def test_all_broken_cases_are_told_at_once(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abcd":
        write_pair(tmp_path, name, rng.integers(0, 255, (8, 8)), np.eye(8))
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "labels" / "b.png")
    (tmp_path / "images" / "c.png").write_bytes(b"")
    (tmp_path / "images" / "d.png").write_bytes((tmp_path / "images" / "a.png").read_bytes())
    with pytest.raises(BrokenCasesError, match="the first of 3 problems") as caught:
        propose(tmp_path, "x")
    assert {problem.case for problem in caught.value.problems} <= set("abcd")


def test_kinds_and_channels_are_not_mixed(tmp_path):
    rng = np.random.default_rng(0)
    for name in "abc":
        write_pair(tmp_path, name, rng.integers(0, 255, (8, 8)), np.eye(8))
    write_pair(tmp_path, "c", rng.integers(0, 255, (8, 8, 3)))
    with pytest.raises(InputError, match=r"images of 1 channel.*: save all in grey or all in colour"):
        propose(tmp_path, "x")
    (tmp_path / "images" / "c.png").unlink()
    for kind in ("images", "labels"):
        volume = rng.integers(0, 2, (8, 8, 2)).astype(np.int16)
        nib.save(nib.Nifti1Image(volume, np.eye(4)), tmp_path / kind / "d.nii.gz")
    (tmp_path / "labels" / "c.png").unlink()
    with pytest.raises(InputError, match="holds 2 pictures and 1 volume: keep one kind"):
        propose(tmp_path, "x")


def test_volumes_without_hounsfield_units_and_with_thick_sagittal_slices(tmp_path):
    rng = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
    for name in "abc":
        values = rng.integers(0, 900, (5, 40, 48)).astype(np.int16)
        for kind, array in (("images", values), ("labels", (values > 800).astype(np.int16))):
            nib.save(nib.Nifti1Image(array, np.diag([4.0, 1.0, 1.0, 1.0])), tmp_path / kind / f"{name}.nii.gz")
    proposal = propose(tmp_path, "x")
    assert (proposal.intensity, proposal.axis) == ("picture", "sagittal")
    assert set(proposal.intensity_settings) == {"picture"}
    assert proposal.working == {"spacing": [1.0, 1.0]}
    assert proposal.crop_size == [32, 32]
    assert "48 pixels high and 40 wide" in why(proposal, "working grid").value, "rows run from head to feet"
    assert propose(tmp_path, "x", intensity="hu").intensity_settings["hu"]["rule"] == "hu_window"


def test_windows_hold_the_foreground():
    names = ["background", "organ"]
    for first, last, low, high in (
        (0, 120, -160, 240),
        (-900, 60, -1250, 250),
        (-300, 900, -500, 1300),
        (-1120, 780, -1024, 780),  # in parts of the lung and in bone: as far as scanners go down
        (1940, 2060, -210, 2170),  # with the soft tissue around it
        (396, 612, -500, 1300),
        (-140, 270, -140, 270),  # the lung's window would leave it few greys
    ):
        values = {0: np.array([-1000.0]), 1: np.linspace(first, last, 100)}
        rule = rule_for_volumes([-1024.0], values, names)
        assert rule.settings == {"hu": {"rule": "hu_window", "low": low, "high": high}}
    assert rule_for_volumes([-200.0], values, names).intensity == "picture"
    assert rule_for_volumes([-200.0], values, names, channel="CT").intensity is None


def disc(share):
    """A colour picture of a lit disc that a camera cropped until it fills this share."""
    rows, columns = np.indices((80, 80)) - 39.5
    lit = (rows**2 + columns**2) <= np.quantile(rows**2 + columns**2, share)
    return (np.array([180, 110, 60])[:, None, None] * lit).astype(np.uint8)


@pytest.mark.parametrize(("share", "is_fundus"), [(0.1, False), (0.5, True), (0.79, True), (0.96, True), (1.0, False)])
def test_a_disc_with_dark_corners_is_a_fundus_picture_however_tight_it_was_cropped(share, is_fundus):
    assert has_dark_surround(CaseImage.from_array(disc(share))) == is_fundus
    assert has_dark_surround(CaseImage.from_array(disc(share).astype(np.uint16) * 257)) == is_fundus


def test_most_pictures_decide_and_the_user_before_them(tmp_path):
    for number, share in enumerate((0.79, 0.96, 0.9, 1.0)):
        picture = np.moveaxis(disc(share), 0, -1) + np.uint8(number)
        write_pair(tmp_path / "data", f"eye{number}", picture, np.eye(80))
    rules = {wanted: propose(tmp_path / "data", "x", intensity=wanted) for wanted in (None, "picture", "field_of_view")}
    names = {wanted: rule.intensity_settings["picture"]["rule"] for wanted, rule in rules.items()}
    assert names == {None: "field_of_view_scale", "picture": "percentile_scale", "field_of_view": "field_of_view_scale"}
    assert "3 of 4" in why(rules[None], "intensity").why
    for number in range(2):
        (tmp_path / "data" / "images" / f"eye{number}.png").unlink()
        (tmp_path / "data" / "labels" / f"eye{number}.png").unlink()
    assert propose(tmp_path / "data", "x").intensity_settings["picture"]["rule"] == "percentile_scale"


@pytest.mark.parametrize(
    ("views", "has_gpu", "preset", "says"),
    [
        ([View(80, (9, 9), (1.0, 1.0), 1.0)], True, "volume3d", "structures go on"),
        ([View(80, (9, 9), (1.0, 1.0), 1.0)], False, None, "takes long without a GPU"),
        ([View(80, (9, 9), (0.7, 0.7), 5.0)], True, None, "planes lie 5 mm apart, 7.1 times"),
        ([View(80, (64, 12), (2.0, 8.0), 2.0)], True, None, "planes lie 8 mm apart, 4 times"),  # sagittal ones
        ([View(9, (9, 9), (1.0, 1.0), 1.0)], True, None, "volumes have 9 planes"),
        (None, True, None, "not all volumes have axial planes"),
    ],
)
def test_2d_or_3d_is_proposed_with_a_reason(views, has_gpu, preset, says):
    proposed, choice = propose_dimensions(views, has_gpu)
    assert proposed == preset and says in choice.why and choice.value.startswith("3D" if preset else "2D")


def test_fine_structures_ask_for_a_finer_grid():
    views = [View(1, (1000, 800))]
    blob, line = np.zeros((2, 1000, 800), np.uint8)
    blob[300:700, 200:600] = 1
    line[:] = np.arange(800) % 40 < 14
    coarse, fine = (propose_grid(views, [(label, None)], 2)[0]["scale"] for label in (blob, line))
    assert coarse == 0.256 < fine < 1
    assert kept_dice([(line, None)], {"scale": fine}, 2) >= 0.97 > kept_dice([(line, None)], {"scale": coarse}, 2)


def test_grids_of_volumes_and_of_pictures_of_many_sizes():
    assert grid_of_side([View(9, (512, 512), (0.5, 0.5)), View(9, (512, 512), (1.0, 1.0))], 192) == {
        "spacing": [2.0, 2.0]
    }
    assert grid_of_side([View(9, (100, 100), (3.0, 3.0))], 192) == {"spacing": [3.0, 3.0]}, "never enlarged"
    assert grid_of_side([View(1, (100, 90))], 192) == {}
    assert propose_crop([View(1, (20, 20))], {}, 160)[0] == [32, 32]
    assert propose_crop([View(1, (700, 700))], {"scale": 0.5}, 160)[0] == [160, 160]
    assert memory_needed([View(1000, (1000, 1000))], {"scale": 0.5}, 3) == pytest.approx(1.75)


def test_pictures_of_many_sizes_lose_nothing_to_a_round_number_and_the_reason_says_that_they_are_stretched():
    views = [View(1, shape) for shape in ((82, 122), (126, 85), (105, 104))]
    label = np.zeros((82, 122), np.uint8)
    label[20:60, 20:60] = 1
    working, choice = propose_grid(views, [(label, None)], 2)
    assert working == {"size": [128, 128]}, "as fine as a usual picture, or finer"
    assert choice.why.startswith("as fine as a usual image")
    assert "pictures of many sizes are brought to this one, their sides to 102 % to 156 % of what they" in choice.why


def test_a_grid_that_loses_labels_says_so_however_fine_it_is():
    line = np.zeros((400, 400), np.uint8)
    line[:, 200] = 1
    views = [View(1, (100, 100)), View(1, (90, 400)), View(1, (100, 100))]
    why = propose_grid(views, [(line, None)], 2)[1].why
    assert "Dice of 0." in why and "only, as fine as a usual image; pictures of many sizes" in why
