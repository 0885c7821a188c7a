"""What is known of a case: how predictions differ, and what the image looks like."""

import numpy as np
import pytest

from monai_supmix.imageio import CaseImage
from monai_supmix.imageio.planes import Planes
from monai_supmix.labelling import disagreement, signature


def test_disagreement_is_one_minus_the_mean_dice_of_the_pairs():
    masks = list(np.random.default_rng(0).integers(0, 3, (3, 6, 7, 2)))

    def dice(one, other, value):
        one, other = (set(map(tuple, np.argwhere(mask == value))) for mask in (one, other))
        return 2 * len(one & other) / (len(one) + len(other))

    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = 1 - np.mean([dice(masks[a], masks[b], value) for a, b in pairs for value in (1, 2)])
    assert disagreement(masks, 3) == pytest.approx(expected)
    assert disagreement(masks[::-1], 3) == pytest.approx(expected)
    assert disagreement(masks, 4) == pytest.approx(expected), "a class that none has counts for nothing"


def test_a_signature_does_not_depend_on_how_the_voxels_are_stored():
    random = np.random.default_rng(0)
    values, labels = random.integers(0, 255, (5, 6, 4)).astype(np.uint8), random.integers(0, 3, (5, 6, 4))
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    turned = affine[:, [2, 0, 1, 3]].copy()

    def of(array, mask, place):
        planes = Planes(CaseImage.from_array(array, place))
        return signature(planes, planes.view(mask), lambda plane: plane / 255, num_classes=3)

    found = of(values, labels, affine)
    assert found == of(values.transpose(2, 0, 1), labels.transpose(2, 0, 1), turned)
    assert found[2] == pytest.approx(np.median(values / 255), abs=1e-4)
    assert found[5] == pytest.approx(np.sqrt((labels == 1).mean()), abs=1e-4)
    assert found[8] == pytest.approx((values[labels == 2] / 255).mean(), abs=1e-4)
