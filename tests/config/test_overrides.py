"""Overrides are read as MONAI reads them, and what it would swallow is told."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from monai_supmix.config import overrides
from monai_supmix.config.find import find_bundle
from monai_supmix.config.overrides import (
    check_overrides,
    for_monai,
    parse_value,
    read_overrides,
    split_flags,
)
from monai_supmix.errors import InputError

PROGRAM = "/somewhere/monai/bundle/__main__.py"
CONFIG = {
    "output_dir": "./output",
    "seed": 0,
    "max_iterations": None,
    "tta": False,
    "resume": False,
    "sizes": [1, 2],
    "network": {"_target_": "UNet", "features": [{"width": 8}]},
    "plain": {"scale": 0.5},
    "empty": {},
    "dynamic": "$1 + 1",
}


@pytest.fixture
def config_file(tmp_path):
    path = tmp_path / "train.json"
    path.write_text(json.dumps(CONFIG))
    return path


def check(config_file, *arguments):
    check_overrides([PROGRAM, "run", "--config_file", str(config_file), *arguments])


SWALLOWED = [
    ("--ouput_dir x", "--ouput_dir: is no key of train.json: did you mean output_dir?"),
    ("--ouput_dir=x", "--ouput_dir: is no key of train.json: did you mean output_dir?"),
    ("-s 3", "--s: is no key of train.json"),
    ("--seed 1.5", "--seed: is 1.5: give a whole number of at least 0"),
    ("--output_dir 2024", "--output_dir: is 2024: give a path"),
    ("--max_iterations None", "--max_iterations: is None, which monai.bundle leaves out without a word"),
    ("--resume false", "--resume: is the word 'false' to monai.bundle: write False"),
    ("--tta true", "--tta: is the word 'true' to monai.bundle: write True"),
    ("--max_iterations null", "--max_iterations: is the word 'null' to monai.bundle: write None"),
    ("--output_dir run#2", "in which monai.bundle changes the #"),
    ("--noseed", "--seed: is False: give a whole number of at least 0"),
    ("--plain#scal 1", "--plain#scal: is no key of train.json: did you mean plain#scale?"),
    ("--sizes#2 1", "--sizes#2: is no key of train.json"),
    ("--sizes#0 x", "--sizes#0: is 'x': give a whole number such as 1"),
    ("--network::features::0::width x", "give a whole number such as 8"),
    ("--dynamic2 1", "did you mean dynamic?"),
]


@pytest.mark.parametrize(("line", "says"), SWALLOWED)
def test_what_monai_would_swallow_is_told(config_file, line, says):
    with pytest.raises(InputError) as error:
        check(config_file, *line.split())
    assert says in str(error.value)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--output_dir", "x", "--seed", "3", "--tta", "--resume", "auto"],
        ["--notta", "--max_iterations", "10", "--run_id", "run", "--tracking", "mlflow"],
        ["--network#width", "3", "--empty#new", "1", "--network#features#0#width", "4", "--sizes#1", "5"],
        ["--seed", "$1 + 1", "--network", "%other.json#network", "--dynamic", "7", "--plain", "@empty"],
        ["--_meta_#version", "1"],
    ],
)
def test_what_monai_understands_passes(config_file, arguments):
    check(config_file, *arguments)


def test_settings_of_tracking_are_keys_of_every_training_and_evaluation():
    for bundle in ("chase_supmix", "covid19_ct_supmix"):
        for kind in ("train", "evaluate"):
            file = find_bundle(bundle) / "configs" / f"{kind}.json"
            check(file, "--tracking", "mlflow", "--tracking_uri", "sqlite:////x/runs.db", "--experiment_name", "mine")
            check(file, "--tracking", "mlflow", "--run_name", "first", "--save_execute_config", "True")


def test_tracking_without_what_it_takes(config_file, monkeypatch):
    with pytest.raises(InputError, match="--tracking: is 'other', which is no file: give mlflow"):
        check(config_file, "--tracking", "other")
    check(config_file, "--tracking", str(config_file))
    monkeypatch.setattr(overrides.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--tracking: takes mlflow, .*: pip install 'monai-supmix\[mlflow\]'"):
        check(config_file, "--tracking", "mlflow")


def test_overrides_in_an_arguments_file_are_checked_too(config_file, tmp_path):
    arguments = tmp_path / "arguments.json"
    arguments.write_text(json.dumps({"config_file": str(config_file), "sed": 3}))
    with pytest.raises(InputError, match=r"--sed: is no key of train\.json: did you mean seed"):
        check_overrides([PROGRAM, "run", "--args_file", str(arguments)])


def test_keys_of_all_files_count(config_file, tmp_path):
    more = tmp_path / "more.json"
    more.write_text('{"mixing": null}')
    files = f"['{config_file}','{more}']"
    check_overrides([PROGRAM, "run", "--config_file", files, "--mixing", "1"])
    with pytest.raises(InputError, match=r"is no key of train\.json, more\.json"):
        check_overrides([PROGRAM, "run", "--config_file", files, "--mixin", "1"])


@pytest.mark.parametrize(
    "argv",
    [
        ["/venv/bin/monai-supmix", "run", "--config_file", "none.json", "--ouput_dir", "x"],
        ["/here/pytest/__main__.py", "run", "--ouput_dir", "x"],
        [PROGRAM, "ckpt_export", "--config_file", "none.json", "--ouput_dir", "x"],
        [PROGRAM],
        [""],
    ],
)
def test_other_programs_are_none_of_its_business(argv):
    check_overrides(argv)


@pytest.mark.slow
def test_under_monai_bundle_the_mistake_is_the_last_line(tmp_path):
    pytest.importorskip("fire", reason="monai.bundle's command line needs fire")
    config = {
        "imports": ["$import monai_supmix.config.overrides as overrides"],
        "output_dir": "out",
        "initialize": ["$overrides.check_overrides()"],
        "run": ["$print('it runs')"],
    }
    (tmp_path / "train.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "monai.bundle", "run", "--config_file", "train.json", "--ouput_dir", "x"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode != 0 and "it runs" not in ended.stdout
    last = ended.stderr.splitlines()[-1]
    assert last == "error: --ouput_dir: is no key of train.json: did you mean output_dir?"


TEXTS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["True", "None", "true", "./a/b.json", "[a, b]", "{a: 1}", "('x',)", "1-2", "x.y", "[a"]),
    st.text(alphabet="ab1[]{}(),:' .-_/=", max_size=8),
)


@example("word ")
@given(TEXTS)
def test_values_are_what_fire_makes_of_them(text):
    parser = pytest.importorskip("fire.parser", reason="fire is not installed")
    try:
        expected = parser.DefaultParseValue(text)
    except Exception:
        return  # fire gives up on the odd text
    assert repr(parse_value(text)) == repr(expected)


KEYS = st.from_regex(r"[a-z]{2,5}", fullmatch=True)


@given(st.dictionaries(KEYS, st.integers(-9, 9)))
def test_flags_are_taken_apart_however_they_are_written(pairs):
    spaced = [part for key, value in pairs.items() for part in (f"--{key}", str(value))]
    joined = [f"--{key}={value}" for key, value in pairs.items()]
    wanted = {key: str(value) for key, value in pairs.items()}
    assert split_flags(spaced) == split_flags(joined) == (wanted, [])


def test_own_flags_stay_with_their_values():
    arguments = ["run", "b", "--method", "m", "--seed", "1", "--method2=3", "train"]
    pairs, rest = split_flags(arguments, ["method"])
    assert pairs == {"seed": "1", "method2": "3"}
    assert rest == ["run", "b", "--method", "m", "train"]


@given(st.text(max_size=12))
def test_any_text_reaches_monai_unchanged(text):
    if text[:1] in ("$", "@", "%"):
        return
    parser = ConfigParser({"here": "old", "there": "$@here"})
    parser.update({"here": for_monai(text)})
    assert parser.get_parsed_content("here") == text
    assert parser.get_parsed_content("there") == text


def test_text_that_looks_like_a_number_stays_text_where_text_is_expected():
    pairs = {"output_dir": "2024", "seed": "3", "max_iterations": "null", "tta": "true"}
    wanted = {"output_dir": "2024", "seed": 3, "max_iterations": None, "tta": True}
    assert read_overrides(CONFIG, pairs, []) == wanted


def test_a_number_for_a_new_argument_of_a_component_is_a_number():
    config = {"mixing": {"_target_": "SupMix"}, "run_name": "@output_dir", "total": "$1 + 1"}
    pairs = {"mixing#prob": "0.25", "run_name": "5", "total": "7"}
    assert read_overrides(config, pairs, []) == {"mixing#prob": 0.25, "run_name": "5", "total": 7}
