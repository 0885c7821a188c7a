"""Volumes for 3D networks: the view of the planes, the working grid, and random boxes that can be replayed."""

import nibabel as nib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform

from monai_supmix.data import LoadPlanes, LoadVolume, RandVolumeCrop
from monai_supmix.data.streams import KeyedDataset
from monai_supmix.data.working_grid import resize_across, resize_planes, working_shape, working_volume_shape
from monai_supmix.errors import InputError
from monai_supmix.transforms.intensity import intensity_rule
from tests.imageio.test_planes import place, rotation

HU = {"rule": "hu_window", "low": -1000.0, "high": 1000.0}
OBLIQUE = place(rotation(12, -20, 8))


def resize(volume, shape):
    """As volumes are resized in loading: within planes, then across."""
    planes = resize_planes(volume.movedim(1, 0), shape[1:])
    return resize_across(planes.movedim(0, 1), shape[0])


def test_enlarging_is_trilinear_and_labels_take_the_nearest():
    torch.manual_seed(0)
    volume = torch.rand(2, 5, 6, 7)
    expected = F.interpolate(volume[None], (9, 13, 7), mode="trilinear", align_corners=False)[0]
    assert torch.allclose(resize(volume, (9, 13, 7)), expected, atol=1e-6)
    label = torch.randint(0, 4, (1, 5, 6, 7), dtype=torch.uint8)
    for shape in ((9, 13, 7), (3, 2, 20)):
        nearest = F.interpolate(label[None].float(), shape, mode="nearest-exact")[0]
        assert torch.equal(resize(label, shape), nearest.byte())
    assert torch.equal(resize(volume, (5, 6, 7)), volume)


def test_shrinking_smooths_along_all_axes():
    checkers = torch.from_numpy(np.indices((12, 12, 12)).sum(0) % 2).float()[None]
    small = resize(checkers, (4, 4, 4))
    assert (small[:, 1:-1, 1:-1, 1:-1] - 0.5).abs().max() < 0.05
    alternating = torch.arange(12).remainder(2).float().view(1, 12, 1, 1).expand(1, 12, 4, 4)
    assert (resize_across(alternating, 3)[:, 1] - 0.5).abs().max() < 0.1  # picking planes would give 0 or 1


@pytest.mark.parametrize(
    ("working", "shape"),
    [
        ({}, (16, 100, 80)),
        ({"scale": 0.5}, (8, 50, 40)),
        ({"size": [4, 5, 6]}, (4, 5, 6)),
        ({"spacing": [4.0, 2.0, 1.0]}, (32, 50, 80)),
    ],
)
def test_shapes_of_the_working_grid(working, shape):
    assert working_volume_shape((16, 100, 80), (8.0, 1.0, 1.0), working) == shape


@pytest.mark.parametrize("loader", [LoadPlanes, LoadVolume])
def test_more_classes_than_a_byte_tells_apart_from_ignored_pixels_are_refused(loader):
    loader(lambda image: intensity_rule(HU), num_classes=255)
    with pytest.raises(InputError, match=r"num_classes: is 256, .*: use at most 255 classes"):
        loader(lambda image: intensity_rule(HU), num_classes=256)


def test_a_grid_of_another_number_of_sides_is_refused():
    with pytest.raises(InputError, match=r"working: has a size of 2 sides.*3 dimensions: give 3 sides"):
        working_volume_shape((4, 4, 4), (1.0, 1.0, 1.0), {"size": [8, 8]})
    with pytest.raises(InputError, match=r"spacing of 3 sides.*2 dimensions: give 2 sides"):
        working_shape((4, 4), (1.0, 1.0), {"spacing": [1.0, 1.0, 1.0]})
    with pytest.raises(InputError, match="has size, scale"):
        working_volume_shape((4, 4, 4), None, {"size": [8, 8, 8], "scale": 2})


@pytest.fixture
def item(tmp_path):
    """A volume with a label, both stored in an unusual order."""
    random = np.random.default_rng(0)
    arrays = {
        "image": random.integers(-900, 900, (12, 10, 7)).astype(np.int16),
        "label": random.integers(0, 3, (12, 10, 7)).astype(np.int16),
    }
    turn = ornt_transform(io_orientation(OBLIQUE), axcodes2ornt("SAR"))
    for name, array in arrays.items():
        nib.save(nib.Nifti1Image(array, OBLIQUE).as_reoriented(turn), tmp_path / f"{name}.nii.gz")
    return {"case": "a", "group": "a", **{name: str(tmp_path / f"{name}.nii.gz") for name in arrays}}


def load(item, working=None, kind=LoadVolume):
    rule = intensity_rule(HU)
    return kind(lambda image: rule, 3, working)(item)


def test_a_volume_is_its_planes_on_top_of_each_other(item):
    volume, planes = load(item), load(item, kind=LoadPlanes)
    assert volume["image"].shape == (1, 7, 10, 12)
    for name, dtype in (("image", torch.float16), ("label", torch.uint8)):
        assert volume[name].dtype == dtype
        assert torch.equal(volume[name], planes[name].movedim(1, 0))
    assert (volume["plane_shape"], volume["spacing"]) == (planes["plane_shape"], planes["spacing"])
    bare = {key: value for key, value in item.items() if key != "label"}
    assert "label" not in load(bare)


def test_image_and_label_share_a_working_grid(item):
    volume = load(item, {"spacing": [1.25, 1.6, 1.4]})  # the voxels are 2.5, 0.8 and 0.7 mm
    assert volume["image"].shape == volume["label"].shape == (1, 14, 5, 6)
    images, labels = LoadVolume(lambda image: None, 3).samples(volume, 1)
    assert images.shape == labels.shape == (1, 1, 14, 5, 6)


def test_pictures_and_stacks_of_slices_are_no_volumes(item, tmp_path):
    from PIL import Image  # noqa: PLC0415

    Image.new("L", (8, 8), 7).save(tmp_path / "p.png")
    with pytest.raises(InputError, match=r"p\.png: is a picture, and this network works on volumes"):
        load({"image": str(tmp_path / "p.png"), "case": "p", "group": "p"})
    with pytest.raises(InputError, match="a single slice in another direction"):
        load({**item, "slice": 1})
    nib.save(nib.Nifti1Image(np.zeros((8, 8, 3), np.int16), np.diag([1.0, 1, 5, 1])), tmp_path / "stack.nii")
    with pytest.raises(InputError, match="is a single slice, and this network works on volumes"):
        load({"image": str(tmp_path / "stack.nii"), "slice": 1, "case": "s", "group": "s"})


def numbered(shape, with_label=True):
    """A volume whose every voxel knows its place."""
    image = torch.arange(float(np.prod(shape))).view(1, *shape)
    return {"image": image, "case": "a", **({"label": (image % 97 == 0).byte()} if with_label else {})}


@pytest.mark.parametrize("with_label", [True, False])
def test_a_box_is_a_part_of_the_volume(with_label):
    item, crop, seen = numbered((9, 20, 30), with_label), RandVolumeCrop((4, 8, 16)), set()
    for seed in range(20):
        box = crop.set_random_state(seed=seed)(item)
        first = int(box["image"].flatten()[0])
        z, y, x = np.unravel_index(first, (9, 20, 30))
        part = (slice(None), slice(z, z + 4), slice(y, y + 8), slice(x, x + 16))
        assert sorted(box) == ["case", "image", *(["label"] if with_label else [])]
        assert torch.equal(torch.as_tensor(box["image"]), item["image"][part])
        if with_label:
            assert torch.equal(torch.as_tensor(box["label"]), item["label"][part])
        seen.add(first)
    assert len(seen) > 10


def test_boxes_lie_around_findings_as_often_as_told():
    item = numbered((12, 24, 24))
    item["label"] = torch.zeros(1, 12, 24, 24, dtype=torch.uint8)
    item["label"][0, 5, 11, 13] = 2
    shares = {}
    for prob in (0.0, 0.5, 1.0):
        crop = RandVolumeCrop((3, 5, 5), prob)
        boxes = [crop.set_random_state(seed=seed)(item) for seed in range(60)]
        shares[prob] = np.mean([bool(box["label"][0, 1, 2, 2] == 2) for box in boxes])
    assert shares[0.0] == 0
    assert 0.3 < shares[0.5] < 0.7
    assert shares[1.0] == 1


def test_small_volumes_are_padded_with_nothing():
    item = {"image": torch.ones(1, 3, 20, 6), "label": torch.ones(1, 3, 20, 6, dtype=torch.uint8), "case": "a"}
    box = RandVolumeCrop((8, 8, 8)).set_random_state(seed=0)(item)
    assert box["image"].shape == box["label"].shape == (1, 8, 8, 8)
    assert int(box["image"].sum()) == int(box["label"].sum()) == 3 * 8 * 6


def test_a_sample_follows_from_its_position_alone():
    """Whatever was drawn before it: what an exact resume needs."""
    items = [numbered((9, 20, 30)), numbered((9, 20, 30), False)]
    first, second = (KeyedDataset(items, RandVolumeCrop((4, 8, 16)), 0, "labeled") for _ in range(2))
    keys = [(position, position % 2) for position in range(6)]
    whole = [first[key] for key in keys]
    late = [second[key] for key in reversed(keys)][::-1]
    for one, other in zip(whole, late, strict=True):
        assert torch.equal(torch.as_tensor(one["image"]), torch.as_tensor(other["image"]))
    assert len({float(box["image"].flatten()[0]) for box in whole}) > 3
