"""What a datalist's files really hold: sizes, spacings, class shares and problems of every one of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from monai_supmix.datalists.check import voxel_digest
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import SIDES, Item
from monai_supmix.errors import InputError
from monai_supmix.imageio.cases import Case, load_case
from monai_supmix.imageio.partly import labelled_mask
from monai_supmix.listing import counted, shorten

_RARE = 0.002  # share of the labelled pixels
_IN_WORDS = dict(zip(SIDES, ("labelled images", "unlabelled images", "the validation", "the test"), strict=True))
_MANY = 12  # more classes are not listed one by one


DRAW_BY_CLASS = "draw labelled planes by class (monai_supmix.data.PlanesByClass)"


@dataclass
class Survey:
    """What was found.

    Args:
        lines: the report, one finding a line.
        warnings: what does not stop training but should be looked at.
        errors: files that cannot be used, each with a remedy.
    """

    lines: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    errors: list[InputError] = field(default_factory=list)


def survey_datalist(datalist: Datalist, rare_class_advice: str = DRAW_BY_CLASS) -> Survey:
    """Read all images and labels of a datalist, one case at a time.

    Args:
        datalist: the list.
        rare_class_advice: what to do about a class that few images show.

    Returns:
        the findings; files that cannot be read are collected, not raised.
    """
    surveyor = Surveyor(len(datalist.class_names), rare_class_advice)
    errors = []
    for side in SIDES:
        for item in getattr(datalist, side):
            try:
                surveyor.add(side, item, load_case(item, len(datalist.class_names)))
            except InputError as error:
                errors.append(error)
    return surveyor.report(datalist, errors)


class Surveyor:
    """Collects what cases hold while somebody reads them one by one.

    Args:
        num_classes: number of classes.
        rare_class_advice: what to do about a class that few images show.

    Attributes:
        counts: pixels of each class by side of the datalist.
    """

    def __init__(self, num_classes: int, rare_class_advice: str = DRAW_BY_CLASS) -> None:
        self.rare_class_advice = rare_class_advice
        self.counts = {side: np.zeros(num_classes, dtype=np.int64) for side in SIDES}
        self._showing = {side: np.zeros(num_classes, dtype=np.int64) for side in SIDES}  # images, not pixels
        self._labelled = {side: np.zeros(num_classes, dtype=np.int64) for side in SIDES}
        self._empty: dict[str, list[str]] = {side: [] for side in SIDES}
        self._shapes: list[tuple[int, ...]] = []
        self._spacings: list[tuple[float, ...]] = []
        self._ranges: list[tuple[float, float]] = []
        self._notes: dict[str, list[str]] = {}
        self._contents: dict[bytes, list[str]] = {}
        self._seen: set[str] = set()

    def add(self, side: str, item: Item, case: Case) -> np.ndarray | None:
        """Take in one case.

        Args:
            side: its side of the datalist.
            item: its item.
            case: what was read of it.

        Returns:
            its pixels of each class, ``None`` without a label.
        """
        image, label = case
        counts = None
        if label is not None:
            classes = len(self.counts[side])
            counts = np.bincount(label.ravel(), minlength=classes)[:classes]  # ignored pixels are of no class
            self.counts[side] += counts
            self._showing[side] += counts > 0
            self._labelled[side] += labelled_mask(item, classes) * int(counts.sum())
            if not counts[1:].any():
                self._empty[side].append(item["case"])
        if item["case"] in self._seen:  # unlabeled_pool="all"
            return counts
        self._seen.add(item["case"])
        self._shapes.append(image.array.shape)
        self._spacings += [image.spacing] if image.spacing is not None else []
        self._ranges.append(image.value_range())
        if (digest := voxel_digest(image)) is not None:
            self._contents.setdefault(digest, []).append(item["case"])
        for note in image.notes:
            self._notes.setdefault(note, []).append(item["case"])
        return counts

    def report(self, datalist: Datalist, errors: Sequence[InputError] = ()) -> Survey:
        """Put the findings into words.

        Args:
            datalist: the list that the cases are of.
            errors: what could not be read.
        """
        survey = Survey(errors=list(errors))
        if self._shapes:
            survey.lines += _describe_images(self._shapes, self._spacings, self._ranges)
        survey.lines += _describe_classes(datalist.class_names, self.counts)
        survey.lines += _describe_empty(datalist, self._empty)
        labelled = self._labelled["labeled"]
        shares = self.counts["labeled"] / np.where(labelled > 0, labelled, 1)
        survey.warnings += _class_warnings(
            datalist, self.counts, shares, self._showing["labeled"], self.rare_class_advice
        )
        survey.warnings += [f"{note}: {shorten(sorted(cases), 3)}" for note, cases in self._notes.items()]
        copies = [shorten(sorted(cases)) for cases in self._contents.values() if len(cases) > 1]
        if copies:
            more = f"; and so have {counted(len(copies) - 3, 'further set')} of images" if len(copies) > 3 else ""
            survey.warnings.append(f"{'; '.join(copies[:3])} have the same contents{more}")
        return survey


def _describe_images(
    shapes: Sequence[tuple[int, ...]],
    spacings: Sequence[tuple[float, ...]],
    ranges: Sequence[tuple[float, float]],
) -> list[str]:
    """Number, size, spacing and values of the images."""
    if spacings:
        kind, sizes = ("volume or slice", "volumes or slices"), list(shapes)
    else:
        kind, sizes = ("picture", "pictures"), [(width, height) for _, height, width in shapes]
    lines = [f"images: {counted(len(shapes), *kind)}", f"size: {_span(sizes, 'd')}"]
    if spacings:
        lines.append(f"spacing in mm: {_span(spacings, '.3g')}")
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    return [*lines, f"values: {low:g} to {high:g}"]


def _span(rows: Sequence[tuple[float, ...]], form: str) -> str:
    """The size along each axis, from the smallest to the largest where they differ."""
    ends = ([format(value, form) for value in end] for end in (np.min(rows, 0), np.max(rows, 0)))
    return " x ".join(low if low == high else f"{low} to {high}" for low, high in zip(*ends, strict=True))


def _describe_classes(names: Sequence[str], counts: dict[str, np.ndarray]) -> list[str]:
    """Share of the pixels of each class, side by side."""
    lines = []
    for side, count in counts.items():
        if count.sum():
            percent = 100 * count / count.sum()
            shares = [f"{name} {part:.3g} %" for name, part in zip(names, percent, strict=True)]
            if len(names) > _MANY:
                others = percent[1:][percent[1:] > 0]
                classes = counted(len(others), "other class", "other classes")
                shares = [
                    shares[0],
                    *([f"{classes} of {others.min():.2g} to {others.max():.3g} % each"] if len(others) else []),
                ]
            lines.append(f"pixels of {_IN_WORDS[side]}: {', '.join(shares)}")
    return lines


def _describe_empty(datalist: Datalist, empty: dict[str, list[str]]) -> list[str]:
    """Name masks that show no foreground, which may be true and may be a mask that nobody has drawn yet."""
    sides = {side: cases for side, cases in empty.items() if cases and side != "unlabeled"}
    return [
        f"no foreground in {len(cases)} of {counted(len(getattr(datalist, side)), 'mask')} of {_IN_WORDS[side]}: "
        f"{shorten(cases, 3)}"
        for side, cases in sides.items()
    ]


def _rare_classes(names: Sequence[str], shares: np.ndarray, images: np.ndarray, advice: str) -> Iterable[str]:
    """Say which of several foreground classes are so rare that they may stay unlearnt, and what there is to do.

    Shares of the pixels are those in the images in which the class is labelled.
    """
    rare = [c for c, share in enumerate(shares) if 0 < share < _RARE]
    if len(names) < 3:
        return
    for common in (False, True):
        named = [f"{names[c]} ({100 * shares[c]:.2g} %)" for c in rare if (2 * images[c] > images.max()) == common]
        it, them, its = ("it", "it", "its") if len(named) == 1 else ("they", "them", "their")
        small = f"small in the images that show {them}, {it} may stay unlearnt: look at {its} own figures"
        if named:
            yield f"few of the labelled pixels show {', '.join(named)}: {small if common else advice}"


def _class_warnings(
    datalist: Datalist,
    counts: dict[str, np.ndarray],
    labeled_shares: np.ndarray,
    labeled_showing: np.ndarray,
    rare_class_advice: str,
) -> Iterable[str]:
    """Say which classes no labelled image shows, and whether the unlabelled pool is empty."""
    for side, where in (("labeled", "labelled"), ("test", "test")):
        missing = [name for name, count in zip(datalist.class_names, counts[side], strict=True) if not count]
        if missing and getattr(datalist, side):
            pronoun = "it" if len(missing) == 1 else "they"
            advice = (
                f"{pronoun} cannot be learnt; label some, or leave out the class"
                if side == "labeled"
                else f"{pronoun} cannot be measured; choose other test cases (test_list)"
            )
            yield f"no {where} image shows {', '.join(missing)}: {advice}"
    yield from _rare_classes(datalist.class_names, labeled_shares, labeled_showing, rare_class_advice)
    if not datalist.unlabeled:
        yield "there are no unlabelled images, so only supervised training is possible"
