"""``import monai_supmix as ms``: few names, loaded when they are used, with types for a user's own checks."""

import logging
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import monai_supmix as ms

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", [name for name in ms.__all__ if name != "__version__"])
def test_every_name_is_there_and_is_that_of_its_room(name):
    thing = getattr(ms, name)
    assert thing.__name__ == name and thing.__doc__
    assert name in dir(ms)


def test_another_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'SupMicks'"):
        ms.SupMicks  # noqa: B018


def test_importing_loads_nothing_slow():
    slow = ("torch", "monai", "nibabel", "itk", "numpy")
    code = f"import sys, monai_supmix; print([name for name in {slow} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_types_are_marked_as_such():
    assert (resources.files("monai_supmix") / "py.typed").is_file()


@pytest.mark.slow
def test_a_users_type_checker_sees_the_types(tmp_path):
    pytest.importorskip("mypy")
    file = tmp_path / "mine.py"
    file.write_text(
        "import monai_supmix as ms\n\nmix = ms.SupMix(num_classes='four')\nms.read_image(3)\n", encoding="utf-8"
    )
    # With this project's own settings, so that it begins with what mypy knows already.
    out = subprocess.run(
        [sys.executable, "-m", "mypy", file], capture_output=True, text=True, check=False, cwd=ROOT
    ).stdout
    assert 'Argument "num_classes" to "SupMix" has incompatible type "str"' in out, out
    assert 'Argument 1 to "read_image" has incompatible type "int"' in out, out


@pytest.mark.parametrize("options, problem", [({"ttaa": True}, "did you mean tta"), ({"overwrite": 3}, "is 3")])
def test_prediction_from_python_checks_its_options(options, problem, tmp_path):
    with pytest.raises(ms.InputError, match=problem):
        ms.predict("chase_supmix", tmp_path / "none.png", tmp_path / "masks", **options)
    assert not (tmp_path / "masks").exists()


@pytest.mark.parametrize("options, problem", [({}, "empty.png"), ({"device": "cuda:99"}, "this machine has")])
def test_mistakes_in_prediction_from_python_come_as_themselves(options, problem, tmp_path):
    """Not as MONAI's error about the part of the configuration in which they were noticed."""
    (tmp_path / "empty.png").touch()
    with pytest.raises(ms.InputError, match=problem):
        ms.predict("chase_supmix", tmp_path / "empty.png", tmp_path / "masks", **options)
    assert not (tmp_path / "masks").exists()


def test_prediction_from_python_leaves_the_logging_of_the_program_alone(tmp_path, monkeypatch):
    root, mine = logging.getLogger(), logging.NullHandler()
    monkeypatch.setattr(root, "handlers", [mine])
    monkeypatch.setattr(root, "level", logging.WARNING)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "eye.png")
    ms.predict("chase_supmix", tmp_path / "eye.png", tmp_path / "masks", device="cpu")
    assert (tmp_path / "masks" / "eye_seg.png").exists()
    assert root.handlers == [mine] and not mine.filters and root.level == logging.WARNING
