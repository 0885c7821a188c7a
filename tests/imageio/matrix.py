"""The matrix of readers: every type of file in every storage that common tools write, read or refused.

    python -m tests.imageio.matrix            # prints the table
    python -m tests.imageio.matrix --write    # puts it into monai_supmix/imageio/FORMATS.md

Each row makes a file from an array and reads it as an image and as a label map. An answer is ``as stored`` if
every number is the array's, else the refusal; anything else is an error. Colours of palettes, and what a lossy
compression makes of an array, are compared with another decoder or with the palette.
"""

import argparse
import re
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.reading import read_image, read_label
from tests.imageio import matrix_pictures, matrix_volumes

DOCUMENT = Path(__file__).parents[2] / "monai_supmix/imageio/FORMATS.md"
MARK = "<!-- the table is written by python -m tests.imageio.matrix --write -->\n"


@dataclass(frozen=True)
class Row:
    """One storage.

    Args:
        kind: type of file.
        storage: in words.
        name: of the file.
        write: writes it to a path; returns what an image must hold, and what a label map must.
    """

    kind: str
    storage: str
    name: str
    write: Callable[[Path], tuple[np.ndarray, np.ndarray]]


def rows() -> list[Row]:
    """All storages."""
    made = [row for module in (matrix_pictures, matrix_volumes) for row in module.rows()]
    return [Row(kind, re.sub(r"\b1 bits", "1 bit", words), *rest) for kind, words, *rest in made]


def answer(row: Row) -> tuple[str, str]:
    """What reading a storage as an image and as a label map gives."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / row.name
        image, label = row.write(path)
        given = path.parent if row.kind == "DICOM" else path
        seen = _try(lambda: read_image(given), image, lambda got: got.array * got.slope + got.inter)
        labelled = "" if row.kind == "DICOM" else _try(lambda: read_label(given), label, np.asarray)
    return seen, labelled


def _try(read, expected, values) -> str:
    try:
        got = read()
    except InputError as error:
        return f"refused: {error.problem}"
    found = values(got)
    if expected is None:
        return "WRONG: read, and should be refused"
    if found.shape != expected.shape or not np.array_equal(found, expected):
        return "WRONG: other numbers"
    notes = [note for note in getattr(got, "notes", ()) if not note.startswith(("units unknown", "a single slice"))]
    return "as stored" + "".join(f"; {note}" for note in notes)


def table() -> str:
    """The table in Markdown."""
    lines = ["| file | storage | as an image | as a label map |", "|---|---|---|---|"]
    for row in rows():
        cells = [cell.replace("|", "/") for cell in (row.kind, row.storage, *answer(row))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    text = table()
    if parser.parse_args().write:
        head = DOCUMENT.read_text(encoding="utf-8").partition(MARK)[0]
        DOCUMENT.write_text(head + MARK + "\n" + text, encoding="utf-8")
    print(text, end="")
    return int("WRONG" in text)


if __name__ == "__main__":
    sys.exit(main())
