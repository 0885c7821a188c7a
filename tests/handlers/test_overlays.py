import itertools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.handlers.overlays import (
    CLASS_COLOURS,
    ERROR_COLOURS,
    class_colours,
    overlay_errors,
    overlay_labels,
    panel,
    save_png,
    to_rgb,
)

NAMES = ["background", "ground_glass", "consolidation", "pleural_effusion"]


@st.composite
def pictures(draw):
    shape = draw(array_shapes(min_dims=2, max_dims=2, max_side=6))
    labels = arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 255]))
    image = draw(arrays(np.float32, shape, elements=st.floats(0, 1, width=32)))
    return image, draw(labels), draw(labels.map(lambda values: np.where(values == 255, 0, values)))


@given(pictures())
def test_each_pixel_has_the_colour_of_its_error(picture):
    image, truth, prediction = picture
    drawn = overlay_errors(image, truth, prediction, ignore_index=255, opacity=1.0)
    grey = to_rgb(image)
    for place in np.ndindex(truth.shape):
        t, p = truth[place], prediction[place]
        if t == 255 or (t == 0 and p == 0):
            expected = grey[place]
        elif t == p:
            expected = ERROR_COLOURS["found"]
        elif t == 0:
            expected = ERROR_COLOURS["spurious"]
        else:
            expected = ERROR_COLOURS["missed" if p == 0 else "wrong class"]
        assert drawn[place].tolist() == list(expected)


@given(pictures())
def test_background_keeps_the_image_and_opacity_mixes(picture):
    image, _, prediction = picture
    grey = to_rgb(image)
    assert np.array_equal(overlay_labels(image, prediction, opacity=0.0), grey)
    half = overlay_labels(image, prediction, opacity=0.5)
    assert np.array_equal(half[prediction == 0], grey[prediction == 0])
    tinted = prediction > 0
    mean = (grey[tinted].astype(float) + class_colours(prediction)[tinted]) / 2
    assert np.abs(half[tinted] - mean).max(initial=0) <= 0.5


@pytest.mark.parametrize(("channels", "coloured"), [(1, False), (2, False), (3, True), (4, False)])
def test_channels(channels, coloured):
    image = np.random.default_rng(0).random((channels, 5, 7))
    rgb = to_rgb(image)
    assert rgb.shape == (5, 7, 3)
    assert rgb.dtype == np.uint8
    for c in range(3):
        np.testing.assert_array_equal(rgb[..., c], np.rint(image[c if coloured else 0] * 255))
    labels = overlay_labels(image, np.zeros((5, 7), int))
    assert (labels[..., 0] == labels[..., 2]).all()  # grey below the colours


def test_values_beyond_the_range_are_clipped():
    image = np.array([[-1.0, 2.0, np.nan, np.inf]])
    assert to_rgb(image)[0, :, 0].tolist() == [0, 255, 0, 255]


def relative_luminance(colour):
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
    return float(np.dot([0.2126, 0.7152, 0.0722], linear))


def test_errors_differ_also_without_colour():
    values = [relative_luminance(ERROR_COLOURS[name]) + 0.05 for name in ("found", "missed", "spurious")]
    ordered = sorted(values)
    assert all(b / a > 1.5 for a, b in itertools.pairwise(ordered))
    assert len({tuple(colour) for colour in CLASS_COLOURS}) == len(CLASS_COLOURS)


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (700, 650), (1, 1), (500, 20)])
@pytest.mark.parametrize("with_truth", [True, False])
def test_panel_shows_every_tile(shape, with_truth):
    generator = np.random.default_rng(0)
    image, prediction, truth = generator.random(shape), *generator.integers(0, 4, (2, *shape))
    drawn = panel(image, prediction, NAMES, truth if with_truth else None, title="Fälle / 1", tile=200)
    assert drawn.dtype == np.uint8
    assert drawn.shape[2] == 3
    longer = max(shape)
    tiles = 4 if with_truth else 2
    assert drawn.shape[1] == 8 + tiles * (max(1, round(shape[1] * 200 / longer)) + 8)
    assert drawn.shape[0] > round(shape[0] * 200 / longer) + 24


def test_panel_draws_the_overlays_themselves():
    generator = np.random.default_rng(0)
    image, prediction, truth = generator.random((50, 50)), *generator.integers(0, 2, (2, 50, 50))
    drawn = panel(image, prediction, NAMES[:2], truth, tile=50)
    expected = [
        to_rgb(image),
        overlay_labels(image, truth),
        overlay_labels(image, prediction),
        overlay_errors(image, truth, prediction),
    ]
    for i, tile in enumerate(expected):
        left = 8 + 58 * i
        np.testing.assert_array_equal(drawn[24:74, left : left + 50], tile)
    below = {tuple(colour) for colour in drawn[82:].reshape(-1, 3)}
    assert {tuple(CLASS_COLOURS[1]), ERROR_COLOURS["missed"], ERROR_COLOURS["spurious"]} <= below
    assert ERROR_COLOURS["wrong class"] not in below


def test_panel_does_not_name_ignored_values():
    truth = np.full((9, 9), 255)
    drawn = panel(np.zeros((9, 9)), truth * 0, NAMES, truth, ignore_index=255, tile=50)
    assert not (drawn[24:74] == ERROR_COLOURS["missed"]).all(-1).any()


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        overlay_errors(np.zeros((2, 3)), np.zeros((2, 3), int), np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="image has shape"):
        overlay_labels(np.zeros((2, 2)), np.zeros((3, 2), int))
    with pytest.raises(ValueError, match="H, W"):
        to_rgb(np.zeros(3))


def test_png_is_written_whole(tmp_path):
    rgb = np.random.default_rng(0).integers(0, 256, (5, 6, 3), np.uint8)
    save_png(tmp_path / "ü.png", rgb)
    with Image.open(tmp_path / "ü.png") as picture:
        assert picture.format == "PNG"
        np.testing.assert_array_equal(np.asarray(picture), rgb)
    with pytest.raises(InputError, match="folder does not exist"):
        save_png(tmp_path / "no" / "a.png", rgb)


@pytest.mark.skipif("SUPMIX_DATA" not in os.environ, reason="SUPMIX_DATA is not set")
def test_two_observers_of_a_fundus():
    folder = Path(os.environ["SUPMIX_DATA"]) / "CHASE_DB1"
    image = np.asarray(Image.open(folder / "Image_11L.jpg")).transpose(2, 0, 1) / 255
    first, second = (np.asarray(Image.open(folder / f"Image_11L_{n}HO.png")) > 0 for n in ("1st", "2nd"))
    drawn = overlay_errors(image, first, second, opacity=1.0)
    shares = {name: (drawn == colour).all(-1).sum() for name, colour in ERROR_COLOURS.items()}
    assert shares["found"] == (first & second).sum()
    assert shares["missed"] == (first & ~second).sum()
    assert shares["spurious"] == (second & ~first).sum()
    assert shares["wrong class"] == 0
