"""Options of the command line are read as MONAI reads them, and mistakes are reported."""

import pytest
from fire.parser import DefaultParseValue
from hypothesis import example, given
from hypothesis import strategies as st
from monai.bundle import ConfigParser

from monai_supmix.config import overrides
from monai_supmix.config.overrides import (
    JSON_WORDS,
    check_keys,
    check_tracking,
    for_monai,
    parse_value,
    read_overrides,
    split_flags,
)
from monai_supmix.errors import InputError

CONFIG = {
    "output_dir": "./output",
    "seed": 0,
    "max_iterations": None,
    "labeled_list": None,
    "test_list": None,
    "tta": False,
    "sizes": [1, 2],
    "network": {"_target_": "UNet", "features": [{"width": 8}]},
    "plain": {"scale": 0.5},
    "empty": {},
    "dynamic": "$1 + 1",
}


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("ouput_dir", "x", "--ouput_dir: is not a key of : did you mean output_dir?"),
        ("plain#scal", 1, "--plain#scal: is not a key of : did you mean plain#scale?"),
        ("sizes#2", 1, "--sizes#2: is not a key of"),
        ("sizes#0", "x", "--sizes#0: is 'x': give a whole number such as 1"),
        ("network::features::0::width", "x", "give a whole number such as 8"),
        ("dynamic2", 1, "did you mean dynamic?"),
        ("labeled_list", [1.5], "--labeled_list: is [1.5]: give a list of names, a text file of them or null"),
    ],
)
def test_unknown_keys_and_values_that_cannot_be(key, value, says):
    with pytest.raises(InputError) as error:
        check_keys(CONFIG, {key: value}, [])
    assert says in str(error.value)


@pytest.mark.parametrize(
    "values",
    [
        {"network#width": 3, "empty#new": 1, "network#features#0#width": 4, "sizes#1": 5, "_meta_#version": "1"},
        {"seed": "$1 + 1", "network": "%other.json#network", "dynamic": 7, "plain": "@empty"},
    ],
)
def test_what_monai_understands_passes(values):
    check_keys(CONFIG, values, [])


def test_tracking_without_what_it_takes(monkeypatch):
    with pytest.raises(InputError, match="--tracking: is 'other', which is not a file: give mlflow"):
        check_tracking("other")
    check_tracking(__file__)
    monkeypatch.setattr(overrides.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--tracking: takes mlflow, .*: pip install 'monai-supmix\[mlflow\]'"):
        check_tracking("mlflow")


TEXTS = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["True", "None", "true", "./a/b.json", "[a, b]", "{a: 1}", "('x',)", "1-2", "x.y", "[a"]),
    st.text(alphabet="ab1[]{}(),:' .-_/=", max_size=8),
)


@example("word ")
@given(TEXTS)
def test_values_are_what_fire_makes_of_them_but_for_the_words_of_json(text):
    try:
        expected = DefaultParseValue(text)
    except Exception:
        return  # fire gives up on the odd text
    if not any(word in text for word in JSON_WORDS):
        assert repr(parse_value(text)) == repr(expected)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, value) for word, value in JSON_WORDS.items()),
        ("[a, true, {b: null}]", ["a", True, {"b": None}]),
        ('["true", 1]', ["true", 1]),
        ("run#2", "run#2"),
        ('["run#2"]', ["run#2"]),
        ("{[1]: 2}", "{[1]: 2}"),
        ("[" * 2000, "[" * 2000),
        (None, True),
    ],
)
def test_words_of_json_and_what_fire_gives_up_on(text, value):
    assert repr(parse_value(text)) == repr(value)


@pytest.mark.parametrize("key", ["labeled_list", "test_list"])
@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[1,2]", ["1", "2"]),
        ("['1','2']", ["1", "2"]),
        ("[a,2]", ["a", "2"]),
        ("[01, 1_0]", ["01", "1_0"]),
        ("2", "2"),
        ("007", "007"),
        ("names.txt", "names.txt"),
        ("null", None),
    ],
)
def test_names_of_cases_are_names_also_when_they_are_numbers(key, text, names):
    assert read_overrides(CONFIG, {key: text}, []) == {key: names}


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


@pytest.mark.parametrize("default", [2, [{"seed": 1}, {}]])
def test_networks_of_a_self_training_are_a_number_or_their_entries_whichever_the_bundle_has(default):
    config = {"self_training": {"networks": default}}
    for text, value in (("3", 3), ('[{}, {"seed": 3}]', [{}, {"seed": 3}])):
        overrides = read_overrides(config, {"self_training#networks": text}, [])
        assert overrides == {"self_training#networks": value}
