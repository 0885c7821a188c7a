"""Where bundles and their configuration files are, by folder or by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from monai_supmix.errors import InputError, nearest

_PACKAGE = Path(__file__).resolve().parents[1]
HOMES = (_PACKAGE / "_bundles", _PACKAGE.parent / "bundles")
"""Folders of the shipped bundles: inside the installed package, or beside it in a clone."""


def find_bundle(name_or_path: str | os.PathLike[str]) -> Path:
    """Find a bundle.

    Args:
        name_or_path: folder of a bundle, or the name of one that comes with this package.

    Returns:
        the bundle's folder, absolute.

    Raises:
        InputError: there is no such bundle; the message names the nearest one, of those beside the folder as well.

    Example:
        >>> find_bundle("chase_supmix").name
        'chase_supmix'
        >>> find_bundle("chase_supmx")
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: chase_supmx: is not a bundle: did you mean chase_supmix?
    """
    folder = Path(name_or_path)
    if is_bundle(folder):
        return folder.resolve()
    name = str(name_or_path)
    shipped = {path.name: path for home in HOMES if home.is_dir() for path in home.iterdir() if is_bundle(path)}
    if name in shipped:
        return shipped[name]
    problem = "is a folder without configs/metadata.json" if folder.is_dir() else "is not a bundle"
    if len(folder.parts) > 1 and not folder.exists():
        problem = "does not exist"
    beside = [str(file.parents[1]) for file in sorted(folder.parent.glob("*/configs/metadata.json"))]
    remedy = f"give the folder of a bundle, or one of {', '.join(shipped) or '(none)'}"
    raise InputError(name, problem, nearest(name, [*shipped, *beside], "") or remedy)


def is_bundle(folder: Path) -> bool:
    """Whether a folder is one."""
    return (folder / "configs" / "metadata.json").is_file()


def config_files(
    bundle: Path, configs: Sequence[str], method: str | None = None, preset: str | None = None
) -> list[Path]:
    """List the configuration files of a run in the order in which they are merged.

    Args:
        bundle: folder of the bundle.
        configs: names of files in its ``configs`` folder (``"train"``), or paths; the first is the main one.
        method: name of a file in ``configs/methods``, or a path.
        preset: name of a file in ``configs/presets``, or a path.

    Returns:
        the files; later ones override earlier ones.

    Raises:
        InputError: there is no such file; the message lists those there are.
    """
    folder = bundle / "configs"
    main, *further = (_find(folder, name, "is not a configuration") for name in configs)
    overlays = [_find(folder / "methods", method, "is not a method")] if method is not None else []
    overlays += [_find(folder / "presets", preset, "is not a preset")] if preset is not None else []
    return [main, *overlays, *further]


def _find(folder: Path, name: str, problem: str) -> Path:
    """A configuration file by its name in a folder, or by its path."""
    named = folder / f"{name}.json"
    if Path(name).name == name and named.is_file() and name != "metadata":
        return named
    if Path(name).suffix in (".json", ".yaml", ".yml") and Path(name).is_file():
        return Path(name).resolve()
    known = [path.stem for path in sorted(folder.glob("*.json")) if path.stem != "metadata"]
    raise InputError(name, problem, nearest(name, known, "use one of {}") if known else "this bundle has none")
