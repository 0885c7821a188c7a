"""Reading every case of a data set before anything is trained on it or predicted."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from monai_supmix.datalists.datalist import Datalist, check_datalist
from monai_supmix.datalists.items import SIDES
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import Case, load_case
from monai_supmix.imageio.channels import fit_channels, is_grey_in_colour
from monai_supmix.listing import counted, shorten

# Where two sides hold the same image it is the later one in this order that has to go.
_PRECEDENCE = ("test", "validation", "labeled", "unlabeled")

SAME_IMAGE = "same-image"
"""Code of the error about an image that was there before."""


@dataclass(frozen=True)
class Problem:
    """A case that cannot be used.

    Args:
        case: its name.
        error: the file, what is wrong with it, and what to do.
    """

    case: str
    error: InputError


def check_cases(
    items: Iterable[Mapping[str, Any]],
    num_classes: int,
    channels: int | None = None,
    *,
    fits: Callable[[CaseImage], Any] | None = None,
    unique: bool = True,
    look: Callable[[Mapping[str, Any], Case], Any] | None = None,
) -> list[Problem]:
    """Read images and labels to their last byte, one case at a time, and collect what is wrong.

    Args:
        items: items of a datalist, see :mod:`monai_supmix.datalists.items`. An image that is listed
            once with and once without its label, under one case name, is one case.
        num_classes: label values must be below it.
        channels: channels that the network takes; ``None`` for any number.
        fits: called with each image; raises `InputError` for one that cannot be used.
        unique: an image that is there twice (whatever its names) is a problem.
        look: called with each item that passed and what was read of it, to learn more from the one reading.

    Returns:
        the problems, in the order of the items: damaged or unsuitable files, labels off their image's grid or
        outside the classes, copies.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "a.png"
        >>> path.touch()
        >>> problems = check_cases([{"image": path, "case": "a"}], num_classes=2)
        >>> [(problem.case, problem.error.problem) for problem in problems]
        [('a', 'is empty (0 bytes)')]
    """
    problems: list[Problem] = []
    contents: dict[bytes, tuple[str, str]] = {}
    read: set[tuple[str, str, Any]] = set()
    for item in items:
        source = (item["case"], item["image"], item.get("slice"))
        if source in read and "label" not in item:
            continue
        read.add(source)
        try:
            case = load_case(item, num_classes)
            image = case.image
            _check_channels(fit_channels(image, channels), channels)
            if fits is not None:
                fits(image)
            if unique:
                _check_new(image, item, contents)
            if look is not None:
                look(item, case)
        except InputError as error:
            problems.append(Problem(item["case"], error))
        except Exception as error:  # a reader that gave up in its own way: still a file that cannot be used
            problem = f"cannot be read ({type(error).__name__}: {error})"
            problems.append(Problem(item["case"], InputError(item["image"], problem, "copy or export it again")))
    return problems


def _check_channels(image: CaseImage, channels: int | None) -> None:
    if channels in (None, image.channels):
        return
    problem = f"has {counted(image.channels, 'channel')} and the network takes {channels}"
    colour, grey = "give colour pictures", "convert it to grey values"
    raise InputError(image.path, problem, (grey if channels == 1 else colour) + ", or set in_channels of network_def")


def _check_new(image: CaseImage, item: Mapping[str, Any], contents: dict[bytes, tuple[str, str]]) -> None:
    """Raise `InputError` for an image that was there before."""
    digest = voxel_digest(image)
    if digest is None:
        return
    case, place = contents.setdefault(digest, (item["case"], _place(item)))
    if case != item["case"]:
        raise InputError(_place(item), f"holds the same image as {place}", "keep one of them", code=SAME_IMAGE)


def voxel_digest(image: CaseImage) -> bytes | None:
    """By what copies under other names are found; None for a blank image, which equals others without being a copy."""
    if image.array.min() == image.array.max():
        return None
    digest = hashlib.blake2b(repr((image.array.shape, image.array.dtype.str)).encode(), digest_size=16)
    # Volumes lie in memory with the first index fastest: turned around they are hashed without a copy.
    digest.update(np.ascontiguousarray(image.array if image.is_picture else image.array.T).data)
    return digest.digest()


def _place(item: Mapping[str, Any]) -> str:
    return f"{item['image']} (slice {item['slice']})" if "slice" in item else str(item["image"])


def check_sides(
    datalist: Datalist,
    num_classes: int,
    channels: int | None = None,
    fits: Callable[[CaseImage], Any] | None = None,
    look: Callable[[Mapping[str, Any], Case], Any] | None = None,
) -> list[Problem]:
    """Check all cases of a datalist, those of the test first.

    Args:
        datalist: the list.
        num_classes: see `check_cases`.
        channels: see `check_cases`.
        fits: see `check_cases`.
        look: see `check_cases`.

    Raises:
        InputError: the list is for another number of classes.
    """
    if len(datalist.class_names) != num_classes:
        problem = f"has the {len(datalist.class_names)} classes {', '.join(datalist.class_names)}"
        raise InputError(
            "dataset_dir", f"{problem}, the configuration has {num_classes}", "set class_names to the same"
        )
    items = (item for side in _PRECEDENCE for item in getattr(datalist, side))
    return check_cases(items, num_classes, channels, fits=fits, look=look)


def usable_cases(
    datalist: Datalist,
    num_classes: int,
    on_error: Literal["raise", "skip"] = "raise",
    channels: int | None = None,
) -> tuple[Datalist, list[Problem]]:
    """Give a datalist whose every file has been read and is fit for use.

    Args:
        datalist: the list.
        num_classes: see `check_cases`.
        on_error: ``"raise"`` refuses a list with a broken case; ``"skip"`` leaves such cases out.
        channels: see `check_cases`.

    Returns:
        the list, and the problems of the cases that were left out (none with ``"raise"``).

    Raises:
        InputError: a case is broken, or too little is left without those that are.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> items = [{"image": f"{folder}/{name}.png", "case": name, "group": name} for name in ("good", "broken")]
        >>> Image.new("RGB", (4, 4)).save(items[0]["image"])
        >>> labeled = {**items[0], "label": f"{folder}/mask.png"}
        >>> Image.new("L", (4, 4)).save(labeled["label"])
        >>> whole = Datalist([labeled], items[1:], [], [], ["background", "vessel"])
        >>> usable, problems = usable_cases(whole, num_classes=2, on_error="skip")
        >>> usable.unlabeled, usable.notes, [problem.case for problem in problems]
        ([], ['1 broken case was left out: broken'], ['broken'])
    """
    if on_error not in ("raise", "skip"):
        raise InputError("on_error", f"is {on_error!r}", "use 'raise' or 'skip'")
    grey: set[str] = set()

    def look(item: Mapping[str, Any], case: Case) -> None:
        if channels == 1 and is_grey_in_colour(case.image):
            grey.add(item["image"])

    problems = check_sides(datalist, num_classes, channels, look=look)
    datalist = _read_as_grey(datalist, grey)
    if not problems:
        return datalist, []
    if on_error == "raise":
        raise first_problem(problems)
    broken = list(dict.fromkeys(problem.case for problem in problems))
    kept: dict[str, Any] = {side: [i for i in getattr(datalist, side) if i["case"] not in broken] for side in SIDES}
    note = f"{counted(len(broken), 'broken case was', 'broken cases were')} left out: {shorten(sorted(broken))}"
    usable = replace(datalist, **kept, notes=[*datalist.notes, note])
    check_datalist(usable, "dataset_dir")
    return usable, problems


def _read_as_grey(datalist: Datalist, images: set[str]) -> Datalist:
    """Mark items whose image was saved in colour with equal channels."""
    if not images:
        return datalist
    marked: dict[str, Any] = {
        side: [{**item, "grey": 1} if item["image"] in images else item for item in getattr(datalist, side)]
        for side in SIDES
    }
    note = f"{len(images)} pictures are saved in colour with three equal channels: read as grey"
    return replace(datalist, **marked, notes=[*datalist.notes, note])


def first_problem(problems: list[Problem]) -> InputError:
    """The error that stands for several: the first, with their number.

    Example:
        >>> empty = InputError("a.png", "is empty (0 bytes)", "copy it again")
        >>> print(first_problem([Problem("a", empty), Problem("b", empty)]))
        a.png: is empty (0 bytes) (the first of 2 problems): copy it again
    """
    first = problems[0].error
    number = f" (the first of {len(problems)} problems)" if len(problems) > 1 else ""
    return InputError(first.subject, first.problem + number, first.remedy)
