#!/usr/bin/env python3
"""List the other CPythons of this machine on which the package promises to run: a line ``3.12.1 PATH`` for each.

Looked for on the PATH (``python3.12``) and among pyenv's versions; one for each minor version but that of this process.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import metadata
from pathlib import Path

from packaging.specifiers import SpecifierSet

# Free-threaded builds and pre-releases are left out: hardly any library has wheels for them.
_ABOUT = """
import platform, sys, sysconfig
ordinary = sys.version_info.releaselevel == "final" and not sysconfig.get_config_var("Py_GIL_DISABLED")
print(platform.python_implementation() if ordinary else "special", platform.python_version())
"""


def candidates(path: str, pyenv: Path) -> Iterator[Path]:
    """Whatever is named like an interpreter, in the folders of a search path and then in pyenv's."""
    for folder in path.split(os.pathsep):
        files = Path(folder).glob("python3.*") if folder else ()
        yield from sorted(file for file in files if re.fullmatch(r"python3\.\d+", file.name))
    yield from sorted(pyenv.glob("versions/*/bin/python"))


def usable(pythons: Iterable[Path], promised: str, tested: tuple[int, int]) -> dict[tuple[int, int], tuple[str, Path]]:
    """Those that run and that the package promises to run on, by minor version, the first of each.

    Args:
        pythons: files that may be interpreters.
        promised: the package's ``requires-python``.
        tested: the minor version that needs no further test.

    Returns:
        version and file by minor version, oldest first.
    """
    chosen: dict[tuple[int, int], tuple[str, Path]] = {}
    for python in pythons:
        try:
            command = [str(python), "-c", _ABOUT]
            ran = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        except OSError:
            continue
        kind, _, version = ran.stdout.strip().partition(" ")
        if ran.returncode or kind != "CPython" or version not in SpecifierSet(promised):
            continue
        major, minor, *_ = version.split(".")
        if (int(major), int(minor)) != tested:
            chosen.setdefault((int(major), int(minor)), (version, python))
    return dict(sorted(chosen.items()))


def main() -> None:
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    interpreters = candidates(os.environ.get("PATH", ""), pyenv)
    promised = metadata("monai-supmix")["Requires-Python"]
    for version, python in usable(interpreters, promised, sys.version_info[:2]).values():
        print(version, python)


if __name__ == "__main__":
    main()
