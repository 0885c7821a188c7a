"""What a merged configuration says can be meant: arguments, devices, options that have an effect."""

import pytest
import torch

from monai_supmix.config.components import check_config, find_target, require_device, unknown_arguments
from monai_supmix.config.running import check_names
from monai_supmix.errors import InputError


@pytest.mark.parametrize(
    ("component", "unknown"),
    [
        ({"_target_": "torch.optim.AdamW", "lrr": 0.1, "betas": [0.9, 0.99]}, {"lrr": "did you mean lr?"}),
        (
            {"_target_": "monai_supmix.engines.SemiSupervisedTrainer", "sufd_wait": 1},
            {"sufd_wait": "did you mean sufd_weig"},
        ),
        ({"_target_": "monai_supmix.engines.SemiSupervisedTrainer", "amp": 1, "non_blocking": True}, {}),  # handed on
        ({"_target_": "monai_supmix.inferers.SliceVolumeInferer", "flipz": [1]}, {"flipz": "did you mean flips?"}),
        ({"_target_": "RandFlipd", "keys": "image", "pob": 0.5}, {"pob": "did you mean prob?"}),
        ({"_target_": "monai_supmix.data.covid_datalist", "qqq": 1}, {"qqq": "use one of dataset_dir, "}),
        ({"_target_": "torch.nn.Linear", "_disabled_": True, "_requires_": [], "_desc_": "", "_mode_": "default"}, {}),
        ({"_target_": "builtins.dict", "anything": 1}, {}),  # takes **kwargs
        ({"_target_": "builtins.max", "anything": 1}, {}),  # has no signature
        ({"_target_": "not.there.Thing", "anything": 1}, {}),
        ({"_target_": "$@network.forward", "anything": 1}, {}),
    ],
)
def test_arguments_are_held_against_signatures(component, unknown):
    found = unknown_arguments(component)
    assert found.keys() == unknown.keys()
    assert all(found[key].startswith(unknown[key]) for key in found)


def test_a_name_of_monai_is_enough():
    assert find_target("RandFlipd") is find_target("monai.transforms.RandFlipd")


@pytest.mark.parametrize("depth", [0, 1])
def test_a_misspelt_argument_is_named_as_it_was_written(depth):
    component = {"_target_": "RandFlipd", "keys": "image", "pob": 0.5}
    key, config = [("flip#pob", {"flip": component}), ("all#steps#0#pob", {"all": {"steps": [component]}})][depth]
    for options, name in (((), key), ((key,), f"--{key}"), ((key.replace("#", "::"),), f"--{key.replace('#', '::')}")):
        with pytest.raises(InputError) as caught:
            check_config(config, options)
        assert str(caught.value) == f"{name}: RandFlipd has no such argument: did you mean prob?"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"teacher_momentum": "abc"}, "teacher_momentum: is 'abc': give a number in [0, 1), such as 0.99, or null"),
        ({"teacher_momentum": 1}, "teacher_momentum: is 1: give a number in [0, 1), such as 0.99, or null"),
        ({"save": "x"}, "save: is 'x': give 'student' or 'teacher'"),
        ({"max_epochs": -1}, "max_epochs: is -1: give a whole number of at least 1"),
        ({"tta": "true"}, "tta: is 'true': write True"),
        ({"output_dir": 2024}, "output_dir: is 2024: give a path"),
        ({"device": "gpu"}, "device: is 'gpu': give cpu, cuda, cuda:0, mps or xpu"),
    ],
)
def test_settings_are_checked_wherever_they_come_from(config, says):
    with pytest.raises(InputError) as caught:
        check_config(config)
    assert str(caught.value) == says


@pytest.mark.parametrize(
    ("device", "count", "there"),
    [
        *(("mps", 0, False), ("mps", 1, True), ("xpu", 0, False), ("xpu:1", 1, False), ("xpu:1", 2, True)),
        *(("cuda", 0, False), ("cuda:7", 7, False), ("cpu", 1, True)),
    ],
)
def test_a_device_has_to_be_there(device, count, there, monkeypatch):
    monkeypatch.setattr(torch.get_device_module(device), "device_count", lambda: count)
    if there:
        require_device(device)
    else:
        with pytest.raises(InputError, match=rf"device: is '{device}', and this machine has .*: leave it out"):
            require_device(device)


DATALIST = {"_target_": "monai_supmix.data.chase_datalist", "dataset_dir": "@dataset_dir", "observer": "@observer"}
DATALIST |= {"num_labeled": "@num_labeled", "unlabeled_pool": "@pool"}


@pytest.mark.parametrize("part", ["found", "datalist"])
def test_options_that_a_datalist_file_leaves_without_effect(part):
    config = {"dataset_dir": "split.json", "observer": "second", "pool": "all", part: DATALIST}
    for option in ("observer", "pool"):
        with pytest.raises(InputError, match=f"--{option}: has no effect on split.json, a datalist that says it itse"):
            check_config(config, [option])
        check_config(config | {"dataset_dir": "folder"}, [option])
    check_config(config, ["num_labeled"])
    check_config(config)  # a default is no wish
    check_config(config | {part: DATALIST | {"_target_": "mine.datalist"}}, ["observer"])


def test_a_key_that_nothing_uses(tmp_path):
    (tmp_path / "methods").mkdir()
    (tmp_path / "train.json").write_text('{"tta": true, "max_epochs": 3, "a#b": 1}', encoding="utf-8")
    (tmp_path / "methods" / "mine.json").write_text('{"unused": 1}', encoding="utf-8")
    (tmp_path / "evaluate.json").write_text('{"tta": true, "only_here": 3, "metric": 1}', encoding="utf-8")
    config = {"tta": True, "max_epochs": 4, "unused": 2, "helper": 1, "size": "$@helper + 1", "_note": "", "run": []}
    check_names(config | {"a": "@size"}, tmp_path, ["run", "a"])
    for key, remedy in (("ttaa", "did you mean tta?"), ("only_here", "leave it out")):
        with pytest.raises(InputError) as caught:
            check_names(config | {"a": "@size", key: 1}, tmp_path, ["run", "a"])
        assert str(caught.value) == f"{key}: is not used by this configuration: {remedy}"
    with pytest.raises(InputError, match=r"tta: is 'run#2', in which monai\.bundle changes the #"):
        check_names(config | {"tta": "run#2", "a": "@size"}, tmp_path, ["run", "a"])
