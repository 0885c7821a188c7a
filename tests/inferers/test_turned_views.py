"""Turned and scaled views come back to where they were, and are averaged."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from monai_supmix.inferers import SliceVolumeInferer
from monai_supmix.inferers.turned_views import mean_over_views, turned
from tests.inferers.tiny import tiny_network


def smooth(height, width):
    y, x = torch.meshgrid(torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij")
    return torch.exp(-3 * ((y - 0.1) ** 2 + 2 * (x + 0.2) ** 2))[None, None]


@pytest.mark.parametrize(("degrees", "scale"), [(15, 1.12), (-40, 0.9), (90, 1.0)])
@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_there_and_back(degrees, scale, size):
    image = smooth(*size)
    back = turned(turned(image, degrees, scale), -degrees, 1 / scale)
    middle = (..., slice(size[0] // 3, -size[0] // 3), slice(size[1] // 3, -size[1] // 3))
    torch.testing.assert_close(back[middle], image[middle], atol=2e-2, rtol=0)


def test_a_turn_is_scipys():
    image = smooth(65, 65)
    expected = ndimage.rotate(image[0, 0].numpy(), 30, reshape=False, order=1)
    found = turned(image, 30, 1.0)[0, 0].numpy()
    np.testing.assert_allclose(found[10:-10, 10:-10], expected[10:-10, 10:-10], atol=1e-5)


def test_the_mean_sums_to_one_and_outside_is_background():
    def predict(images):
        return torch.stack([1 - images[:, 0], images[:, 0]], dim=1)

    mean = mean_over_views(predict, torch.ones(1, 1, 32, 32), [[45, 0.5]])
    torch.testing.assert_close(mean.sum(dim=1), torch.ones(1, 32, 32))
    torch.testing.assert_close(mean[0, :, 16, 16], torch.tensor([0.0, 1.0]), atol=1e-5, rtol=0)
    torch.testing.assert_close(mean[0, :, 0, 0], torch.tensor([0.5, 0.5]), atol=1e-5, rtol=0)  # the view shows half


def test_no_views_are_the_plain_prediction_and_records_name_what_is_used():
    network, images = tiny_network(), torch.rand(2, 1, 32, 32)
    assert torch.equal(mean_over_views(lambda x: network(x).softmax(1), images, []), network(images).softmax(1))
    assert "views" not in SliceVolumeInferer().settings
    assert SliceVolumeInferer(views=[(15, 1.12)]).settings["views"] == [[15, 1.12]]
