"""The label of a pixel is its most probable class, the first of equals."""

import pytest
import torch

from monai_supmix.data.working_grid import resize_planes
from monai_supmix.inferers.most_probable import most_probable, possible_classes
from tests.devices import DEVICES


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("classes", [2, 4, 256])
def test_equals_argmax_also_where_classes_tie(device, classes):
    generator = torch.Generator().manual_seed(0)
    for values in (
        torch.rand(2, classes, 9, 7, generator=generator),
        torch.randint(0, 3, (3, classes, 9, 7), generator=generator) / 2,
        torch.rand(2, 9, 7, classes, generator=generator).movedim(-1, 1),
    ):
        labels = most_probable(values.to(device))
        assert labels.dtype == torch.uint8 and labels.device.type == device
        assert torch.equal(labels.cpu().long(), values.argmax(1))


def test_more_classes_than_labels_are_refused():
    with pytest.raises(ValueError, match="257 classes"):
        most_probable(torch.zeros(1, 257, 2, 2))


@pytest.mark.parametrize("shape", [(40, 50), (9, 31), (5, 4), (16, 12)])
@pytest.mark.parametrize("sharpness", [0.0, 0.5, 3.0])
def test_classes_that_cannot_be_most_probable_are_left_out_without_a_change(shape, sharpness):
    """The less sharp the more classes come close to each other; 0 is a tie everywhere."""
    generator = torch.Generator().manual_seed(0)
    left_out = 0
    for background in (0.0, 2.0, 8.0, 20.0):
        logits = sharpness * torch.randn(2, 6, 16, 12, generator=generator)
        logits[:, 0] += background
        small = logits.softmax(1)
        classes = possible_classes(small)
        left_out += 6 - len(classes)
        labels = most_probable(resize_planes(small[:, classes], shape), classes)
        assert torch.equal(labels.long(), resize_planes(small, shape).argmax(1))
    assert left_out > 0


def test_a_class_that_is_as_probable_as_the_background_is_possible():
    probabilities = torch.tensor([0.4, 0.4, 0.2]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    assert possible_classes(probabilities) == [0, 1]
    assert possible_classes(torch.full((1, 2, 1, 1), 0.5)) == [0, 1]
