"""Intensity rules map to [0, 1], see the whole and scale a part, and come back from their dictionaries."""

import json
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from PIL import Image
from scipy import ndimage

from monai_supmix.errors import InputError
from monai_supmix.transforms.intensity import (
    ApplyIntensityRuleD,
    ApplyIntensityRuled,
    ApplyIntensityRuleDict,
    FieldOfViewScale,
    HUWindow,
    PercentileScale,
    field_of_view,
    intensity_rule,
    percentiles_of,
)
from monai_supmix.transforms.intensity.lit_area import white_level

RNG = np.random.default_rng(0)


def fundus(height=90, width=100, radius=38):
    """A noisy disc with a dark vessel on a dark surround, and a label in the corner."""
    rows, columns = np.mgrid[:height, :width]
    disc = (rows - height / 2) ** 2 + (columns - width / 2) ** 2 <= radius**2
    picture = RNG.normal(120, 20, (3, height, width)) * np.array([1.5, 0.7, 0.2])[:, None, None]
    vessel = (abs(rows - columns) < 2) & (rows < 0.7 * height)
    picture[:, vessel] *= 0.05  # as dark as the surround, up to the rim at one end
    picture[:, ~disc] = RNG.uniform(0, 10, (3, (~disc).sum()))
    picture[:, 3:8, 3:12] = 200  # a label
    return picture.clip(0, 255).astype(np.uint8), disc


RULES = {
    "hu_window": (HUWindow(), RNG.integers(-2000, 2000, (20, 21, 9), dtype=np.int16)),
    "percentile_scale": (PercentileScale(), RNG.integers(0, 256, (1, 40, 50), dtype=np.uint8)),
    "field_of_view_scale": (FieldOfViewScale(), fundus()[0]),
}
rules = pytest.mark.parametrize(("rule", "array"), RULES.values(), ids=RULES)


@rules
@pytest.mark.parametrize("dtype", [None, np.float32, np.float64])
def test_whole_equals_fit_and_apply_in_unit_range(rule, array, dtype):
    array = array if dtype is None else array.astype(dtype)
    before = array.copy()
    result = rule(array)
    assert result.dtype == np.float32
    assert result.shape == array.shape
    assert result.min() == 0
    assert 0.6 < result.max() <= 1
    params = rule.fit(array)
    np.testing.assert_array_equal(rule.apply(array, params), result)
    np.testing.assert_array_equal(array, before)
    # what was fitted survives a file
    np.testing.assert_array_equal(rule.apply(array, json.loads(json.dumps(params))), result)


@rules
def test_integers_and_floats_agree(rule, array):
    np.testing.assert_allclose(rule(array), rule(array.astype(np.float64)), atol=1e-6)


@rules
def test_round_trip_of_the_dictionary(rule, array):
    config = json.loads(json.dumps(rule.to_dict()))
    assert config["rule"] == rule.name
    assert intensity_rule(config) == rule
    assert intensity_rule({"rule": rule.name}) == type(rule)()


@rules
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_is_an_error(rule, array, value):
    spoilt = array.astype(np.float32)
    params = rule.fit(spoilt)
    spoilt[0, 3, 4] = value
    with pytest.raises(ValueError, match="NaN or infinite"):
        rule.fit(spoilt)
    with pytest.raises(ValueError, match="NaN or infinite"):
        rule.apply(spoilt, params)


@rules
def test_empty_is_an_error(rule, array):
    with pytest.raises(ValueError, match="empty"):
        rule.fit(array[:0])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rule": "window"}, "no rule is called 'window': use one of hu_window"),
        ({}, "no rule is called None"),
        ({"rule": "hu_window", "lower": 3}, "no setting 'lower': use low, high"),
        ({"rule": "hu_window", "low": 500}, "low must be below high"),
        ({"rule": "hu_window", "low": "a"}, "hu_window"),
        ({"rule": "percentile_scale", "lower": -1}, "percentiles must be"),
        ({"rule": "field_of_view_scale", "std": 2}, "std must lie in"),
    ],
)
def test_mistakes_in_a_configuration(config, message):
    with pytest.raises(InputError, match=message):
        intensity_rule(config)


def test_hu_window_is_linear_and_clips():
    window = HUWindow(low=-1000, high=1000)
    values = np.array([-3000, -1000, -500, 0, 1000, 2000])
    np.testing.assert_allclose(window(values), [0, 0, 0.25, 0.5, 1, 1])
    # a slice is scaled as its volume, whatever it holds
    np.testing.assert_allclose(window.apply(values[2:4], window.fit(values)), [0.25, 0.5])


def test_percentiles_of_the_whole_scale_the_part():
    volume = RNG.integers(0, 200, (10, 30, 30)).astype(np.uint8)
    rule = PercentileScale(1, 99)
    low, high = np.percentile(volume, [1, 99])
    expected = np.clip((volume[0] - low) / (high - low), 0, 1)
    np.testing.assert_allclose(rule.apply(volume[0], rule.fit(volume)), expected, atol=1e-6)


def test_nearly_constant_pictures():
    picture = np.zeros((1, 50, 50), dtype=np.uint8)
    assert PercentileScale()(picture).max() == 0
    picture[0, 0, :2] = 5, 10  # beyond the percentiles: minimum and maximum are taken instead
    assert set(PercentileScale()(picture).ravel().tolist()) == {0.0, 0.5, 1.0}


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint16, np.int32, np.int64, np.float32, bool])
@pytest.mark.parametrize("size", [1, 2, 101, 4000])
def test_percentiles_equal_numpy(dtype, size):
    array = RNG.normal(60, 20, (size, 3)).astype(dtype)
    percentiles = (0, 0.5, 12.3, 50, 99.5, 100)
    np.testing.assert_allclose(
        percentiles_of(array, percentiles), np.percentile(array.astype(float), percentiles), rtol=1e-6
    )


def test_percentiles_of_wide_integers_and_large_floats_are_close():
    wide = RNG.integers(0, 2**40, 10000)
    np.testing.assert_allclose(percentiles_of(wide, (5, 95)), np.percentile(wide, (5, 95)))
    large = RNG.normal(size=(2**11, 2**12)).astype(np.float32)
    np.testing.assert_allclose(percentiles_of(large, (5, 95)), np.percentile(large, (5, 95)), atol=0.01)


def test_percentiles_of_a_volume_take_little_memory():
    volume = RNG.integers(-1024, 3000, (256, 256, 100), dtype=np.int16).copy(order="F")
    tracemalloc.start()
    percentiles_of(volume, (0.5, 99.5))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 25e6  # numpy's own takes a copy of 13 MB, and eight times that for long integers


def test_field_of_view_is_the_disc():
    picture, disc = fundus()
    found = field_of_view(picture)
    assert not found[:12, :15].any()  # the label is not part of it
    assert (found != disc).mean() < 0.005
    assert found[20:60, 35:60].all()  # the dark vessel is
    np.testing.assert_array_equal(field_of_view(picture.astype(np.float32)), found)


def test_field_of_view_of_a_picture_without_surround_is_all_of_it():
    assert field_of_view(np.full((3, 20, 30), 90, dtype=np.uint8)).all()


@pytest.mark.parametrize("picture", [np.zeros((3, 9, 9)), np.full((3, 9, 9), 0.9), np.zeros((9, 9))])
def test_no_field_of_view(picture):
    with pytest.raises(ValueError, match=r"no field of view|\(C, H, W\)"):
        field_of_view(picture)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int32], ids=lambda dtype: dtype.__name__)
def test_a_picture_of_16_bits_becomes_what_it_is_in_8(dtype):
    """As stored, as MONAI loads it, and plane by plane, where the planes of pictures are floating point."""
    picture, _ = fundus()
    rule, deep = FieldOfViewScale(), picture.astype(dtype) * dtype(257)
    np.testing.assert_array_equal(field_of_view(deep), field_of_view(picture))
    np.testing.assert_array_equal(rule(deep), rule(picture))
    planes = deep.astype(np.float32)[:, 20:50]
    np.testing.assert_array_equal(rule.apply(planes, rule.fit(deep)), rule.apply(picture[:, 20:50], rule.fit(picture)))


@pytest.mark.parametrize("top", [270, 4500])
def test_white_does_not_depend_on_the_type(top):
    picture = np.full((3, 9, 9), top)
    assert len({white_level(picture.astype(dtype)) for dtype in (np.uint16, np.int32, np.float32)}) == 1


def test_values_beyond_16_bits_are_refused():
    with pytest.raises(ValueError, match="no picture of 8 to 16 bits"):
        field_of_view(np.full((3, 9, 9), 1e6))


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_a_fundus_picture_of_fewer_bits_in_a_file_of_16_is_what_it_is(bits):
    picture = np.zeros((3, 40, 40), np.uint8)
    picture[:, 5:35, 5:35] = np.random.default_rng(0).integers(60, 200, (3, 30, 30))
    deep = np.rint(picture * ((2**bits - 1) / 255)).astype(np.uint16)
    np.testing.assert_array_equal(field_of_view(deep), field_of_view(picture))
    np.testing.assert_allclose(FieldOfViewScale()(deep), FieldOfViewScale()(picture), atol=0.01)


def test_standardised_channels_have_one_mean_and_spread():
    picture, _ = fundus()
    rule = FieldOfViewScale(mean=0.4, std=0.1)
    scaled = rule(picture)
    inside = field_of_view(picture)
    assert (scaled[:, ~inside] == 0).all()
    np.testing.assert_allclose([c[inside].mean() for c in scaled], 0.4, atol=0.02)
    np.testing.assert_allclose([c[inside].std() for c in scaled], 0.1, atol=0.02)
    # another exposure of the same eye gives the same picture
    darker = (picture.astype(np.float32) * np.array([0.8, 0.9, 0.95])[:, None, None]) + 3
    np.testing.assert_allclose(rule(darker)[:, inside], scaled[:, inside], atol=0.02)


def test_a_flat_channel_is_not_stretched():
    picture, _ = fundus()
    picture[2] = RNG.random(picture.shape[1:]) > 0.99  # one grey level in a hundredth of the pixels
    assert FieldOfViewScale()(picture)[2].max() < 0.8


@pytest.mark.skipif("SUPMIX_DATA" not in os.environ, reason="SUPMIX_DATA names no data folder")
@pytest.mark.parametrize("name", ["01L", "08L", "11R", "14R"])
def test_real_fundus_pictures(name):
    path = Path(os.environ["SUPMIX_DATA"]) / "CHASE_DB1" / f"Image_{name}.jpg"
    picture = np.asarray(Image.open(path)).transpose(2, 0, 1)
    vessels = np.asarray(Image.open(path.with_name(f"Image_{name}_1stHO.png")).convert("L")) > 0
    found = field_of_view(picture)
    rows, columns = (np.flatnonzero(found.any(axis=axis)) for axis in (1, 0))
    assert abs(np.ptp(rows) - np.ptp(columns)) < 12  # as high as wide
    assert abs(found.sum() / (np.pi / 4 * np.ptp(rows) * np.ptp(columns)) - 1) < 0.02  # and round
    assert (vessels & ~found).sum() < 0.005 * vessels.sum()
    green = FieldOfViewScale()(picture)[1]
    beside = ndimage.binary_dilation(vessels, iterations=10) & ~ndimage.binary_dilation(vessels, iterations=3)
    assert green[vessels].mean() < green[beside & found].mean() - 0.03


@pytest.mark.parametrize("rule", [HUWindow(-1000, 0), {"rule": "hu_window", "low": -1000, "high": 0}])
def test_dictionary_form(rule):
    raw = np.array([[[-500, 0], [100, -2000]]], dtype=np.int16)
    expected = [[[0.5, 1], [1, 0]]]
    meta = MetaTensor(torch.from_numpy(raw), meta={"name": "scan"})
    data = {"array": raw, "tensor": torch.from_numpy(raw), "meta": meta, "label": 3}
    item = ApplyIntensityRuled(["array", "tensor", "meta"], rule)(data)
    assert type(item["array"]) is np.ndarray
    assert type(item["tensor"]) is torch.Tensor
    assert item["meta"].meta["name"] == "scan"
    for key in ("array", "tensor", "meta"):
        np.testing.assert_allclose(np.asarray(item[key]), expected)
        assert item[key].dtype in (np.float32, torch.float32)
    assert item["label"] == 3
    assert data["array"] is raw
    with pytest.raises(KeyError):
        ApplyIntensityRuled("other", rule)(data)
    assert ApplyIntensityRuled("other", rule, allow_missing_keys=True)(data)["label"] == 3
    assert ApplyIntensityRuleD is ApplyIntensityRuleDict is ApplyIntensityRuled
