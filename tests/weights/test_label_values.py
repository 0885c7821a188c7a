"""Weights whose masks would have other values than those of the bundle that they are put into."""

import json

import pytest
import torch
from safetensors.torch import save_file

from monai_supmix.bundle.trained import load_trained
from monai_supmix.errors import InputError
from monai_supmix.weights import install_weights, save_weights
from tests.weights.test_files import bundle, make_network, make_record  # noqa: F401  # a fixture

OTHERS = [0, 5, 9, 300]


def write_datalist(folder, values=None):
    item = {"image": "a.png", "label": "b.png", **({} if values is None else {"values": " ".join(map(str, values))})}
    (folder / "datalist.json").write_text(json.dumps({"labeled": [item]}), encoding="utf-8")


@pytest.mark.parametrize(("theirs", "ours"), [(OTHERS, None), (None, OTHERS), (OTHERS, [0, 9, 5, 300])])
@pytest.mark.parametrize("told_by", ["datalist", "weights", "ensemble"])
def test_they_are_refused_and_what_was_there_stays(theirs, ours, told_by, bundle, tmp_path):  # noqa: F811
    def save(name, values, seed=0):
        more = {} if values is None else {"label_values": values}
        return save_weights(tmp_path / f"{name}.pt", make_network(seed=seed), make_record(**more))[0]

    if told_by == "datalist":
        write_datalist(bundle, ours)
    else:
        install_weights([save(f"own{seed}", ours, seed) for seed in range(2 if told_by == "ensemble" else 1)], bundle)
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    with pytest.raises(InputError) as raised:
        install_weights(save("other", theirs, seed=5), bundle)
    numbers = [", ".join(map(str, values or range(4))) for values in (theirs, ours)]
    problem = f"writes the classes as {numbers[0]}, those of the bundle have the label values {numbers[1]}"
    assert str(raised.value) == f"{tmp_path}/other.pt: {problem}: use it with the bundle that it was trained for"
    assert before == {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    install_weights(save("same", ours, seed=6), bundle)


def test_a_bundle_that_has_neither_takes_them(bundle, tmp_path):  # noqa: F811
    """An archive leaves the datalist out; what another program calls a record is none."""
    (bundle / "models").mkdir(exist_ok=True)
    save_file({"a": torch.zeros(1)}, bundle / "models" / "model.safetensors", metadata={"record": '"of 2024"'})
    save_weights(tmp_path / "model.pt", make_network(), make_record(label_values=OTHERS))
    assert len(install_weights(tmp_path / "model.pt", bundle)) == 2


def test_a_prediction_with_them_says_so(bundle, tmp_path, caplog):  # noqa: F811
    save_weights(tmp_path / "model.pt", make_network(), make_record(label_values=OTHERS))
    for values, told in ((OTHERS, False), (None, True)):
        write_datalist(bundle, values)
        caplog.clear()
        load_trained(make_network(), None, bundle, tmp_path / "model.pt")
        assert ("classes as 0, 5, 9, 300, those of the bundle have the label values 0, 1, 2, 3" in caplog.text) is told


def test_weights_of_another_program_write_the_values_of_the_bundle(bundle, tmp_path):  # noqa: F811
    torch.save(make_network().state_dict(), tmp_path / "plain.pt")
    rules = {"working": {}, "intensity_settings": {"picture": {"rule": "percentile_scale"}}}
    for values, written in ((None, None), (OTHERS, OTHERS)):
        write_datalist(bundle, values)
        trained = load_trained(make_network(), None, bundle, tmp_path / "plain.pt", **rules)
        assert trained.record.get("label_values") == written
