"""Measures of single cases, and of a whole data set, from label maps on the truth's own grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import ignite.distributed as idist
import numpy as np
from ignite.engine import Engine
from ignite.exceptions import NotComputableError
from ignite.metrics import Metric
from monai.config import NdarrayOrTensor

from monai_supmix.metrics.overlap import dice, iou, mean_present, overlap_counts
from monai_supmix.metrics.surface import SurfaceDistance, surface_distances, volume_ml


@dataclass(frozen=True)
class CaseMeasures:
    """What was measured of one case; all tuples have one entry for each class.

    Attributes:
        counts: int64 ``(C, 3)``, TP, FP, FN in elements of the truth's grid; 0 for classes that were not labelled.
        distances: surface distances (None for background and classes that were not labelled), or None when the spacing
            is unknown.
        volumes_ml: true and predicted volume in ml (None for background and classes that were not labelled), or None
            when the spacing is unknown or the case is a picture.
        confidence: mean probability of each class inside its mask, None where it has none; None when it is not known.

    Example:
        >>> case = CaseMeasures(np.array([[90, 0, 4], [6, 4, 0]]))
        >>> dice(case.counts).round(2), case.distances  # the spacing is not known
        (array([0.98, 0.75]), None)
    """

    counts: np.ndarray
    distances: tuple[SurfaceDistance | None, ...] | None = None
    volumes_ml: tuple[tuple[float, float] | None, ...] | None = None
    confidence: tuple[float | None, ...] | None = None


def measure_case(
    prediction: NdarrayOrTensor,
    truth: NdarrayOrTensor,
    num_classes: int,
    spacing: Sequence[float] | None = None,
    ignore_index: int | None = None,
    labelled_classes: Sequence[bool] | np.ndarray | None = None,
) -> CaseMeasures:
    """Measure one case in every way that its geometry allows.

    Args:
        prediction: as for `overlap_counts`.
        truth: as for `overlap_counts`, on the same grid.
        num_classes: number of classes, background included.
        spacing: mm between elements along each axis; without it there are no distances and volumes.
        ignore_index: elements of this true class are left out.
        labelled_classes: ``(C,)``, the classes that the truth knows of; ``None``: all. Of the others nothing is
            measured, and nothing of the background, which may be one of these.

    Returns:
        the counts, and the surface distances and volumes where the spacing is known.

    Example:
        >>> cube = np.zeros((4, 4, 4), np.uint8)
        >>> cube[1:3, 1:3, 1:3] = 1
        >>> case = measure_case(cube, cube, 2, spacing=(1.0, 1.0, 5.0))
        >>> case.distances[1].hd95_mm, case.volumes_ml[1]
        (0.0, (0.04, 0.04))
    """
    labelled = np.ones(num_classes, bool) if labelled_classes is None else np.asarray(labelled_classes)
    labelled = labelled & (np.arange(num_classes) > 0) if not labelled.all() else labelled
    counts = overlap_counts(prediction, truth, num_classes, ignore_index) * labelled[:, None]
    if spacing is None:
        return CaseMeasures(counts)
    of_classes = surface_distances(prediction, truth, num_classes, spacing, ignore_index)
    distances = tuple(distance if k else None for distance, k in zip(of_classes, labelled, strict=True))
    if len(spacing) != 3:
        return CaseMeasures(counts, distances)
    volumes = volume_ml(counts, spacing)
    return CaseMeasures(counts, distances, tuple(v if k else None for v, k in zip(volumes, labelled, strict=True)))


class DatasetOverlap(Metric):
    """IoU and Dice of a whole data set: counts summed over all its images first, ratios last.

    A mean of per-image ratios would give an image with three vessel pixels the weight of one with three
    thousand. As the key metric of a MONAI engine it is the mean IoU over the classes that are present. The
    rest goes to the engine too: ``engine.state.metrics`` gets ``mean_dice`` and ``iou_<class>`` and
    ``dice_<class>`` of the present classes, ``engine.state.metric_details[name]`` the measures of each case.

    The engine's output is a list of dictionaries with ``prediction`` and ``truth`` (label maps as for
    `overlap_counts`), ``case`` (a unique name), ``spacing`` (mm, or None) if distances and volumes are wanted, and
    perhaps ``confidence`` (a number or None for each class), and ``labelled_classes`` (bool ``(C,)``) and
    ``ignore_index`` of cases that are not labelled as a whole. In a distributed run the cases of all processes are
    brought together by name, so that the cases that a sampler repeats to fill up its last batch count once, as the
    first process that has them found them.

    Args:
        class_names: names of the classes, background first.
        ignore_index: elements of this true class are left out.
        output_transform: makes the list of dictionaries from the engine's output.

    Example:
        >>> engine = Engine(lambda engine, batch: [{"prediction": batch, "truth": batch * 0, "case": "a"}])
        >>> DatasetOverlap(["background", "vessel"]).attach(engine, "mean_iou")
        >>> engine.run([np.array([0, 0, 0, 1])]).metrics["iou_background"]
        0.75
    """

    required_output_keys = None

    def __init__(
        self,
        class_names: Sequence[str],
        ignore_index: int | None = None,
        output_transform: Callable[[Any], Any] = lambda output: output,
    ) -> None:
        self.class_names, self.ignore_index = list(class_names), ignore_index
        super().__init__(output_transform, skip_unrolling=True)

    def reset(self) -> None:
        """Forget all cases."""
        self.cases: dict[str, CaseMeasures] = {}

    def update(self, output: Sequence[Mapping[str, Any]]) -> None:
        """Measure the cases of one batch.

        Args:
            output: one dictionary for each case, see the class.

        Raises:
            ValueError: when a case with another truth had the same name.
        """
        for item in output:
            spacing = item.get("spacing")
            measures = measure_case(
                item["prediction"],
                item["truth"],
                len(self.class_names),
                None if spacing is None else [float(step) for step in spacing],
                item.get("ignore_index", self.ignore_index),
                item.get("labelled_classes"),
            )
            sure = item.get("confidence")
            measures = replace(measures, confidence=None if sure is None else tuple(sure))
            self._add(item["case"], measures, np.asarray)

    def _add(self, case: str, measures: CaseMeasures, compared: Callable[[np.ndarray], np.ndarray]) -> None:
        first = self.cases.setdefault(case, measures)
        if not np.array_equal(compared(first.counts), compared(measures.counts)):
            raise ValueError(f"two different cases have the name '{case}'; names of cases must be unique")

    def compute(self) -> float:
        """Bring the cases of all processes together; afterwards `cases` has them in the order of their names.

        Returns:
            the mean IoU over the classes that are present.

        Raises:
            NotComputableError: when there was no case.
        """
        gathered: Any = idist.all_gather(self.cases) if idist.get_world_size() > 1 else [self.cases]
        self.cases = {}
        for cases in gathered:
            for case, measures in cases.items():
                self._add(case, measures, _sizes_of_truth)  # two GPUs may predict the same case a pixel apart
        self.cases = dict(sorted(self.cases.items()))
        if not self.cases:
            raise NotComputableError("no case was evaluated")
        return mean_present(iou(self.counts))

    @property
    def counts(self) -> np.ndarray:
        """TP, FP, FN of each class over all cases, int64 of shape ``(C, 3)``."""
        return np.sum([measures.counts for measures in self.cases.values()], axis=0)

    def completed(self, engine: Engine, name: str) -> None:
        """Put the mean IoU, the figures of the classes and the measures of the cases into the state."""
        super().completed(engine, name)
        dices = dice(self.counts)
        engine.state.metrics["mean_dice"] = mean_present(dices)
        for prefix, values in (("iou", iou(self.counts)), ("dice", dices)):
            present = zip(self.class_names, values.tolist(), strict=True)
            engine.state.metrics.update({f"{prefix}_{c}": v for c, v in present if not np.isnan(v)})
        if hasattr(engine.state, "metric_details"):  # MONAI's engines have it
            engine.state.metric_details[name] = dict(self.cases)


def _sizes_of_truth(counts: np.ndarray) -> np.ndarray:
    """True pixels of each class, TP + FN."""
    return counts[:, ::2].sum(axis=1)
