"""The best and the worst cases of an evaluation, drawn while it runs."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Engine, Events

from monai_supmix.files import make_directory
from monai_supmix.handlers.overlays import panel, save_png
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Axis, Planes
from monai_supmix.metrics.dataset import measure_case
from monai_supmix.metrics.overlap import iou, mean_present
from monai_supmix.processes import gather
from monai_supmix.report.pictures import PlanePictures, draw_plane
from monai_supmix.transforms.intensity import IntensityRule

_PICTURE_SIDE, _SLICE_SIDE, _MAX_SLICES = 480, 320, 24


@dataclass(frozen=True, eq=False)
class ShownCase:
    """A case with its pictures.

    Attributes:
        case: its name.
        score: mean IoU over the classes other than background that are in truth or prediction.
        ious: IoU of each class, NaN where absent.
        num_planes: planes of the volume, 1 for a picture.
        planes: those that are shown, in their order.
        start: which of `planes` is seen first.
        overview: input, truth, prediction and errors of that plane side by side, ``(height, width, 3)``
            uint8.
    """

    case: str
    score: float
    ious: np.ndarray
    num_planes: int
    planes: tuple[PlanePictures, ...]
    start: int
    overview: np.ndarray

    @property
    def num_bytes(self) -> int:
        """Bytes of all pictures for the page."""
        return sum(plane.num_bytes for plane in self.planes)


class CaseGallery:
    """Keeps small pictures of the best and the worst cases, never more than these in memory.

    Cases without anything but background in truth and prediction have no score and are not shown.

    Args:
        class_names: names of the classes, background first.
        intensity: gives the rule that maps an image's raw values to [0, 1].
        keep: number of best and of worst cases.
        axis: direction of the planes that are drawn of volumes, that of the inferer.

    Attach it to a :class:`monai_supmix.engines.case_evaluator.CaseEvaluator`.

    Example:
        >>> from monai_supmix.transforms import PercentileScale
        >>> truth = np.eye(8, dtype=np.uint8)
        >>> image = CaseImage.from_array(truth[None] * 200)
        >>> gallery = CaseGallery(["background", "vessel"], lambda image: PercentileScale(), keep=1)
        >>> for case, prediction in {"right": truth, "wrong": truth[::-1], "both": truth | truth[::-1]}.items():
        ...     gallery.add(case, image, truth, prediction)
        >>> [(shown.case, shown.score) for shown in (*gallery.best, *gallery.worst)]
        [('right', 1.0), ('wrong', 0.0)]
    """

    def __init__(
        self,
        class_names: Sequence[str],
        intensity: Callable[[CaseImage], IntensityRule],
        keep: int = 3,
        axis: Axis = "axial",
    ) -> None:
        self.class_names, self.intensity, self.keep, self.axis = list(class_names), intensity, keep, axis
        self._seen: set[str] = set()
        self._scored: set[str] = set()
        self._best: list[ShownCase] = []
        self._worst: list[ShownCase] = []

    def attach(self, engine: Engine) -> None:
        """Follow an evaluator."""
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._look)

    def _look(self, engine: Engine) -> None:
        items: Any = engine.state.output
        for item in items:
            limits = {key: item[key] for key in ("labelled_classes", "ignore_index") if key in item}
            self.add(item["case"], item["image"], item["truth"], item["prediction"], **limits)

    def add(
        self,
        case: str,
        image: CaseImage,
        truth: np.ndarray,
        prediction: np.ndarray,
        labelled_classes: np.ndarray | None = None,
        ignore_index: int | None = None,
    ) -> None:
        """Look at one case; it is drawn only when it is among the best or the worst so far.

        Args:
            case: its name.
            image: the image as read.
            truth: true classes on the image's grid.
            prediction: predicted classes on the same grid.
            labelled_classes: bool ``(C,)``, the classes that the truth knows of; the others are drawn only where they
                are wrong for certain. ``None``: all.
            ignore_index: elements of this true class are neither judged nor drawn.
        """
        self._seen.add(case)
        ious = iou(measure_case(prediction, truth, len(self.class_names), None, ignore_index, labelled_classes).counts)
        if ignore_index is not None:
            truth, prediction = (np.where(truth == ignore_index, 0, classes) for classes in (truth, prediction))
        if labelled_classes is not None:
            prediction = np.where((truth == 0) & ~labelled_classes[prediction], 0, prediction)
        score = mean_present(ious[1:])
        if np.isnan(score):
            return
        self._scored.add(case)
        place = (score, case)  # one order for both ends, so that equal scores never put a case at both
        is_best = len(self._best) < self.keep or place > _place(self._best[-1])
        is_worst = len(self._worst) < self.keep or place < _place(self._worst[-1])
        if not (is_best or is_worst):
            return
        shown = self._draw(case, score, ious, image, truth, prediction)
        if is_best:
            self._best = sorted([*self._best, shown], key=_place, reverse=True)[: self.keep]
        if is_worst:
            self._worst = sorted([*self._worst, shown], key=_place)[: self.keep]

    def _draw(
        self,
        case: str,
        score: float,
        ious: np.ndarray,
        image: CaseImage,
        truth: np.ndarray,
        prediction: np.ndarray,
    ) -> ShownCase:
        planes, show = Planes(image, self.axis), brightness(image, self.intensity)
        true, predicted = planes.view(truth), planes.view(prediction)
        chosen = choose_planes([bool(t.any() or p.any()) for t, p in zip(true, predicted, strict=True)])
        longest = _PICTURE_SIDE if image.is_picture else _SLICE_SIDE
        pictures = tuple(draw_plane(show(planes[i]), true[i], predicted[i], longest, planes.spacing, i) for i in chosen)
        start = int(np.argmax([np.count_nonzero(true[i]) + np.count_nonzero(predicted[i]) for i in chosen]))
        first = chosen[start]
        overview = panel(
            show(planes[first]),
            np.ascontiguousarray(predicted[first]),
            self.class_names,
            np.ascontiguousarray(true[first]),
            title=f"{case}, slice {first + 1} of {len(planes)}" if len(planes) > 1 else case,
        )
        return ShownCase(case, score, ious, len(planes), pictures, start, overview)

    def unite(self) -> None:
        """Put together what the processes of a launch have seen, each some of the cases."""
        parts = gather((self._seen, self._scored, [*self._best, *self._worst]))
        self._seen = {case for seen, _, _ in parts for case in seen}
        self._scored = {case for _, scored, _ in parts for case in scored}
        shown = sorted({case.case: case for _, _, cases in parts for case in cases}.values(), key=_place)
        self._best, self._worst = shown[::-1][: self.keep], shown[: self.keep]

    @property
    def num_scored(self) -> int:
        """How many cases show a class other than background."""
        return len(self._scored)

    @property
    def worst(self) -> list[ShownCase]:
        """The worst cases, worst first; never one that is among the best."""
        return self._worst[: min(self.keep, self.num_scored // 2)]

    @property
    def best(self) -> list[ShownCase]:
        """The best cases, best first."""
        return self._best[: min(self.keep, self.num_scored - len(self.worst))]

    def save_overviews(self, folder: str | os.PathLike[str], count: int = 2) -> list[Path]:
        """Write ``<case>.png`` for a few of the best and the worst cases, instead of those of an earlier call.

        Args:
            folder: made if missing. What an earlier call has left there of other cases of this evaluation is removed,
                for it would show other weights.
            count: how many of each.

        Returns:
            the files.

        Raises:
            InputError: when the system refuses to write.
        """
        shown = [*self.best[:count], *self.worst[:count]]
        paths = [Path(folder) / f"{file_name(case.case)}.png" for case in shown]
        for path in {Path(folder) / f"{file_name(case)}.png" for case in self._seen} - set(paths):
            path.unlink(missing_ok=True)
        if paths:
            make_directory(folder)
        for path, case in zip(paths, shown, strict=True):
            save_png(path, case.overview)
        return paths


def _place(shown: ShownCase) -> tuple[float, str]:
    return shown.score, shown.case


def brightness(image: CaseImage, intensity: Callable[[CaseImage], IntensityRule]) -> Callable[[np.ndarray], np.ndarray]:
    """What maps an image's raw values to brightness.

    Args:
        image: 8-bit pictures look as they are, others as the network sees them.
        intensity: gives the rule that maps an image's raw values to [0, 1].

    Returns:
        a function of raw values; brightness is in [0, 1].
    """
    if image.is_picture and image.array.dtype == np.uint8:
        return lambda plane: plane / 255
    rule = intensity(image)
    return functools.partial(rule.apply, params=rule.fit(image.values()))


def choose_planes(has_foreground: Sequence[bool], most: int = _MAX_SLICES) -> list[int]:
    """Choose planes that show something, evenly.

    Args:
        has_foreground: for each plane whether truth or prediction has something there.
        most: how many at most.

    Returns:
        numbers of planes in their order, at least one.

    Example:
        >>> choose_planes([False, True, True, True, True, True], most=3)
        [1, 3, 5]
        >>> choose_planes([False, False, False])
        [1]
    """
    planes = np.flatnonzero(has_foreground)
    if not planes.size:
        return [len(has_foreground) // 2]
    steps = np.linspace(0, planes.size - 1, min(most, planes.size))
    return planes[np.rint(steps).astype(int)].tolist()


def within_budget(cases: Sequence[ShownCase], num_bytes: int) -> list[ShownCase]:
    """Leave out planes, every other one of the largest case at a time, until the pictures fit.

    Args:
        cases: the cases; each keeps the plane that is seen first.
        num_bytes: what the pictures of all together may take.

    Returns:
        the cases in their order.
    """
    kept = list(cases)
    while sum(case.num_bytes for case in kept) > num_bytes:
        several = [i for i, case in enumerate(kept) if len(case.planes) > 1]
        if not several:
            break
        largest = max(several, key=lambda i: kept[i].num_bytes)
        case = kept[largest]
        planes = case.planes[case.start % 2 :: 2]
        kept[largest] = replace(case, planes=planes, start=case.start // 2)
    return kept


def file_name(case: str) -> str:
    """A name that any file system takes, different for different cases.

    Example:
        >>> file_name("a/b: 1")
        'a%2Fb%3A 1'
    """
    return re.sub(r"[^\w .()-]", lambda match: f"%{ord(match[0]):02X}", case)
