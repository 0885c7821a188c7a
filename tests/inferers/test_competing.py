"""Where classes compete: labels of the window and background elsewhere are the labels of whole planes."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from monai_supmix.data.working_grid import resize_planes
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers import SliceVolumeInferer
from monai_supmix.inferers.competing import competition
from monai_supmix.inferers.most_probable import decide
from monai_supmix.transforms.intensity import intensity_rule
from tests.inferers.tiny import RULE

GRID = (16, 12)
NATIVE = [(16, 12), (32, 24), (40, 50), (9, 31), (5, 4), (8, 6), (16, 13)]


def blobs(background: float, classes: int = 5) -> torch.Tensor:
    """Logits of two planes: the background, and a spot of each other class."""
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, classes, *GRID, generator=generator)
    logits[:, 0] += background
    rows, columns = torch.meshgrid(torch.arange(GRID[0]), torch.arange(GRID[1]), indexing="ij")
    for number in range(1, classes):
        row, column = torch.randint(0, 12, (2,), generator=generator)
        logits[number % 2, number] += 12 * torch.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 2.0)
    return logits.softmax(1)


def labels_in_windows(small: torch.Tensor, native: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    labels, highest = torch.zeros(2, *native, dtype=torch.uint8), torch.zeros(2, *native)
    found = competition(small, native)
    if found is not None:
        where = (slice(None), *found.native)
        competing = small[(slice(None), slice(None), *found.working)][:, found.classes]
        labels[where], highest[where] = decide(resize_planes(competing, found.shape), found.classes)
    return labels, highest


@pytest.mark.parametrize("native", NATIVE)
@pytest.mark.parametrize("background", [-20.0, 0.0, 4.0, 8.0, 9.5, 12.0, 30.0])
def test_labels_are_those_of_whole_planes(native, background):
    small = blobs(background)
    whole = resize_planes(small, native)
    labels, highest = labels_in_windows(small, native)
    assert torch.equal(labels.long(), whole.argmax(1))
    found = labels > 0
    assert torch.allclose(highest[found], whole.amax(1)[found], atol=1e-5)


@pytest.mark.parametrize("native", [(32, 24), (64, 48), (8, 6)])
def test_a_small_spot_makes_a_small_window(native):
    small = torch.zeros(1, 3, *GRID)
    small[:, 0] = 1
    small[:, :, 8, 6] = torch.tensor([0.1, 0.0, 0.9])
    found = competition(small, native)
    assert found.classes == [0, 2] and found.shape[0] * found.shape[1] < native[0] * native[1]
    assert tuple(F.interpolate(small[(..., *found.working)], found.shape).shape[2:]) == found.shape


def test_nothing_competes_where_the_background_wins():
    assert competition(blobs(30.0), (32, 24)) is None


def test_a_class_that_is_as_probable_as_the_background_competes():
    small = torch.tensor([0.4, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert competition(small, (8, 8)).classes == [0, 1]
    assert competition(torch.full((1, 2, 1, 1), 0.5), (1, 1)).classes == [0, 1]


@pytest.mark.parametrize("working", [{"size": [16, 16]}, {"spacing": [1.7, 2.3]}, {"scale": 2.0}, {"center": [30, 20]}])
def test_a_mask_is_the_same_with_all_probabilities(working):
    """Whole planes are seen when probabilities are wanted."""
    array = np.full((33, 26, 9), -1000, np.int16)
    array[5:12, 8:15, 2], array[20:24, 3:9, 6] = 800, 300
    image = CaseImage.from_array(array, np.diag([-1.0, -1.0, 3.0, 1.0]))
    network = nn.Conv2d(1, 3, 1)  # 1 for the darker square, 2 for the brighter one
    with torch.no_grad():
        network.weight.copy_(torch.tensor([0.0, 20.0, 60.0]).view(3, 1, 1, 1))
        network.bias.copy_(torch.tensor([0.0, -10.0, -45.0]))
    inferer = SliceVolumeInferer(working=working, divisor=1, amp=False)
    maps = np.zeros((3, *array.shape), np.float32)
    rule = intensity_rule(RULE)
    expected = inferer(image, network, rule, maps)
    assert np.array_equal(inferer(image, network, rule), expected)
    assert set(np.unique(expected)) == {0, 1, 2} and np.count_nonzero(expected) < array.size / 4
