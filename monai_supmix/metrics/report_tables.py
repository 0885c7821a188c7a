"""The two files of an evaluation: `metrics.json` for the whole set, `cases.csv` with a row for each case."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write
from monai_supmix.metrics.dataset import CaseMeasures
from monai_supmix.metrics.overlap import dice, iou, mean_present, none_if_nan
from monai_supmix.metrics.surface import SurfaceDistance


def summarize(cases: Mapping[str, CaseMeasures], class_names: Sequence[str], **extra: Any) -> dict[str, Any]:
    """Summarize the cases of one data set.

    IoU and Dice are ratios of counts summed over all cases. A class that is absent from truth and prediction
    of the whole set is None and left out of the means; ``mean_foreground_iou`` and ``mean_foreground_dice`` are without
    the background, which most images are full of. ``case_dice`` of a class is the field's other form: the mean
    of the Dice of each case, with its standard deviation ``case_dice_sd`` (population), over the cases that show the
    class in truth or prediction. ``mean_case_dice`` and ``mean_case_dice_sd`` are those of the cases' own means over
    the classes other than background. Where the spacing of every case is known, a class
    other than background also has ``hd95_mm`` and ``asd_mm`` (means over the cases in which they were measured, None
    if in none), the numbers of cases in which it was ``measured``, ``missed``, ``spurious`` and ``absent`` (see
    `SurfaceDistance`), and where all cases are volumes the ``true_ml`` and ``predicted_ml`` of all together. Cases in
    which a class was not labelled are in none of its figures.

    Args:
        cases: measures of each case by its name.
        class_names: names of the classes, background first.
        extra: further entries that go into the file as they are (checkpoint, its SHA-256, notes).

    Returns:
        a dictionary for `monai_supmix.files.write_json`; fractions are in [0, 1].

    Raises:
        ValueError: when there is no case.

    Example:
        >>> case = CaseMeasures(np.array([[9, 0, 1], [3, 1, 0], [0, 0, 0]]))
        >>> summary = summarize({"a": case}, ["background", "vessel", "other"])
        >>> summary["classes"]["vessel"], summary["classes"]["other"]
        ({'iou': 0.75, 'dice': 0.857..., 'case_dice': 0.857..., 'case_dice_sd': 0.0}, None)
        >>> summary["mean_iou"], summary["num_images"]
        (0.825, 1)
    """
    if not cases:
        raise ValueError("there is no case to summarize")
    counts = np.sum([case.counts for case in cases.values()], axis=0)
    ious, dices = iou(counts), dice(counts)
    case_dices = np.stack([dice(case.counts) for case in cases.values()])
    classes: dict[str, dict[str, Any] | None] = {}
    for index, name in enumerate(class_names):
        if np.isnan(ious[index]):
            classes[name] = None
        else:
            figures: dict[str, Any] = {"iou": float(ious[index]), "dice": float(dices[index])}
            figures["case_dice"], figures["case_dice_sd"] = _mean_and_deviation(case_dices[:, index])
            classes[name] = figures | _geometry(list(cases.values()), index)
    case_mean, case_sd = _mean_and_deviation(np.array([mean_present(row[1:]) for row in case_dices]))
    return {
        "classes": classes,
        "mean_iou": none_if_nan(mean_present(ious)),
        "mean_dice": none_if_nan(mean_present(dices)),
        "mean_foreground_iou": none_if_nan(mean_present(ious[1:])),
        "mean_foreground_dice": none_if_nan(mean_present(dices[1:])),
        "mean_case_dice": case_mean,
        "mean_case_dice_sd": case_sd,
        "num_images": len(cases),
        **extra,
    }


def _mean_and_deviation(values: np.ndarray) -> tuple[float | None, float | None]:
    """Mean and standard deviation of the values that are not NaN, None of none."""
    present = values[~np.isnan(values)]
    return (float(present.mean()), float(present.std())) if present.size else (None, None)


def _geometry(cases: Sequence[CaseMeasures], index: int) -> dict[str, Any]:
    figures: dict[str, Any] = {}
    with_spacing = all(case.distances is not None for case in cases)
    # of the cases in which the class was labelled
    distances = [d for case in cases if case.distances is not None and (d := case.distances[index]) is not None]
    if with_spacing and distances:
        figures["hd95_mm"] = none_if_nan(mean_present([d.hd95_mm for d in distances if d.hd95_mm is not None]))
        figures["asd_mm"] = none_if_nan(mean_present([d.asd_mm for d in distances if d.asd_mm is not None]))
        for outcome in ("measured", "missed", "spurious", "absent"):
            figures[outcome] = sum(distance.outcome == outcome for distance in distances)
    volumes = [v for case in cases if case.volumes_ml is not None and (v := case.volumes_ml[index]) is not None]
    if volumes and all(case.volumes_ml is not None for case in cases):
        figures["true_ml"], figures["predicted_ml"] = (float(total) for total in np.sum(volumes, axis=0))
    return figures


def write_cases_csv(
    path: str | os.PathLike[str],
    cases: Mapping[str, CaseMeasures],
    class_names: Sequence[str],
    about: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Write one row for each case, atomically.

    Columns are ``case`` and for every class ``<class>_tp``, ``_fp``, ``_fn`` (elements), ``_iou``, ``_dice``
    (empty where the class is absent from this case); where it is known, for every class but background
    ``_confidence`` (mean probability inside its mask, empty where it has none); where the spacing of any case is known,
    also ``_surface`` (an outcome of `SurfaceDistance`), ``_hd95_mm``, ``_asd_mm``, ``_true_ml`` and ``_predicted_ml``
    for every class but background, empty where there is no number.

    Args:
        path: the file; its folder must exist. UTF-8, comma-separated.
        cases: measures of each case by its name; rows have this order.
        class_names: names of the classes, background first.
        about: further columns of each case, behind its name: values by column.

    Raises:
        InputError: when the system refuses to write.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "cases.csv"
        >>> write_cases_csv(path, {"a": CaseMeasures(np.array([[3, 1, 0]]))}, ["background"])
        >>> print(path.read_text())
        case,background_tp,background_fp,background_fn,background_iou,background_dice
        a,3,1,0,0.75,0.857...
    """
    with_geometry = any(case.distances is not None for case in cases.values())
    with_confidence = any(case.confidence is not None for case in cases.values())
    rows = [
        {"case": name, **(about or {}).get(name, {}), **_row(measures, class_names, with_geometry, with_confidence)}
        for name, measures in cases.items()
    ]
    with atomic_write(path, text=True) as file:
        writer = csv.DictWriter(file, rows[0].keys() if rows else ["case"], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _row(case: CaseMeasures, class_names: Sequence[str], with_geometry: bool, with_confidence: bool) -> dict[str, Any]:
    row: dict[str, Any] = {}
    ious, dices = iou(case.counts), dice(case.counts)
    for index, name in enumerate(class_names):
        row |= {f"{name}_{what}": int(n) for what, n in zip(("tp", "fp", "fn"), case.counts[index], strict=True)}
        row |= {f"{name}_iou": none_if_nan(ious[index]), f"{name}_dice": none_if_nan(dices[index])}
        if with_confidence and index > 0:
            row[f"{name}_confidence"] = case.confidence and case.confidence[index]
        if with_geometry and index > 0:
            distance = case.distances[index] if case.distances is not None else None
            volume = case.volumes_ml[index] if case.volumes_ml is not None else None
            row[f"{name}_surface"] = distance and distance.outcome
            row[f"{name}_hd95_mm"] = distance and distance.hd95_mm
            row[f"{name}_asd_mm"] = distance and distance.asd_mm
            row[f"{name}_true_ml"], row[f"{name}_predicted_ml"] = volume or (None, None)
    return row


def read_cases_csv(path: str | os.PathLike[str], class_names: Sequence[str]) -> dict[str, CaseMeasures]:
    """Read what `write_cases_csv` wrote, as far as `summarize` needs it.

    Args:
        path: the file.
        class_names: names of the classes, background first.

    Returns:
        measures of each case by its name, in the order of the rows.

    Raises:
        InputError: the file is missing, or is not such a table of these classes.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> path = Path(tempfile.mkdtemp()) / "cases.csv"
        >>> write_cases_csv(path, {"a": CaseMeasures(np.array([[3, 1, 0]]))}, ["background"])
        >>> read_cases_csv(path, ["background"])["a"].counts.tolist()
        [[3, 1, 0]]
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            return {row["case"]: _measures(row, class_names) for row in csv.DictReader(file)}
    except (OSError, KeyError, TypeError, ValueError) as error:
        problem = f"is not a readable table of these classes ({type(error).__name__}: {error})"
        raise InputError(path, problem, "evaluate again") from error


def _measures(row: Mapping[str, str], class_names: Sequence[str]) -> CaseMeasures:
    counts = np.array([[int(row[f"{name}_{what}"]) for what in ("tp", "fp", "fn")] for name in class_names], np.int64)
    distances: list[SurfaceDistance | None] = []
    volumes: list[tuple[float, float] | None] = []
    sure = [float(text) if (text := row.get(f"{name}_confidence")) else None for name in class_names]
    for name in class_names:
        outcome: Any = row.get(f"{name}_surface")
        hd95, asd, true, predicted = (
            float(text) if (text := row.get(f"{name}_{what}")) else None
            for what in ("hd95_mm", "asd_mm", "true_ml", "predicted_ml")
        )
        distances.append(SurfaceDistance(outcome, hd95, asd) if outcome else None)
        volumes.append(None if true is None or predicted is None else (true, predicted))
    has_confidence = any(f"{name}_confidence" in row for name in class_names)
    return CaseMeasures(
        counts,
        tuple(distances) if any(distances) else None,
        tuple(volumes) if any(volumes) else None,
        tuple(sure) if has_confidence else None,
    )
