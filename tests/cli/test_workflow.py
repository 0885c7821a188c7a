"""What the command line says about the configuration files that it is given."""

import pytest

from monai_supmix.cli.workflow import configure
from monai_supmix.errors import InputError


@pytest.mark.parametrize(
    ("main", "method", "preset", "told"),
    [
        (
            "evaluate",
            None,
            "logit_adjustment",
            "--preset: is logit_adjustment, which sets nothing that evaluate.json has",
        ),
        (
            "inference",
            "supervised",
            None,
            "--method: is supervised, which sets nothing that inference.json has: leave it",
        ),
        ("evaluate", "self_training", None, "--method: is self_training, which sets nothing that evaluate.json has"),
        ("evaluate", None, "rare_classes", "--preset: is rare_classes, which sets nothing that evaluate.json has"),
        ("evaluate", "supervised", "volume3d", "--method: is supervised, which sets nothing that evaluate.json has"),
    ],
)
def test_a_method_or_preset_for_a_training_is_refused_elsewhere(main, method, preset, told):
    with pytest.raises(InputError, match=told):
        configure("covid19_ct_supmix", [main], {}, method=method, preset=preset)


@pytest.mark.parametrize(
    ("main", "preset"), [("evaluate", "volume3d"), ("inference", "pretrained"), ("train", "paper")]
)
def test_one_that_sets_something_is_taken(main, preset):
    assert configure("covid19_ct_supmix", [main], {}, preset=preset).files[1].stem == preset
