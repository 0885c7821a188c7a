import tracemalloc

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

from monai_supmix.metrics import SurfaceDistance, overlap_counts, surface_distances, volume_ml

IGNORE = 255


@st.composite
def cases(draw):
    shape = draw(array_shapes(min_dims=2, max_dims=3, min_side=1, max_side=8))
    labels = arrays(np.uint8, shape, elements=st.integers(0, 2))
    spacing = [draw(st.floats(0.25, 8)) for _ in shape]
    return draw(labels), draw(labels), spacing


@given(cases())
@settings(deadline=None)
def test_equal_to_monai(case):
    prediction, truth, spacing = case
    for index, distance in enumerate(surface_distances(prediction, truth, 3, spacing)):
        if index == 0:
            assert distance is None
            continue
        true, predicted = truth == index, prediction == index
        if true.any() and predicted.any():
            one_hot = [torch.from_numpy(mask)[None, None] for mask in (predicted, true)]
            reference = compute_hausdorff_distance(*one_hot, include_background=True, percentile=95, spacing=spacing)
            assert distance.outcome == "measured"
            assert distance.hd95_mm == pytest.approx(reference.item(), rel=1e-5, abs=1e-5)
            average = compute_average_surface_distance(
                *one_hot, include_background=True, symmetric=True, spacing=spacing
            )
            assert distance.asd_mm == pytest.approx(average.item(), rel=1e-5, abs=1e-5)
        else:
            names = {(False, False): "absent", (True, False): "missed", (False, True): "spurious"}
            assert distance == SurfaceDistance(names[bool(true.any()), bool(predicted.any())])


@given(cases())
@settings(deadline=None)
def test_symmetric_and_zero_only_for_equal_surfaces(case):
    prediction, truth, spacing = case
    forth, back = (surface_distances(*pair, 3, spacing) for pair in ((prediction, truth), (truth, prediction)))
    for a, b in zip(forth[1:], back[1:], strict=True):
        assert a.hd95_mm == pytest.approx(b.hd95_mm)
    for distance in surface_distances(truth, truth, 3, spacing)[1:]:
        assert distance in (SurfaceDistance("measured", 0.0, 0.0), SurfaceDistance("absent"))


def test_shift_of_a_cube_along_each_axis_is_measured_in_mm():
    spacing = (0.5, 1.0, 3.0)
    truth = np.zeros((20, 20, 20), np.uint8)
    truth[5:10, 5:10, 5:10] = 1
    for axis, step in enumerate(spacing):
        shifted = surface_distances(np.roll(truth, 4, axis), truth, 2, spacing)[1]
        assert shifted.hd95_mm == pytest.approx(4 * step)


def test_ignored_voxels_have_no_surface():
    truth, prediction = np.zeros((2, 10, 10), np.uint8)
    truth[2, 2] = prediction[2, 2] = 1
    prediction[8, 8] = 1
    truth[8, 8] = IGNORE
    assert surface_distances(prediction, truth, 2, (1, 1), IGNORE)[1] == SurfaceDistance("measured", 0.0, 0.0)
    truth[truth == 1] = 0
    prediction[2, 2] = 0
    assert surface_distances(prediction, truth, 2, (1, 1), IGNORE)[1] == SurfaceDistance("absent")


@pytest.mark.parametrize("spacing", [(1.0,), (1.0, 1.0, 1.0), (1.0, 0.0), (1.0, float("nan")), (1.0, -1.0)])
def test_impossible_spacing_is_refused(spacing):
    with pytest.raises(ValueError, match="spacing"):
        surface_distances(np.zeros((2, 2)), np.zeros((2, 2)), 2, spacing)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.bfloat16])
def test_tensors_are_measured_like_arrays(dtype):
    truth, prediction = np.zeros((9, 9), int), np.zeros((9, 9), int)
    truth[2:5, 2:5], prediction[3:7, 2:5] = 1, 1
    expected = surface_distances(prediction, truth, 2, (1.0, 2.0))
    tensors = (torch.from_numpy(one).to(dtype) for one in (prediction, truth))
    assert surface_distances(*tensors, 2, (1.0, 2.0)) == expected


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"\(2, 2\).*\(2, 3\)"):
        surface_distances(np.zeros((2, 2)), np.zeros((2, 3)), 2, (1, 1))


def test_volume_is_voxels_times_their_size():
    generator = np.random.default_rng(0)
    prediction, truth = generator.integers(0, 3, (2, 5, 6, 7))
    truth[0] = IGNORE
    volumes = volume_ml(overlap_counts(prediction, truth, 3, IGNORE), (0.5, 0.5, 4.0))
    assert volumes[0] is None
    for index in (1, 2):
        true, predicted = volumes[index]
        assert true == pytest.approx((truth == index).sum() / 1000)
        assert predicted == pytest.approx((prediction[1:] == index).sum() / 1000)
    with pytest.raises(ValueError, match="three numbers"):
        volume_ml(np.zeros((2, 3)), (1, 1))


def test_memory_stays_at_a_few_bytes_for_each_voxel():
    truth = np.zeros((200, 200, 100), np.uint8)
    truth[50:80, 50:80, 20:40] = 1
    prediction = np.roll(truth, 3, 0)
    tracemalloc.start()
    surface_distances(prediction, truth, 2, (1, 1, 1))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * truth.size  # MONAI's own call takes over thirty
