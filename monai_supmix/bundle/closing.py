"""The last words of a run: where everything is that it wrote."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def closing_lines(folder: str | os.PathLike[str], files: Iterable[Path]) -> list[str]:
    """List the files of a run with their sizes, relative to its folder.

    Args:
        folder: the run's output folder.
        files: files in it.

    Returns:
        one line for the folder and one for each file.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "model.pt").write_bytes(bytes(2500))
        >>> closing_lines(folder, [folder / "model.pt"])[1]
        '  model.pt (2.5 kB)'
    """
    folder = Path(folder)
    return [
        f"written to {folder.resolve()}:",
        *(f"  {path.relative_to(folder).as_posix()} ({_size(path.stat().st_size)})" for path in files),
    ]


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e3:.1f} kB" if num_bytes < 1e6 else f"{num_bytes / 1e6:.1f} MB"
