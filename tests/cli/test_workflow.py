"""What the command line says about the configuration files that it is given."""

import pytest

from monai_supmix.cli.workflow import configure

IDLE = "--{} {} has no effect here: nothing that it sets is in {}"


@pytest.mark.parametrize(
    ("main", "method", "preset", "told"),
    [
        ("evaluate", None, "logit_adjustment", [("preset", "logit_adjustment")]),
        ("inference", "supervised", "logit_adjustment", [("method", "supervised"), ("preset", "logit_adjustment")]),
        ("evaluate", "supervised", "volume3d", [("method", "supervised")]),
        ("evaluate", None, "pretrained", []),
        ("train", "supervised", "logit_adjustment", []),
    ],
)
def test_a_method_or_preset_for_another_command_is_told(main, method, preset, told, caplog):
    configure("covid19_ct_supmix", [main], {}, method=method, preset=preset)
    found = [message for message in caplog.messages if "no effect" in message]
    assert found == [IDLE.format(*each, f"{main}.json") for each in told]
