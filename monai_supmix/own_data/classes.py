"""Class names, from the values that label files hold or from what a user says."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.imageio.dicom_labels import dicom_label_names, is_only_a_number
from monai_supmix.imageio.labels import is_dicom_file
from monai_supmix.imageio.reading import read_label
from monai_supmix.listing import shorten
from monai_supmix.naming import casefolded, safe_name

_MOST = 64  # more values than this are not classes
_NAME_THEM = "name the values that are classes, the background first: --labels "
_REMEDY = f"{_NAME_THEM}0=background,1=NAME,2=NAME"
_IGNORED = 255  # beside other values often a mark of what is not to be judged
_LARGEST = 65535  # a mask has 16 bits
_SHOWN = 12  # values in the example of an option


class Classes(NamedTuple):
    """The classes of a data set.

    Args:
        names: the background's first.
        why: where they come from.
        values: the value of each in the label files; ``None`` where these are 0, 1, 2, ... .
        warnings: what is odd about the label files.
    """

    names: list[str]
    why: str
    values: list[int] | None = None
    warnings: tuple[str, ...] = ()

    def table(self) -> str:
        """Every class with its value in the label files.

        Example:
            >>> Classes(["background", "liver"], "", [0, 5]).table()
            '0 background, 5 liver'
        """
        return ", ".join(f"{value} {name}" for value, name in self.by_value().items())

    def by_value(self) -> dict[int, str]:
        """Every class by its value in the label files."""
        values = range(len(self.names)) if self.values is None else self.values
        return dict(zip(values, self.names, strict=True))


def split_labels(text: str) -> Classes:
    """Read values with their class names as they are given on the command line.

    Args:
        text: two or more of ``VALUE=NAME`` with commas between them, the background's first.

    Raises:
        InputError: fewer than two, a value that is no whole number from 0 to 65535, or a value or name twice.

    Example:
        >>> split_labels("0=background, 5=left lung, 3=liver")
        Classes(names=['background', 'left_lung', 'liver'], why='as asked for', values=[0, 5, 3], warnings=())
        >>> split_labels("0=background,1=liver").values is None
        True
    """
    parts = [re.fullmatch(r"\s*(\d+)\s*=(.+)", part) for part in text.split(",")]
    names = [safe_name(part[2]) for part in parts if part]
    values = [int(part[1]) for part in parts if part]
    _require_background_first("--labels", text, names)
    fits = len(parts) == len(values) >= 2 and all(names) and max(values) <= _LARGEST
    if not fits or len(set(names)) < len(names) or len(set(values)) < len(values):
        remedy = "give two or more different VALUE=NAME with commas between them, the background's first"
        raise InputError("--labels", f"is {text!r}", remedy)
    return Classes(names, "as asked for", None if values == list(range(len(values))) else values)


def split_names(text: str) -> list[str]:
    """Read class names as they are given on the command line.

    Args:
        text: two or more different names with commas between them, the background's first.

    Raises:
        InputError: fewer than two, an empty one, or one twice.

    Example:
        >>> split_names("background, ground glass")
        ['background', 'ground_glass']
    """
    names = [safe_name(part) for part in text.split(",")]
    _require_background_first("--class_names", text, names)
    if len(names) < 2 or not all(names) or len(set(names)) < len(names):
        remedy = "give two or more different names with commas between them, the background's first"
        raise InputError("--class_names", f"is {text!r}", remedy)
    return names


def _require_background_first(option: str, text: str, names: Sequence[str]) -> None:
    """The first class is the background, whatever it is called; no other can be called so."""
    if "background" in [name.lower() for name in names[1:]]:
        raise InputError(option, f"is {text!r}, with the background behind another class", "name the background first")


def classes_from_values(labels: Iterable[Path]) -> Classes:
    """Name the classes after the values that label files hold: background, label_1, label_2, ...

    Values with gaps become classes with a table of their values. Where all labels are DICOM ones, classes have the
    names of their segments. Files that cannot be read are passed over; the check of all cases reports them.

    Args:
        labels: the label files.

    Raises:
        InputError: the values are not classes: negative or far too many ones, 0 alone or not at all, 255 beside others,
            or none can be read; or segments have names in some DICOM labels only.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> Image.fromarray(np.array([[0, 255]], np.uint8)).save(path)
        >>> classes_from_values([path])
        Classes(names=['background', 'label_1'], why='the label files hold 0 and 255', values=None, warnings=())
    """
    labels = list(labels)
    if segments := _segment_names(labels):
        return Classes(["background", *segments], "the segments of the label files have these names")
    held, refused = _held(labels)
    first_files = {value: path for path in reversed(held) for value in held[path]}  # the first file that holds it
    if not first_files:
        raise refused or InputError("labels", "holds no label file", "label some of the images")
    values = sorted(first_files)
    if values == [0]:
        raise InputError(next(iter(first_files.values())).parent, "holds label files that are 0 everywhere", _REMEDY)
    text = listed(values)
    if all(set(values) <= {0, 1} or set(values) <= {0, _IGNORED} for values in held.values()):
        if {1, _IGNORED} <= set(first_files):
            text += "; 1 and 255, of which no file holds both, are taken for one class"
        return Classes(["background", "label_1"], f"the label files hold {text}")
    wrong = next((value for value in values if value < 0 or value > _LARGEST or value == _IGNORED), None)
    if wrong is None and len(values) > _MOST:
        wrong = values[-1]
    if wrong is None and values[0] != 0:
        wrong = values[0]
    if wrong is not None and (scaled := _scaled(held)):
        problem = f"holds {len(held[scaled])} label values, as a mask that was scaled by interpolation or kept as JPEG"
        raise InputError(scaled, problem, f"save it again with the values of its classes alone, or {_REMEDY}")
    if wrong is not None:
        raise _refusal(wrong, first_files[wrong], held)
    names = ["background", *(f"label_{value}" for value in values[1:])]
    own = None if values == list(range(len(values))) else values
    return Classes(names, f"the label files hold {text}", own, tuple(_strangers(held)))


def listed(values: Sequence[int]) -> str:
    """Values in words, in their order.

    Example:
        >>> listed([0, 1, 2]), listed([0])
        ('0, 1 and 2', '0')
    """
    *others, last = map(str, values)
    return f"{shorten(others, 8)} and {last}" if others else last


def _strangers(held: Mapping[Path, Sequence[int]]) -> Iterator[str]:
    """Warn of a label file none of whose classes is in the others, all of which share one: perhaps it was scaled."""
    shown = {path: set(values) - {0} for path, values in held.items() if set(values) - {0}}
    numbers = Counter(value for values in shown.values() for value in values)  # of files with each value
    if len(shown) < 3 or max(numbers.values()) != len(shown) - 1:
        return
    for path, own in shown.items():
        if all(numbers[value] == 1 for value in own):
            theirs = listed(sorted(numbers.keys() - own))
            remedy = "if it was scaled, save it again with their values"
            yield f"{path.name} holds {listed(sorted(own))} and none of {theirs}, which the others hold: {remedy}"


def _refusal(wrong: int, path: Path, held: Mapping[Path, Sequence[int]]) -> InputError:
    """Say which files hold a value that is no class; where most files do without it, these are what is to be mended.

    Args:
        wrong: the value.
        path: the first file that holds it.
        held: the values in each label file.
    """
    values = sorted({value for each in held.values() for value in each})
    usable = [value for value in values if 0 <= value <= _LARGEST]
    first, *others = [f"{value}=NAME" for value in usable[:_SHOWN]] or [""]
    named = ",".join([first.replace("NAME", "background"), *others]) + ",..." * (len(usable) > _SHOWN)
    remedy = f"{_NAME_THEM}{named}" if wrong in usable else f"save it again with whole numbers from 0 to {_LARGEST}"
    having = [file for file in held if wrong in held[file]]
    rest = sorted({value for file, each in held.items() if file not in having for value in each})
    if len(having) * 2 >= len(held) or len(rest) < 2:
        return InputError(path, f"holds the label value {wrong}, and all label files hold {listed(values)}", remedy)
    alone = len(having) == 1
    which = (
        "the only label file"
        if alone
        else f"one of {len(having)} label files ({shorten([file.name for file in having])})"
    )
    problem = f"is {which} with the value {wrong}, the others hold {listed(rest)}"
    mend = f"save {'it' if alone else 'them'} again with these values"
    return InputError(path, problem, f"{mend}, or {remedy}" if wrong in usable else mend)


def _held(labels: Iterable[Path]) -> tuple[dict[Path, list[int]], InputError | None]:
    """The different values in each label file that can be read, and what was wrong with the first that cannot."""
    held, refused = {}, None
    for path in labels:
        try:
            held[path] = [0, *dicom_label_names(path)] if is_dicom_file(path) else _values(read_label(path))
        except InputError as error:
            refused = refused or error
    return held, refused


def _scaled(held: Mapping[Path, Sequence[int]]) -> Path | None:
    """The file with the most values, if these are too many for classes, or others are masks of 0 and 255 alone.

    0, 1, 2, ... beside 255, the mark of what is not to be judged, are no such values.
    """
    most = max(held, key=lambda path: len(held[path]))
    masks = any(set(values) in ({0, 255}, {255}) for values in held.values())
    counted = sorted(set(held[most]) - {_IGNORED})
    if counted == list(range(len(counted))) and len(counted) < _MOST:
        return None
    return most if len(held[most]) > (3 if masks else _MOST) else None


def _segment_names(labels: Sequence[Path]) -> list[str]:
    """Names of classes by the segments of DICOM labels, in the order in which they come first; see `casefolded`.

    Returns:
        none where some labels are of another type, or where names say no more than numbers.

    Raises:
        InputError: segments have names in some labels and mere numbers in others, which nothing makes classes of these.
    """
    names: dict[str, str] = {}
    telling: list[Path] = []
    numbered: list[Path] = []
    for path in labels:
        if not is_dicom_file(path):
            return []
        with contextlib.suppress(InputError):
            if segments := dicom_label_names(path):
                (numbered if all(map(is_only_a_number, segments.values())) else telling).append(path)
                for _, name in sorted(segments.items()):
                    names.setdefault(casefolded(name), safe_name(name))
    if telling and numbered:
        problem = f"its segments have no names but numbers, and those of {telling[0].name} have names"
        raise InputError(numbered[0], problem, "name them alike, or say what numbers are: --labels 0=background,1=NAME")
    return [] if numbered else list(names.values())


def _values(label: np.ndarray) -> list[int]:
    """The different values of a label map, slice by slice: the sorted copy of a volume is eight times its size."""
    return sorted({int(value) for index in range(label.shape[-1]) for value in np.unique(label[..., index])})
