"""The geometric augmentation agrees with exact cropping, flipping, turning and scaling."""

import math

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from torch.nn import functional as F

from monai_supmix.errors import InputError
from monai_supmix.transforms.similarity_crop import RandSimilarityCropd, Similarity, similarity_grid

IMAGE = torch.rand(3, 40, 50, generator=torch.Generator().manual_seed(0))


def sample(similarity, size, image=IMAGE, mode="bilinear"):
    return F.grid_sample(image[None], similarity_grid(similarity, size, image.shape[1:]), mode, align_corners=False)[0]


def test_identity_is_the_image():
    torch.testing.assert_close(sample(Similarity((19.5, 24.5)), (40, 50)), IMAGE, atol=1e-5, rtol=0)


def test_a_quarter_turn_is_rot90():
    turned = sample(Similarity((19.5, 24.5), angle=math.pi / 2), (50, 40))
    torch.testing.assert_close(turned, torch.rot90(IMAGE, -1, (1, 2)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("flip", [(True, False), (False, True), (True, True)])
def test_flips(flip):
    axes = [axis + 1 for axis in (0, 1) if flip[axis]]
    torch.testing.assert_close(
        sample(Similarity((19.5, 24.5), flip=flip), (40, 50)), IMAGE.flip(axes), atol=1e-4, rtol=0
    )


def test_twice_the_scale_shows_half_the_extent():
    enlarged = sample(Similarity((19.5, 24.5), scale=2.0), (40, 50))
    expected = F.interpolate(IMAGE[None, :, 10:30, 12:38], scale_factor=2, mode="bilinear")[0]
    torch.testing.assert_close(enlarged[:, 4:36, 4:46], expected[:, 4:36, 5:47], atol=1e-4, rtol=0)


def test_without_scale_and_rotation_a_crop_is_cut_out_exactly():
    crop = RandSimilarityCropd("image", (16, 20), flip_prob=0).set_random_state(seed=0)
    windows = IMAGE.unfold(1, 16, 1).unfold(2, 20, 1)
    for _ in range(5):
        result = crop({"image": IMAGE})["image"]
        distance = (windows - result[:, None, None]).abs().amax(dim=(0, 3, 4))
        assert distance.min() < 1e-5


def test_image_and_label_move_together_and_labels_stay_classes():
    label = (IMAGE[:1] > 0.5).to(torch.uint8) * 3
    crop = RandSimilarityCropd(
        ["image", "label"],
        (24, 24),
        scale=(0.5, 2),
        rotation=3,
        flip_axes=(0, 1),
        mode=("nearest", "nearest"),
    )
    for seed in range(10):
        result = crop.set_random_state(seed=seed)({"image": label.float(), "label": label})
        assert torch.equal(result["image"], result["label"].float())
        assert set(result["label"].unique().tolist()) <= {0, 3}


def test_pixels_outside_are_marked_and_ignored():
    crop = RandSimilarityCropd(
        ["image", "label"], (64, 64), flip_prob=0, mode=("bilinear", "nearest"), ignore_index=255
    )
    result = crop.set_random_state(seed=0)({"image": IMAGE, "label": torch.ones(1, 40, 50, dtype=torch.uint8)})
    assert result["ignore"].shape == (1, 64, 64)
    assert (~result["ignore"]).sum() == 40 * 50
    assert torch.equal(result["label"] == 255, result["ignore"])
    assert torch.equal(result["label"] == 1, ~result["ignore"])
    assert (result["image"][:, result["ignore"][0]] < 1e-4).all()


def test_draws_cover_their_ranges_and_the_crop_stays_inside():
    crop = RandSimilarityCropd("image", (16, 16), scale=(0.5, 2), rotation=1, flip_axes=(0, 1)).set_random_state(seed=0)
    draws = []
    for _ in range(2000):
        crop.randomize((40, 50))
        draws.append(crop.similarity)
        half = 8 / crop.similarity.scale
        assert crop.similarity.center[0] - half + 0.51 >= -0.5 and crop.similarity.center[0] + half <= 40.01
    scales = np.log2([d.scale for d in draws])
    assert -1 <= scales.min() < -0.95 and 0.95 < scales.max() <= 1 and abs(scales.mean()) < 0.05
    assert abs(np.mean([d.angle for d in draws])) < 0.05
    assert abs(np.mean([d.flip for d in draws]) - 0.5) < 0.04


def test_the_enlargement_itself_may_be_uniform_as_unimatch_draws_it():
    """``long_side = random.randint(int(0.5 * side), int(2 * side))``: two thirds of the crops are enlarged."""
    crop = RandSimilarityCropd("image", (16, 16), scale=(0.5, 2), log_uniform=False).set_random_state(seed=0)
    scales = []
    for _ in range(2000):
        crop.randomize((40, 50))
        scales.append(crop.similarity.scale)
    assert abs(np.mean(scales) - 1.25) < 0.03 and abs(np.mean(np.array(scales) < 1) - 1 / 3) < 0.03


def test_same_seed_same_crop_and_the_item_is_left_alone():
    crop = RandSimilarityCropd("image", (16, 16), scale=(0.5, 2), rotation=1)
    item = {"image": IMAGE.clone()}
    first, second = (crop.set_random_state(seed=7)(item)["image"] for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(item["image"], IMAGE)


def test_a_stretch_makes_it_wider_and_lower():
    stretched = sample(Similarity((19.5, 24.5), stretch=1.25), (40, 50))
    theta = torch.tensor([[[1 / 1.25, 0, 0], [0, 1.25, 0]]])
    grid = F.affine_grid(theta, [1, 3, 40, 50], align_corners=False)
    torch.testing.assert_close(stretched, F.grid_sample(IMAGE[None], grid, align_corners=False)[0], atol=1e-4, rtol=0)


def test_a_shift_keeps_the_crop_around_the_middle():
    crop = RandSimilarityCropd("image", (8, 8), scale=(0.5, 2.0), shift=3).set_random_state(seed=0)
    centers = []
    for _ in range(300):
        crop.randomize((40, 50))
        centers.append(crop.similarity.center)
    offsets = np.array(centers) - (19.5, 24.5)
    assert np.abs(offsets).max() <= 3 and (np.abs(offsets).max(axis=0) > 2.8).all()


def test_an_elastic_crop_moves_image_and_label_alike_by_about_what_is_asked():
    rows = torch.arange(60.0).view(1, 60, 1).expand(1, 60, 60)
    item = {"image": rows, "label": rows.to(torch.uint8)}
    modes = ("bilinear", "nearest")
    crop = RandSimilarityCropd(["image", "label"], (40, 40), elastic=2.0, elastic_prob=1.0, flip_prob=0, mode=modes)
    plain = RandSimilarityCropd(["image", "label"], (40, 40), flip_prob=0, mode=modes, shift=0)
    still = plain.set_random_state(seed=0)(item)["image"]
    moves = []
    for seed in range(20):
        crop.shift = 0
        moved = crop.set_random_state(seed=seed)(item)
        assert (moved["image"] - moved["label"]).abs().max() <= 0.51
        moves.append(moved["image"] - still)
    spread = torch.stack(moves).std()
    assert 1.0 < spread < 2.6 and torch.stack(moves).mean().abs() < 0.4
    across = torch.stack(moves).diff(dim=-1).abs()
    assert across.mean() < spread / 4, "smooth: neighbours move alike"


def test_no_deformation_draws_nothing_more():
    """What earlier runs drew stays what is drawn."""
    plain, named = (
        RandSimilarityCropd("image", (8, 8), scale=(0.5, 2.0), rotation=1.0, **kwargs).set_random_state(seed=3)
        for kwargs in ({}, {"stretch": 1.0, "elastic": 0.0, "shift": None})
    )
    for crop in (plain, named):
        crop.randomize((40, 50))
        crop.randomize((40, 50))
    assert plain.similarity == named.similarity
    assert plain.R.uniform() == named.R.uniform()


@pytest.mark.parametrize(("ignore_index", "dtype"), [(-1, torch.uint8), (256, torch.uint8), (255, torch.bool)])
def test_a_value_that_labels_cannot_hold_is_refused(ignore_index, dtype):
    """Cast, -1 is another class and 256 the background."""
    label = {"label": torch.ones(1, 6, 6, dtype=dtype)}
    crop = RandSimilarityCropd(["label"], (8, 8), flip_prob=0, mode="nearest", ignore_index=ignore_index)
    with pytest.raises(InputError, match=f"ignore_index: is {ignore_index}, which labels do not hold"):
        crop.set_random_state(0)(label)
    wide = crop.set_random_state(0)({"label": label["label"].to(torch.int16)})
    assert wide["label"][wide["ignore"]].unique().tolist() == [ignore_index]


def test_a_crop_has_no_affine_of_the_whole_image():
    image = MetaTensor(torch.rand(1, 40, 40), affine=np.diag([2.0, 2.0, 1.0, 1.0]))
    crop = RandSimilarityCropd(["image"], (32, 32))({"image": image})["image"]
    assert type(crop) is torch.Tensor
