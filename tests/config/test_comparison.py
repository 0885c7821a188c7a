"""What two runs have to agree in is compared by value, whoever gave it."""

import numpy as np
import pytest
import torch

from monai_supmix.config.comparison import comparable


@pytest.mark.parametrize("make", [np.float32, np.float64, np.array, torch.tensor])
def test_numbers_of_numpy_and_tensors_count_by_value(make):
    one, other = ({"supmix_prob": make(value), "nested": {"list": [make(value)]}} for value in (1.0, 0.0))
    assert comparable(one) != comparable(other)
    assert comparable(one) == {"supmix_prob": 1.0, "nested": {"list": [1.0]}}
