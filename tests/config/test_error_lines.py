"""Which exceptions are a user's mistake, and which are bugs and stay what they are."""

import pytest
from monai.bundle import ConfigParser
from torch import nn

from monai_supmix.bundle import error_line


class Divided(nn.Module):
    """A module with a bug of its own, about a name that networks have."""

    def forward(self, x):
        return x / self.divisor


def raised(config, name):
    parser = ConfigParser(config)
    with pytest.raises(Exception) as caught:
        parser.get_parsed_content(name)
    return caught.value


def test_a_refused_argument_names_its_component():
    mixing = {"_target_": "monai_supmix.transforms.CutMix", "prob": 2}
    config = {"part": {"mixing": mixing}, "views": {"_target_": "builtins.dict", "mixing": "@part#mixing"}}
    for name in ("part#mixing", "views"):
        line = error_line(raised(config, name))
        assert line == "error: CutMix: prob must be in [0, 1], got 2: correct this setting"


def test_a_network_of_monai_is_to_be_wrapped():
    unet = {"_target_": "monai.networks.nets.UNet", "spatial_dims": 2, "in_channels": 1, "out_channels": 2}
    config = {"network_def": unet | {"channels": [4, 8], "strides": [2]}, "divisor": "$@network_def.divisor"}
    assert error_line(raised(config, "divisor")).startswith(
        "error: network_def: is a UNet and does not say what sides its images may have: wrap it, "
        '{"_target_": "monai_supmix.networks.HookedNetwork"'
    )
    config = {"network_def": {"_target_": "torch.nn.Identity"}, "channels": "$@network_def.in_channels"}
    assert error_line(raised(config, "channels")).startswith(
        "error: network_def: is a Identity and does not say how many channels its images have: wrap it, "
    )


@pytest.mark.parametrize(
    "component",
    [
        {"_target_": "builtins.int", "x": "$'no number'"},
        {"_target_": "monai.transforms.RandFlip", "prob": "$int('no number')"},
        {"_target_": "monai_supmix.transforms.CutMix", "prob": "text"},
        {"_target_": "monai_supmix.transforms.CutMix", "probability": 1},
        {"_target_": "monai_supmix.imageio.reading.no_such_function"},
        {"_target_": "builtins.dict", "x": "$'text'.divisor"},
        {"_target_": f"{__name__}.Divided.forward", "self": "$torch.nn.Module()", "x": 1},
    ],
)
def test_other_exceptions_are_bugs(component):
    assert error_line(raised({"part": component}, "part")) is None


def test_a_refusal_outside_of_a_configuration_is_a_bug():
    from monai_supmix.transforms import CutMix  # noqa: PLC0415

    with pytest.raises(ValueError, match="prob") as caught:
        CutMix(prob=2)
    assert error_line(caught.value) is None
