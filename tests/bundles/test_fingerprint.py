"""Trainings are what they were: a few iterations of each method against committed numbers.

This guards the training path, code and configuration alike. A change that is meant to move it writes the
numbers anew, in the same commit, and says so: `.venv/bin/python -m tests.bundles.fingerprint`.

The tolerances are that wide because sums are rounded in another order with another number of threads, on
another processor and by another version of PyTorch. AdamW divides a gradient by its size, so that rounding decides
over the first steps of weights whose gradient is close to nothing, and pixels at the threshold of confidence change
sides. Over one and two threads and the vector instructions of SSE4, AVX2 and AVX-512 the losses moved by up to
0.2 %, the change of the weights by 0.1 %, the statistics of the normalization by 0.7 %, and the terms
over few confident pixels by 1.2 %. Allowed is three to four times as much; a learning rate that is 5 % off shows.
"""

import json

import pytest

from tests.bundles.fingerprint import EXPECTED, METHODS, NAMES, fingerprint, write_phantoms

TOLERANCES = {  # relative
    "loss": 5e-3,
    "loss_supervised": 2e-3,
    "loss_strong_1": 4e-2,
    "loss_strong_2": 4e-2,
    "loss_feature_dropout": 4e-2,
    "loss_generator": 1e-3,
    "loss_discriminator": 1e-3,
    "weights": 2e-4,
    "weights_change": 5e-3,
    "statistics": 3e-2,
    "discriminator_change": 1e-2,
}
COMMITTED = json.loads(EXPECTED.read_text(encoding="utf-8"))
# All methods once; the other bundle has the same ones on other data, networks and settings.
QUICK = {("chase_supmix", method) for method in METHODS} | {
    ("covid19_ct_supmix", "supervised"), ("covid19_ct_supmix", "supmix_sufd")
}  # fmt: skip


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("phantoms"))


def approved(name):
    """Committed numbers within their tolerance."""
    return {key: pytest.approx(value, rel=TOLERANCES[key]) for key, value in COMMITTED[name].items()}


@pytest.mark.parametrize(
    ("bundle", "method"),
    [
        pytest.param(bundle, method, marks=[] if (bundle, method) in QUICK else pytest.mark.slow)
        for bundle in NAMES
        for method in METHODS
    ],
)
def test_a_training_is_what_it_was(bundle, method, phantoms, tmp_path):
    assert fingerprint(bundle, method, phantoms[bundle], tmp_path) == approved(f"{bundle} {method}")


@pytest.mark.parametrize(
    ("key", "value", "moved"),
    [
        ("optimizer#lr", 0.0021, "weights_change"),
        ("discriminator_optimizer#lr", 0.000105, "discriminator_change"),
        ("sufd_weight", 0.02, "loss"),
        ("supervised_loss#dice_weight", 0.9, "loss_supervised"),
        ("burn_in", 0.5, "loss"),
    ],
)
def test_another_setting_would_show(key, value, moved, phantoms, tmp_path):
    found = fingerprint("chase_supmix", "supmix_sufd", phantoms["chase_supmix"], tmp_path, **{key: value})
    assert found[moved] != approved("chase_supmix supmix_sufd")[moved]
