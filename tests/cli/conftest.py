"""The front in this process, on small phantoms."""

import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from monai.bundle import ConfigParser

from monai_supmix.__main__ import main
from monai_supmix.config.find import find_bundle
from monai_supmix.phantoms import write_chest_ct_phantom, write_fundus_phantom
from monai_supmix.weights import current_versions, save_weights

CT_CLASSES = ["background", "ground_glass", "consolidation", "pleural_effusion"]
RULES = {"hu": {"rule": "hu_window"}, "picture": {"rule": "percentile_scale"}}


class Ended(NamedTuple):
    """How a command ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def front(capsys, tmp_path, monkeypatch):
    """Run a command in an empty working folder; logging is put back as it was."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        return Ended(status, *capsys.readouterr())

    yield run
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def refused(front, tmp_path):
    """Run a command that must end in one error line, and in nothing else that would be left behind."""

    def run(*arguments, says):
        before = sorted(tmp_path.rglob("*"))
        ended = front(*arguments)
        assert ended.status == 2, ended
        assert ended.err.count("\n") == 1 and ended.err.startswith("error: "), ended.err
        assert ended.err.count(": ") >= 3, "subject, problem and remedy"
        assert says in ended.err, ended.err
        assert sorted(tmp_path.rglob("*")) == before
        return ended

    return run


@pytest.fixture(scope="session")
def chest_phantom(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chest")
    return write_chest_ct_phantom(
        folder, num_labeled=3, num_unlabeled=2, num_test=1, size=(32, 32, 4), slice_spacing=30.0
    )


@pytest.fixture
def chest(chest_phantom, tmp_path):
    """A copy to damage: chest_001 to 003 labelled, 004 and 005 unlabelled, 006 of the test."""
    return Path(shutil.copytree(chest_phantom, tmp_path / "chest"))


@pytest.fixture(scope="session")
def fundus(tmp_path_factory):
    return write_fundus_phantom(tmp_path_factory.mktemp("fundus"), size=(64, 66))


def make_weights(path, num_classes=4, in_channels=1, network=None):
    """Untrained weights for the CT bundle's network, or for one that differs from it."""
    parser = ConfigParser()
    parser.read_config(str(find_bundle("covid19_ct_supmix") / "configs" / "inference.json"))
    parser.update({"num_classes": num_classes, "network_def#in_channels": in_channels})
    torch.manual_seed(0)
    record = {"network": {}, "class_names": CT_CLASSES[:num_classes], "intensity": RULES, "working": {}}
    record |= {"trained_on": {}, "versions": current_versions()}
    save_weights(path, network or parser.get_parsed_content("network_def"), record)
    return path


@pytest.fixture(scope="session")
def weights(tmp_path_factory):
    """Untrained weights for the CT bundle."""
    return make_weights(tmp_path_factory.mktemp("weights") / "model.pt")
