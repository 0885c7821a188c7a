"""Imports of a command are left out of the search for garbage, and nothing else is."""

import gc
import importlib
import subprocess
import sys
import weakref

import pytest

from monai_supmix.config.importing import uncollected


class Ring:
    """Garbage that only a search finds."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def without_monai(monkeypatch):
    """As in a process of a command that has not imported MONAI."""
    monkeypatch.setattr("monai_supmix.config.importing._LARGE", "no_such_module")
    monkeypatch.setattr("monai_supmix.config.importing._own_process", True)


def is_searched(one):
    return any(found is one for found in gc.get_objects())


def test_what_imports_made_is_not_searched_later(without_monai):
    with uncollected():
        assert not gc.isenabled()
        made = Ring()
    assert gc.isenabled() and not is_searched(made)


def test_garbage_made_afterwards_is_found(without_monai):
    with uncollected():
        pass
    after = weakref.ref(Ring())
    gc.collect()
    assert after() is None


@pytest.mark.parametrize("own", [True, False])
def test_what_a_caller_made_is_searched(without_monai, monkeypatch, own):
    monkeypatch.setattr("monai_supmix.config.importing._own_process", own)
    if own:
        monkeypatch.setattr("monai_supmix.config.importing._LARGE", "pytest")  # is there already
    with uncollected():
        assert gc.isenabled()
        made = Ring()
    assert is_searched(made)


def test_an_import_that_fails_leaves_the_search_as_it_was(without_monai):
    with pytest.raises(ModuleNotFoundError), uncollected():
        importlib.import_module("monai_supmix.no_such_module")
    assert gc.isenabled()


def test_who_searches_for_nothing_is_not_made_to(without_monai):
    gc.disable()
    try:
        with uncollected():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


_FROZEN_AT_THE_END = """
import atexit, gc, sys
atexit.register(lambda: print("frozen", gc.get_freeze_count() > 100_000, "torch" in sys.modules, gc.isenabled()))
from monai_supmix.__main__ import main
sys.argv[1:] = {arguments}
sys.exit(main({given}))
"""


@pytest.mark.parametrize(
    ("arguments", "given", "frozen"),
    [
        (["predict", "covid19_ct_supmix", "nowhere.nii.gz", "--output_dir", "out"], "", True),
        (["predict", "covid19_ct_supmix", "nowhere.nii.gz", "--output_dir", "out"], "sys.argv[1:]", False),
        (["check", "covid19_ct_supmix", "--dataset_dir", "nowhere"], "", True),
        (["audit", "covid19_ct_supmix"], "", True),
        (["collect", "nowhere"], "", True),
    ],
)
def test_commands_leave_their_imports_out_and_callers_of_main_lose_nothing(arguments, given, frozen, tmp_path):
    script = _FROZEN_AT_THE_END.format(arguments=arguments, given=given)
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert ran.stdout.splitlines()[-1] == f"frozen {frozen} True True", ran.stderr
