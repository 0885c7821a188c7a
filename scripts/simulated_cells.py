"""What the commands of simulated tables have in common: options, the file of their cells, and the table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.files import atomic_write
from monai_supmix.listing import read_json

Cells = Sequence[Mapping[str, Any]]


def make_parser(about: str | None, name: str, count: int, iterations: int, data: str | None) -> argparse.ArgumentParser:
    """The options of such a command.

    Args:
        about: what it does.
        name: option for the number of cells.
        count: its default.
        iterations: default length of each training.
        data: data set that it needs, if any.
    """
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    if data is not None:
        parser.add_argument("--data", type=Path, help=f"folder of {data}")
    parser.add_argument("--out", type=Path, help="folder for trainings and cells.json")
    parser.add_argument(f"--{name}", type=int, default=count, help=f"default: {count}")
    parser.add_argument("--iterations", type=int, default=iterations, help=f"of each training; default: {iterations}")
    parser.add_argument("--cells", type=Path, help="print the table of this file")
    return parser


def run_table(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    about: Mapping[str, Any],
    name: str,
    made: Iterable[Mapping[str, Any]],
    table: Callable[[Cells], Iterable[str]],
) -> None:
    """Print the table of ``--cells``, or make the cells, and write and print after each what is known so far.

    Args:
        parser: from `make_parser`.
        arguments: what it has read.
        about: see `write_cells`.
        name: see `write_cells`.
        made: makes the cells one by one; it is not begun unless all that it needs was given.
        table: lines of the table.
    """
    if arguments.cells is not None:
        print(*table(read_json(arguments.cells)[name]), sep="\n")
        return
    missing = [f"--{key}" for key in ("data", "out") if key in arguments and getattr(arguments, key) is None]
    if missing:
        parser.error(f"give {' and '.join(missing)}")
    cells: list[Mapping[str, Any]] = []
    for cell in made:
        cells.append(cell)
        write_cells(arguments.out, about, name, cells)
        print(*table(cells), sep="\n", flush=True)


def write_cells(out: Path, about: Mapping[str, Any], name: str, cells: Cells) -> None:
    """Write ``cells.json``, a line for each cell.

    Args:
        out: folder for it.
        about: what all cells have in common.
        name: what they are called in the file.
        cells: plain values.

    Raises:
        InputError: the file cannot be written.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp())
        >>> write_cells(out, {"iterations": 600}, "seeds", [{"seed": 0}, {"seed": 1}])
        >>> json.loads((out / "cells.json").read_text(encoding="utf-8"))
        {'about': {'iterations': 600}, 'seeds': [{'seed': 0}, {'seed': 1}]}
    """
    with atomic_write(out / "cells.json", text=True) as file:
        lines = ",\n".join(json.dumps(cell) for cell in cells)
        file.write(f'{{"about": {json.dumps(about)}, "{name}": [\n{lines}\n]}}\n')
