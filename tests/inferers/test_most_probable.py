"""The label of a pixel is its most probable class, the first of equals."""

import pytest
import torch

from monai_supmix.inferers.most_probable import decide
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
        labels, highest = decide(values.to(device))
        assert labels.dtype == torch.uint8 and labels.device.type == device
        assert torch.equal(labels.cpu().long(), values.argmax(1))
        assert torch.equal(highest.cpu(), values.amax(1))


def test_more_classes_than_labels_are_refused():
    with pytest.raises(ValueError, match="257 classes"):
        decide(torch.zeros(1, 257, 2, 2))
