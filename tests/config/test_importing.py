"""Imports of a command are left out of the search for garbage, and nothing else is."""

import gc
import importlib
import subprocess
import sys

import pytest

from monai_supmix.config.importing import uncollected


def test_what_was_made_is_not_searched_later():
    with uncollected():
        assert not gc.isenabled()
        made = [[number] for number in range(1000)]
    frozen = {id(one) for one in made}
    assert not any(id(one) in frozen for one in gc.get_objects())


def test_garbage_made_afterwards_is_found():
    with uncollected():
        pass
    cycle: list = []
    cycle.append(cycle)
    number = id(cycle)
    del cycle
    assert gc.collect() > 0
    assert not any(id(one) == number for one in gc.get_objects())


def test_an_import_that_fails_leaves_the_search_as_it_was():
    with pytest.raises(ModuleNotFoundError), uncollected():
        importlib.import_module("monai_supmix.no_such_module")


def test_who_searches_nothing_is_not_made_to():
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
