"""Interpreters: which one makes the environment of a clone, and on which others the package is tested."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from find_pythons import candidates, usable

SETUP = Path(__file__).parents[2] / "scripts" / "setup"


@pytest.fixture
def clone(tmp_path):
    folder = tmp_path / "clone"
    (folder / "scripts").mkdir(parents=True)
    shutil.copy(SETUP, folder / "scripts")
    return folder


def program(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines]) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def refused(clone, python):
    """What `scripts/setup` says when it must refuse and leave the clone as it is."""
    before = sorted(clone.rglob("*"))
    environment = {**os.environ, "PYTHON": str(python)}
    ended = subprocess.run(["scripts/setup"], cwd=clone, capture_output=True, text=True, check=False, env=environment)
    assert (ended.returncode, ended.stdout, sorted(clone.rglob("*"))) == (2, "", before)
    assert ended.stderr.startswith("error: ") and ended.stderr.count("\n") == 1
    return ended.stderr


def test_setup_refuses_a_python_that_is_missing_or_too_old(clone, tmp_path):
    assert "error: python3.99: is not a Python that runs: set PYTHON to 3.10 or newer" in refused(clone, "python3.99")
    as_3_9 = "import sys; sys.version_info = (3, 9, 18); exec(sys.argv[1])"
    old = program(tmp_path / "old", f"""exec "{sys.executable}" -c '{as_3_9}' "$2" """)
    assert f"error: {old}: is Python 3.9: set PYTHON to 3.10 or newer" in refused(clone, old)


def test_setup_leaves_no_environment_that_is_half_made(clone, tmp_path):
    half = 'if [ "$2" = venv ]; then mkdir -p "$3/bin"; echo no ensurepip; exit 1; fi'
    broken = program(tmp_path / "broken", half, f'exec "{sys.executable}" "$@"')
    assert f"error: {broken}: cannot make a virtual environment" in refused(clone, broken)


def test_setup_takes_no_other_python_than_the_one_that_is_named(clone, tmp_path):
    program(clone / ".venv" / "bin" / "python", "echo 3.10")
    other = program(tmp_path / "other", "echo 3.12")
    assert "error: .venv: is of Python 3.10, and PYTHON=" in refused(clone, other)
    (clone / ".venv" / "bin" / "python").unlink()
    assert "error: .venv: holds no Python that runs: remove it" in refused(clone, other)


def test_setup_says_what_it_installs_and_nothing_where_nothing_is_to_be_done(clone):
    (clone / "pyproject.toml").touch()
    program(clone / ".venv" / "bin" / "python", '[ "$2" = pip ] || echo 3.12')
    for told in ("installing into .venv: about 7 GB", ""):
        ended = subprocess.run(["scripts/setup"], cwd=clone, capture_output=True, text=True, check=True)
        assert ended.stdout == "" and ended.stderr.startswith(told) and ended.stderr.count("\n") == bool(told)


def test_other_pythons_are_those_of_the_promised_versions_each_once(tmp_path):
    path, pyenv = tmp_path / "bin", tmp_path / "pyenv"
    for version in ("3.9.18", "3.10.13", "3.11.7", "3.12.1", "3.14.0", "3.15.0"):
        program(pyenv / "versions" / version / "bin" / "python", f"echo CPython {version}")
    program(pyenv / "versions" / "pypy" / "bin" / "python", "echo PyPy 3.13.1")
    program(pyenv / "versions" / "special" / "bin" / "python", "echo special 3.13.2")
    program(path / "python3.10", "echo pyenv: no such version is chosen >&2; exit 127")  # pyenv's shim
    first = program(path / "python3.12", "echo CPython 3.12.9")
    program(path / "python3.13-config", "echo CPython 3.13.0")
    (path / "python3.14").write_text("no program", encoding="utf-8")
    chosen = usable(candidates(f"{path}{os.pathsep}", pyenv), ">=3.10,<3.15", (3, 11))
    of_pyenv = [(version, pyenv / "versions" / version / "bin" / "python") for version in ("3.10.13", "3.14.0")]
    assert list(chosen.values()) == [of_pyenv[0], ("3.12.9", first), of_pyenv[1]]
    assert usable(candidates("", tmp_path / "nothing"), ">=3.10", (3, 11)) == {}
