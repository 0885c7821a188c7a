import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from monai_supmix.transforms.cutmix import CutMix, box_mask, draw_boxes

AREA, ASPECT = (0.02, 0.4), (0.3, 1 / 0.3)


def draw(number, shape, area=AREA, aspect=ASPECT):
    start, stop = draw_boxes(number, shape, area, aspect, np.random.RandomState(0))
    return start, stop, stop - start


def is_uniform(values, low, high):
    return stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3


@given(
    shape=st.lists(st.integers(1, 64), min_size=2, max_size=3),
    low=st.floats(0.001, 0.3),
    width=st.floats(0, 0.3),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=100, deadline=None)
def test_boxes_lie_inside_and_hold_a_pixel(shape, low, width, seed):
    area, R = (low, low + width), np.random.RandomState(seed)  # noqa: N806
    try:
        start, stop = draw_boxes(20, shape, area, ASPECT, R)
    except ValueError as error:  # a long and narrow image has no room for a large compact box
        assert max(shape) / min(shape) * area[1] > ASPECT[0]
        assert "fits into" in str(error)
        return
    assert (start >= 0).all()
    assert (stop <= np.array(shape)).all()
    assert (stop > start).all()


@pytest.mark.parametrize("shape", [(1000, 1000), (1000, 800), (300, 300, 300)])
def test_the_area_is_uniform_though_misfits_are_drawn_again(shape):
    *_, sides = draw(3000, shape)
    assert is_uniform(sides.prod(axis=1) / np.prod(shape), *AREA)


@pytest.mark.parametrize("shape", [(4000, 4000), (900, 900, 900)])
def test_aspects_are_uniform_where_every_box_fits(shape):
    *_, sides = draw(3000, shape, area=(0.03, 0.06))
    for side in sides.T[:-1]:
        assert is_uniform(side / sides[:, -1], *ASPECT)
    if len(shape) == 3:
        assert abs(np.corrcoef(sides[:, 0] / sides[:, 2], sides[:, 1] / sides[:, 2])[0, 1]) < 4 / 3000**0.5


@pytest.mark.parametrize("shape", [(2000, 2000), (320, 200), (100, 100, 60)])
def test_aspects_stay_in_their_range(shape):
    *_, sides = draw(1000, shape)
    last = sides[:, -1:]
    assert (sides[:, :-1] + 0.5 >= ASPECT[0] * (last - 0.5)).all()  # up to the rounding of sides
    assert (sides[:, :-1] - 0.5 <= ASPECT[1] * (last + 0.5)).all()


def test_a_flat_volume_gets_boxes_too():
    *_, sides = draw(500, (96, 96, 16))  # no aspect in range gives a box of 0.4 here
    fraction = sides.prod(axis=1) / (96 * 96 * 16)
    assert (sides[:, 2] <= 16).all()
    assert fraction.min() > AREA[0] / 2
    assert fraction.max() < AREA[1] + 0.02


def test_places_are_equally_likely():
    start, *_ = draw(3000, (4, 4), area=(0.25, 0.25), aspect=(1, 1))  # 2 x 2 boxes have 3 x 3 places
    counts = np.bincount(np.ravel_multi_index(start.T, (3, 3)), minlength=9)
    assert stats.chisquare(counts).pvalue > 1e-3


def test_the_whole_image_is_a_box():
    start, stop, _ = draw(5, (37, 37), area=(1, 1), aspect=(1, 1))
    assert (start == 0).all()
    assert (stop == 37).all()


def test_a_box_that_cannot_fit_is_an_error():
    with pytest.raises(ValueError, match=r"area in \(0.9, 1\).*fits into \(4, 64\)"):
        draw(2, (4, 64), area=(0.9, 1), aspect=(1, 1))


@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 6)])
def test_box_mask_marks_the_pixels_of_the_slice(shape):
    start, stop, _ = draw(10, shape)
    mask = box_mask(torch.from_numpy(start), torch.from_numpy(stop), shape)
    expected = np.zeros((10, 1, *shape), dtype=bool)
    for sample in range(10):
        box = tuple(slice(*edges) for edges in zip(start[sample], stop[sample], strict=True))
        expected[(sample, 0, *box)] = True
    np.testing.assert_array_equal(mask.numpy(), expected)


def test_samples_get_boxes_of_their_own():
    label = torch.zeros(8, 1, 64, 64, dtype=torch.long)
    image = label.float()
    mask = CutMix(prob=1.0).set_random_state(seed=0)(image, label, image, label).mask
    assert len(torch.unique(mask.flatten(1), dim=0)) == 8


def test_ignored_pixels_of_the_source_stay_ignored():
    label = torch.zeros(1, 1, 16, 16, dtype=torch.long)
    mixed = CutMix(prob=1.0)(label.float(), torch.full_like(label, 255), label.float(), label)
    assert torch.equal(mixed.label == 255, mixed.mask)


def test_confidence_goes_with_the_pixels():
    label = torch.zeros(2, 1, 16, 16, dtype=torch.long)
    image, low, high = label.float(), torch.full(label.shape, 0.3), torch.full(label.shape, 0.9)
    mixed = CutMix(prob=1.0)(image, label, image, label, low, high)
    assert torch.equal(mixed.confidence, torch.where(mixed.mask, low, high))


@pytest.mark.parametrize("area", [(0, 0.4), (0.5, 0.4), (0.1, 1.1), (-0.1, 0.2)])
def test_areas_outside_their_range_are_errors(area):
    with pytest.raises(ValueError, match="area must be"):
        CutMix(area=area)


@pytest.mark.parametrize("aspect", [(0, 1), (2, 1), (-1, 1)])
def test_aspects_outside_their_range_are_errors(aspect):
    with pytest.raises(ValueError, match="aspect must be"):
        CutMix(aspect=aspect)
