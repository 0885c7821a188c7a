"""The answer to an unknown name."""

import pytest

from monai_supmix.errors import InputError
from monai_supmix.networks.names import require_known


def test_known_names_pass():
    require_known("key", "b", iter(("a", "b")))


@pytest.mark.parametrize("typed", ["deeplabv3plus", "DeepLabV3+", "DeeplabPlus"])
def test_the_nearest_name_is_offered_whatever_its_case(typed):
    with pytest.raises(InputError, match="'DeepLabV3Plus'") as caught:
        require_known("architecture", typed, ["Unet", "DeepLabV3Plus", "FPN"])
    assert (caught.value.subject, caught.value.problem) == ("architecture", f"{typed!r} is unknown")


def test_without_a_near_one_all_are_listed():
    with pytest.raises(InputError, match="choose one of Unet, FPN"):
        require_known("architecture", "xyz", ["Unet", "FPN"])
