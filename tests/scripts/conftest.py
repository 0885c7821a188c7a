"""Phantom data, made once; logging is put back as it was."""

import logging

import pytest

from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp(name) for name in ("chase_supmix", "covid19_ct_supmix")}
    write_fundus_phantom(folders["chase_supmix"], size=(96, 100))
    write_chest_ct_phantom(folders["covid19_ct_supmix"], num_labeled=2, num_unlabeled=2, num_test=1, size=(64, 64, 6))
    return folders


@pytest.fixture(autouse=True)
def _same_logging():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
