"""The report of an evaluation: figures, cases, and pictures of the best and the worst."""

from __future__ import annotations

import base64
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.files import atomic_write
from monai_supmix.listing import counted
from monai_supmix.metrics import CaseMeasures
from monai_supmix.metrics.overlap import dice, iou, mean_present, none_if_nan
from monai_supmix.report.gallery import CaseGallery, ShownCase, within_budget
from monai_supmix.report.markup import Cell, escape, facts, notes_box, number, section, settings_list, table
from monai_supmix.report.page import class_key, error_key, page
from monai_supmix.report.pictures import PlanePictures
from monai_supmix.report.training import classes_line, command_box, images_line, training_sections, versions_line

_PICTURES_BUDGET = 3_000_000  # bytes; as base64 a third more, and the whole page stays below 5 MB
_MAX_ROWS = 1000
_WIDE = 8  # columns that fit on a screen
_TOLD = 6  # classes that a heading lists
_OUTCOMES = ("measured", "missed", "spurious", "absent")
_DISTANCES = (
    "HD95 is the 95th percentile of the distances between the predicted and the true surface, ASD their mean, over "
    "the cases in which both have the class (measured). Missed: only the truth has it; spurious: only the prediction; "
    "absent: neither."
)


def write_evaluation_report(
    path: str | os.PathLike[str],
    summary: Mapping[str, Any],
    cases: Mapping[str, CaseMeasures],
    gallery: CaseGallery,
    command: str,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write the report of an evaluation as one HTML file that needs nothing else, atomically.

    Args:
        path: the file; its folder must exist.
        summary: what :func:`monai_supmix.metrics.summarize` returned, with ``checkpoint``,
            ``checkpoint_sha256``, ``settings``, ``notes`` and ``versions``.
        cases: measures of each case by its name.
        gallery: has looked at the cases.
        command: repeats the evaluation.
        training: the record of the training that made the weights, where it is known.

    Raises:
        InputError: when the system refuses to write.

    Example:
        >>> import tempfile
        >>> from monai_supmix.imageio import CaseImage
        >>> from monai_supmix.metrics import measure_case, summarize
        >>> from monai_supmix.transforms import PercentileScale
        >>> names, truth = ["background", "vessel"], np.eye(8, dtype=np.uint8)
        >>> image = CaseImage.from_array(truth[None] * 200)
        >>> gallery = CaseGallery(names, lambda image: PercentileScale())
        >>> gallery.add("eye", image, truth, truth)
        >>> cases = {"eye": measure_case(truth, truth, 2)}
        >>> used = {"checkpoint": "model.pt", "checkpoint_sha256": "...", "settings": {}, "notes": [], "versions": {}}
        >>> path = Path(tempfile.mkdtemp()) / "report.html"
        >>> write_evaluation_report(path, summarize(cases, names, **used), cases, gallery, command="evaluate")
        >>> "Best 1: eye" in path.read_text(encoding="utf-8")
        True
    """
    names = list(summary["classes"])
    sections = [
        _results(summary),
        _pictures(gallery),
        _cases(cases, names, summary["notes"]),
        _evaluated(summary, command, training),
        *(training_sections(training) if training is not None else []),
    ]
    text = page("Evaluation report", classes_line(names), sections)
    with atomic_write(Path(path), text=True) as file:
        file.write(text)


def _results(summary: Mapping[str, Any]) -> str:
    present = [figures for figures in summary["classes"].values() if figures]
    columns = ["class", "IoU", "Dice"]
    extra: dict[str, str] = {}
    if any("hd95_mm" in figures for figures in present):
        extra |= {"hd95_mm": "HD95 [mm]", "asd_mm": "ASD [mm]", **{outcome: outcome for outcome in _OUTCOMES}}
    if any("true_ml" in figures for figures in present):
        extra |= {"true_ml": "true [ml]", "predicted_ml": "predicted [ml]"}
    keys = ["iou", "dice", *extra]
    rows: list[list[Cell]] = [
        [name, *((figures or {}).get(key) for key in keys)] for name, figures in summary["classes"].items()
    ]
    foreground = summary["mean_foreground_iou"], summary["mean_foreground_dice"]
    mean: list[Cell] = ["mean of the foreground", *foreground, *(None for _ in extra)]
    tiles = {
        "mean IoU of the foreground": foreground[0],
        "mean Dice of the foreground": foreground[1],
        "foreground Dice of single cases": summary.get("mean_case_dice"),
        "mean IoU with background": summary["mean_iou"],
        "test image" if summary["num_images"] == 1 else "test images": summary["num_images"],
    }
    shown = "".join(
        f"<div><b>{'&ndash;' if value is None else number(value)}</b><span>{name}</span></div>"
        for name, value in tiles.items()
    )
    about = (
        '<p class="dim">IoU and Dice are ratios of pixels counted over the whole test set, on the grid of '
        "the truth. A class in neither truth nor prediction has a dash and is left out of the means.</p>"
    )
    if "hd95_mm" in extra:
        about += f'<p class="dim">{_DISTANCES}</p>'
    return section(
        "results",
        "Results",
        notes_box(summary["notes"]),
        f'<div class="figures">{shown}</div>',
        table([*columns, *extra.values()], rows, mean, bars=("IoU", "Dice")),
        about,
    )


def _cases(cases: Mapping[str, CaseMeasures], class_names: Sequence[str], notes: Sequence[str]) -> str:
    foreground = list(enumerate(class_names))[1:]
    with_distances = any(case.distances is not None for case in cases.values())
    with_volumes = any(case.volumes_ml is not None for case in cases.values())
    with_confidence = any(case.confidence is not None for case in cases.values())
    columns = ["case", "mean foreground IoU", *(f"{name} IoU" for name in class_names)]
    columns += [f"{name} Dice" for _, name in foreground]
    columns += [f"{name} confidence" for _, name in foreground] if with_confidence else []
    bars = columns[1:]
    for _, name in foreground:
        columns += [f"{name} HD95 [mm]"] if with_distances else []
        columns += [f"{name} true [ml]", f"{name} predicted [ml]"] if with_volumes else []
    rows: list[list[Cell]] = []
    for case, measures in cases.items():
        ious, dices = iou(measures.counts), dice(measures.counts)
        row: list[Cell] = [case, *(none_if_nan(v) for v in (mean_present(ious[1:]), *ious, *dices[1:]))]
        row += list(measures.confidence or (None,) * len(class_names))[1:] if with_confidence else []
        for index, _ in foreground:
            if with_distances:
                distance = measures.distances[index] if measures.distances is not None else None
                row.append(distance.hd95_mm if distance is not None else None)
            if with_volumes:
                volumes = measures.volumes_ml[index] if measures.volumes_ml is not None else None
                row += list(volumes or (None, None))
        rows.append(row)
    caption = counted(len(rows), "case") if len(rows) == 1 else f"All {len(rows)} cases"
    caption += "; click a head to sort. Counts of pixels are in cases.csv."
    if len(rows) > _MAX_ROWS:
        rows = sorted(rows, key=lambda row: 2.0 if row[1] is None else float(row[1]))[:_MAX_ROWS]
        caption = f"The worst {_MAX_ROWS} of {len(cases)} cases; all of them are in cases.csv."
    if len(columns) > _WIDE:
        caption += f" The table has {len(columns)} columns and scrolls sideways."
    text = f'<p class="dim">{caption}</p>'
    return section("cases", "Cases", notes_box(notes), text, table(columns, rows, bars=bars))


def _evaluated(summary: Mapping[str, Any], command: str, training: Mapping[str, Any] | None) -> str:
    is_single = isinstance(summary["checkpoint"], str)
    alone = "unknown: no history.json lies beside the weights"
    unknown = {"trained by": alone if is_single else "several trainings, the mean of whose networks is evaluated"}
    known = training and {
        "method": training["method"],
        "preset": training["preset"] or "none",
        "seed of the training": training["seed"],
    }
    shown = facts(
        {
            **(known or unknown),
            "data": images_line(summary["num_images"], summary.get("num_groups", summary["num_images"])),
            "split": "; ".join(["test side", *summary["notes"]]),
            "weights": _weights_line(summary["checkpoint"]),
            "SHA-256": summary["checkpoint_sha256"] if is_single else ", ".join(summary["checkpoint_sha256"]),
            "versions": versions_line({"python": sys.version.split()[0], **summary["versions"]}),
        }
    )
    settings = f'<p class="label">Settings</p><div class="settings">{settings_list(summary["settings"])}</div>'
    return section("evaluated", "What was evaluated", shown, settings, command_box(command))


def _weights_line(checkpoint: str | Sequence[str]) -> str:
    """The file's name; those of several networks with their folders, because all may be called model.pt."""
    if isinstance(checkpoint, str):
        return Path(checkpoint).name
    return ", ".join("/".join(Path(path).parts[-2:]) for path in checkpoint)


def _pictures(gallery: CaseGallery) -> str:
    names = gallery.class_names
    cases = within_budget([*gallery.worst, *gallery.best], _PICTURES_BUDGET)
    if not cases:
        text = "<p>No case has anything but background, neither in truth nor in prediction.</p>"
        return section("pictures", "Worst and best cases", text)
    count = len(gallery.worst)
    titles = [f"Worst {n + 1}" for n in range(count)] + [f"Best {n + 1}" for n in range(len(cases) - count)]
    about = (
        '<p class="dim">By mean IoU over the classes other than background. Volumes show slices with '
        "something to see, in the radiological view. Click a picture to enlarge it.</p>"
    )
    keys = f'<p class="label">Errors</p>{error_key(names)}'
    strength = (
        '<label class="strength">Strength of the colours <input type="range" min="0" max="100" value="80"></label>'
    )
    shown = "".join(_case(title, case, names) for title, case in zip(titles, cases, strict=True))
    return section("pictures", "Worst and best cases", about, keys, strength, shown)


def _case(title: str, case: ShownCase, class_names: Sequence[str]) -> str:
    head = f"<h3>{title}: {escape(case.case)} <small>IoU: {escape(_figures(case, class_names))}</small></h3>"
    slider = ""
    if len(case.planes) > 1:
        slider = (
            f'<label>Slice <input type="range" min="0" max="{len(case.planes) - 1}" value="{case.start}" '
            'step="1" autocomplete="off"><output></output></label>'
        )
    planes = "".join(
        _plane(plane, case.num_planes, class_names, hidden=index != case.start)
        for index, plane in enumerate(case.planes)
    )
    return f'<article class="case">{head}{slider}{planes}</article>'


def _figures(case: ShownCase, class_names: Sequence[str]) -> str:
    """IoU of the classes that the case shows: of all, or of the worst and in the mean where there are many."""
    figures = zip(class_names[1:], case.ious[1:].tolist(), strict=True)
    present = [(name, value) for name, value in figures if not np.isnan(value)]
    if len(present) <= _TOLD:
        return ", ".join(f"{name} {number(value)}" for name, value in present)
    worst = sorted(present, key=lambda pair: pair[1])[: _TOLD - 1]
    listed = ", ".join(f"{name} {number(value)}" for name, value in worst)
    return f"mean of {len(present)} classes {number(case.score)}; the worst are {listed}"


def _plane(plane: PlanePictures, num_planes: int, class_names: Sequence[str], hidden: bool) -> str:
    height, width = plane.size
    shape = f'style="aspect-ratio:{width}/{height}"'
    over = {"Truth": plane.truth, "Prediction": plane.prediction, "Errors": plane.errors}
    tiles = [_tile("Input", shape)]
    for name, png in over.items():
        tiles.append(_tile(name, shape, f'<img alt="{name}" src="data:image/png;base64,{_base64(png)}">'))
    # The image lies once in the page, whatever the number of tiles that show it.
    base = f"--base:url(data:image/jpeg;base64,{_base64(plane.image)})"
    kind = "slice tiles small" if max(plane.size) < 160 else "slice tiles"
    state = " hidden" if hidden else ""
    return (
        f'<div class="{kind}"{state} data-place="{plane.index + 1} of {num_planes}" style="{base}">'
        f"{''.join(tiles)}{class_key(class_names, plane.classes)}</div>"
    )


def _tile(name: str, shape: str, overlay: str = "") -> str:
    kind = "tile tinted" if overlay else "tile"
    return (
        f'<figure class="{kind}"><figcaption>{name}</figcaption>'
        f'<div class="view" role="button" tabindex="0" title="enlarge" {shape}>'
        f'<div class="base"></div>{overlay}</div></figure>'
    )


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
