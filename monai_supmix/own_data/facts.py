"""What settings depend on, gathered from the images of a datalist while they are checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from monai_supmix.config.remedies import REMEDIES
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.items import SIDES, Item
from monai_supmix.datalists.survey import Surveyor
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import Case, load_case
from monai_supmix.imageio.channels import is_grey_in_colour
from monai_supmix.imageio.partly import IGNORED
from monai_supmix.imageio.planes import Axis, Planes, nearest_axes
from monai_supmix.transforms.intensity import field_of_view

_AXES: dict[Axis, int] = {"axial": 2, "coronal": 1, "sagittal": 0}  # the world axis that planes follow
_THICK = 1.5  # slices this much thicker than wide were acquired as slices
_VALUES = 20_000  # values per class and case


class View(NamedTuple):
    """The planes of an image along one axis.

    Args:
        planes: how many.
        shape: their ``(H, W)``.
        spacing: millimetres per row and column, ``None`` for pictures.
        step: millimetres from plane to plane, ``None`` for pictures.
    """

    planes: int
    shape: tuple[int, int]
    spacing: tuple[float, float] | None = None
    step: float | None = None


class Facts:
    """Collects facts about every case of a datalist; give `look` to `monai_supmix.datalists.check.check_cases`.

    Args:
        datalist: the list that the cases are of.

    Attributes:
        surveyor: counts pixels by class, and says what there is.
        channels: numbers of images by number of channels.
        pictures: number of pictures; the others are volumes.
        grey_in_colour: number of pictures saved in colour with three equal channels.
        lowest, highest: smallest and largest value of each volume, by case.
        in_dark_surround: number of colour pictures of 8 or 16 bits with a lit area in a dark surround.
    """

    def __init__(self, datalist: Datalist) -> None:
        self.surveyor = Surveyor(len(datalist.class_names), REMEDIES["rare-class"])
        self.channels: Counter[int] = Counter()
        self.pictures = 0
        self.grey_in_colour = 0
        self.lowest: dict[str, float] = {}
        self.highest: dict[str, float] = {}
        self.in_dark_surround = 0
        self._side = {item["case"]: side for side in SIDES for item in getattr(datalist, side)}
        self._views: dict[str, dict[Axis, View]] = {}
        self._shown: dict[str, set[int]] = {}
        self._thick: list[Axis] = []

    def look(self, item: Mapping[str, Any], case: Case) -> None:
        """Take in one case.

        Raises:
            InputError: its planes are lines, whatever the axis.
        """
        image = case.image
        counts = self.surveyor.add(self._side[item["case"]], dict(item), case)
        self._shown[item["case"]] = set() if counts is None else {int(value) for value in np.flatnonzero(counts)}
        self.channels[image.channels] += 1
        self.pictures += image.is_picture
        self.grey_in_colour += is_grey_in_colour(image)
        self.in_dark_surround += has_dark_surround(image)
        if not image.is_picture:
            self.lowest[item["case"]], self.highest[item["case"]] = image.value_range()
            self._thick.append(acquired_axis(image))
        views: dict[Axis, View] = {}
        refused = None
        for axis in _AXES:
            try:
                planes = Planes(image, axis)
                views[axis] = View(len(planes), planes.shape, planes.spacing, planes.step)
            except InputError as error:
                refused = refused or error
        if not views and refused is not None:
            raise refused
        self._views[item["image"]] = views

    def telling_cases(self, items: Sequence[Item], count: int = 8) -> list[Item]:
        """A few labelled cases that show many classes, among them at least one for each class there is.

        Args:
            items: labelled items.
            count: how many; more if classes ask for it.
        """
        order = sorted(items, key=lambda item: -len(self._shown[item["case"]]))
        chosen, covered = order[:count], set[int]()
        covered.update(*(self._shown[item["case"]] for item in chosen))
        for item in order[count:]:
            if self._shown[item["case"]] - covered:
                covered |= self._shown[item["case"]]
                chosen.append(item)
        return chosen

    def axis(self) -> Axis:
        """The direction of planes: the one in which most volumes were acquired as slices, else axial."""
        return Counter(self._thick).most_common(1)[0][0] if self._thick else "axial"

    def all_have(self, axis: Axis) -> bool:
        """Whether every image has planes along an axis."""
        return all(axis in views for views in self._views.values())

    def views(self, axis: Axis) -> list[View]:
        """The planes of all images along an axis.

        Raises:
            InputError: an image has none along it.
        """
        for path, views in self._views.items():
            if axis not in views:
                problem = f"is a single slice in another direction than most volumes, which are {axis} slices"
                raise InputError(path, problem, "remove it, or give slices of one direction")
        return [views[axis] for views in self._views.values()]


def acquired_axis(image: CaseImage) -> Axis:
    """The direction in which a volume was acquired as slices, judged by the thickness of its voxels.

    Example:
        >>> volume = np.zeros((4, 4, 4), np.int16)
        >>> acquired_axis(CaseImage.from_array(volume, np.diag([5.0, 1.0, 1.0, 1.0])))
        'sagittal'
        >>> acquired_axis(CaseImage.from_array(volume, np.diag([1.0, 1.0, 1.2, 1.0])))
        'axial'
    """
    if image.affine is None or image.spacing is None:
        return "axial"
    step = {world: size for (world, _), size in zip(nearest_axes(image.affine), image.spacing, strict=True)}
    first, second = sorted(step.values(), reverse=True)[:2]
    if first < _THICK * second:
        return "axial"
    return next(axis for axis, world in _AXES.items() if step[world] == first)


def has_dark_surround(image: CaseImage) -> bool:
    """Whether this is a colour picture of 8 or 16 bits whose lit area lies in a dark surround, as of fundus cameras.

    All four corners are dark; cameras that crop the disc leave little more than these.

    Example:
        >>> picture = np.zeros((3, 40, 40), np.uint8)
        >>> picture[:, 5:35, 5:35] = 120
        >>> has_dark_surround(CaseImage.from_array(picture)), has_dark_surround(CaseImage.from_array(picture + 90))
        (True, False)
    """
    if not image.is_picture or image.channels != 3 or image.array.dtype not in (np.uint8, np.uint16):
        return False
    try:
        lit = field_of_view(image.array)
    except ValueError:
        return False
    return not lit[[0, 0, -1, -1], [0, -1, 0, -1]].any() and float(lit.mean()) > 0.2


class Closer(NamedTuple):
    """What a closer look at a few labelled cases gives.

    Args:
        labels: label planes ``(H, W)``, those on which a case shows most of each class, with their spacing.
        values: values of the image under each class that occurs, of volumes.
    """

    labels: list[tuple[np.ndarray, tuple[float, float] | None]]
    values: dict[int, np.ndarray]


def look_closer(items: Sequence[Item], num_classes: int, axis: Axis) -> Closer:
    """Read a few labelled cases again, for their label planes and the values under each class.

    Args:
        items: the cases.
        num_classes: number of classes.
        axis: direction of the planes.
    """
    labels: list[tuple[np.ndarray, tuple[float, float] | None]] = []
    values: dict[int, list[np.ndarray]] = {}
    for item in items:
        image, label = load_case(item, num_classes)
        if label is None:
            continue
        planes = Planes(image, axis)
        label_planes = planes.view(label)
        if "ignored" in item:
            label_planes = np.where(label_planes == IGNORED, 0, label_planes)
        per_plane = np.array([np.bincount(plane.ravel(), minlength=num_classes) for plane in label_planes])
        chosen = {int(per_plane[:, c].argmax()) for c in range(1, per_plane.shape[1]) if per_plane[:, c].any()}
        labels += [(np.ascontiguousarray(label_planes[index]), planes.spacing) for index in sorted(chosen)]
        if not image.is_picture:
            for value in np.flatnonzero(per_plane.any(axis=0)):
                under = image.array[label == value]
                values.setdefault(int(value), []).append(image.scaled(under[:: max(1, len(under) // _VALUES)]))
    return Closer(labels, {value: np.concatenate(parts) for value, parts in values.items()})
