"""Folders, lists of names and JSON files, read with errors that say what to fix."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.files import reading_error


def shorten(names: Sequence[str], limit: int = 5) -> str:
    """Join the first few names.

    Example:
        >>> shorten(["a", "b", "c"], 2)
        'a, b, ... (3 in all)'
    """
    text = ", ".join(names[:limit])
    return text if len(names) <= limit else f"{text}, ... ({len(names)} in all)"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A number of things in words.

    Args:
        number: how many.
        noun: one of them.
        plural: several of them, where that is not the noun with an s.

    Example:
        >>> counted(1, "case"), counted(2, "case"), counted(0, "class", "classes")
        ('1 case', '2 cases', '0 classes')
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"


def normal_form(name: str) -> str:
    r"""A name in the one Unicode form (NFC) in which names are compared: archives from macOS hold the other one.

    Example:
        >>> normal_form("Mu\u0308ller") == "M\u00fcller"
        True
    """
    return unicodedata.normalize("NFC", name)


def is_text(name: str) -> bool:
    r"""Whether a name can be written into a file of text: old archives hold names in other encodings than UTF-8.

    Example:
        >>> is_text("M\u00fcller.png"), is_text(b"M\xfcller.png".decode(errors="surrogateescape"))
        (True, False)
    """
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_names(path: Path) -> list[str]:
    """Read a text file with one name a line; blank lines are skipped.

    Raises:
        InputError: the file is missing, empty or not text.
    """
    names = [normal_form(line.strip()) for line in _read_text(path).splitlines() if line.strip()]
    if not names:
        raise InputError(path, "is empty", "write one case name a line")
    return names


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        InputError: the file is missing, is not JSON, or holds something other than an object.
    """
    try:
        record = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise InputError(path, f"is not JSON ({error})", "fix or replace the file") from error
    if not isinstance(record, dict):
        raise InputError(path, "is not a JSON object", "fix or replace the file")
    return record


def list_files(folder: Path, endings: Sequence[str]) -> dict[str, Path]:
    """Map the names of a folder's files, without their ending, to their paths, in the order of the names.

    Args:
        folder: where to look, not below it; hidden files are skipped.
        endings: endings with their dot, such as ``".nii.gz"``, in any case.

    Returns:
        paths as they are on the disk, by names in their `normal_form`.

    Raises:
        InputError: two files differ only in their ending or Unicode form, so that it is unclear which one is
            meant; or a link leads nowhere.
    """
    files: dict[str, Path] = {}
    for path in visible_files(folder):
        ending = next((e for e in endings if path.name.lower().endswith(e)), None)
        if ending is None or is_companion(path):
            continue
        if not path.exists():
            raise InputError(path, "is a link that leads nowhere", "fix or remove it")
        stem = normal_form(path.name[: -len(ending)])
        if stem in files:
            same = normal_form(files[stem].name) == normal_form(path.name)
            problem = f"both {files[stem].name} and {path.name} exist" + " in two Unicode forms" * same
            raise InputError(folder, problem, "keep one file for each case")
        files[stem] = path
    return files


def visible_files(folder: Path) -> list[Path]:
    """The files of a folder in the order of their names; hidden ones (also ``._*`` of macOS's archives) are skipped."""
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in files if not path.name.startswith(".") and not path.is_dir()]


def ending_of(name: str) -> str:
    """The ending of any file, that of compressed files whole.

    Example:
        >>> ending_of("a.b.NII.GZ"), ending_of("c0.tif"), ending_of("notes")
        ('.nii.gz', '.tif', '')
    """
    path = PurePath(name)
    inner = PurePath(path.stem).suffix if path.suffix.lower() in (".gz", ".bz2", ".xz") else ""
    return (inner + path.suffix).lower()


def stem_of(name: str) -> str:
    """The name of any file without its ending.

    Example:
        >>> stem_of("a.b.NII.GZ"), stem_of("notes")
        ('a.b', 'notes')
    """
    return name[: len(name) - len(ending_of(name))]


def is_companion(path: Path) -> bool:
    """Whether this holds the voxels of a header file beside it: ``.img`` of ``.hdr``, ``.raw`` of ``.mhd``."""
    pair = (".hdr", ".hdr.gz")
    headers = {".img": pair, ".img.gz": pair, ".raw": (".mhd",), ".zraw": (".mhd",)}
    stem = stem_of(path.name)
    return any(path.with_name(stem + header).exists() for header in headers.get(ending_of(path.name), ()))


def below(folder: Path, name: str) -> Path:
    """The file that a list names, relative to a folder; lists written on Windows separate folders by backslashes."""
    path = folder / name
    return folder / name.replace("\\", "/") if "\\" in name and not path.exists() else path


def check_folder(dataset_dir: str | Path, remedy: str = "set dataset_dir to the folder of the data set") -> Path:
    """Return the data folder as a path.

    Args:
        dataset_dir: the folder; ``~`` stands for the home folder.
        remedy: what to do where it is none.

    Raises:
        InputError: no folder is given, it does not exist, or it is a file.
    """
    path = Path(dataset_dir).expanduser()
    if not str(dataset_dir) or not path.is_dir():
        problem = "is not a folder" if path.is_file() else "does not exist"
        raise InputError(dataset_dir or "dataset_dir", problem, remedy)
    return path


def find_data_folder(root: Path, is_it: Callable[[Path], bool]) -> Path | None:
    """Return `root` if it is the data folder, else its only sub-folder that is; None if there is none.

    Args:
        root: where to look.
        is_it: tells a data folder.

    Raises:
        InputError: several sub-folders qualify.
    """
    if is_it(root):
        return root
    roots = [path for path in sorted(root.iterdir()) if path.is_dir() and not path.name.startswith(".") and is_it(path)]
    if len(roots) > 1:
        names = shorten([path.name for path in roots])
        raise InputError(root, f"several sub-folders hold such data: {names}", "name one of them")
    return roots[0] if roots else None


def _read_text(path: Path) -> str:
    """Read UTF-8 text, with or without a byte order mark."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise reading_error(path, error) from error
    except UnicodeDecodeError as error:
        raise InputError(path, f"is not UTF-8 text ({error})", "save it as UTF-8 text") from error
