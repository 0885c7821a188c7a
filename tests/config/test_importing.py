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
    """As in a process that has not imported MONAI."""
    monkeypatch.setattr("monai_supmix.config.importing._LARGE", "no_such_module")


def is_searched(one):
    return any(found is one for found in gc.get_objects())


def test_what_imports_made_is_not_searched_later(without_monai):
    with uncollected():
        assert not gc.isenabled()
        made = Ring()
    assert gc.isenabled() and not is_searched(made)


def test_garbage_of_before_and_of_afterwards_is_found(without_monai):
    before = weakref.ref(Ring())
    with uncollected():
        pass
    after = weakref.ref(Ring())
    gc.collect()
    assert before() is None and after() is None


def test_where_monai_is_there_already_a_callers_objects_stay_as_they_are():
    importlib.import_module("monai")
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


def test_a_command_leaves_its_imports_out():
    script = (
        "import gc, sys; from monai_supmix.cli.workflow import configure; "
        "configure('covid19_ct_supmix', ['inference'], {}); "
        "print('torch' in sys.modules, gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["True", "True", "True"]
