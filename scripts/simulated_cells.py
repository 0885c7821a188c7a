"""The file in which a simulation keeps its cells, a line for each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.files import atomic_write


def write_cells(out: Path, about: Mapping[str, Any], name: str, cells: Sequence[Mapping[str, Any]]) -> None:
    """Write ``cells.json``.

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
