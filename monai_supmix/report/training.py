"""The report of a training: what was run, on which data, and how it went."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.files import atomic_write
from monai_supmix.report.curves import Points, line_chart
from monai_supmix.report.markup import details, escape, facts, notes_box, section, settings_list, table
from monai_supmix.report.page import page


def write_training_report(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write the report of a training as one HTML file that needs nothing else, atomically.

    Args:
        path: the file; its folder must exist.
        record: from :func:`monai_supmix.report.training_record`.

    Raises:
        InputError: when the system refuses to write.
    """
    title = f"Training report: {record['method']}"
    text = page(title, f"Classes: {', '.join(record['class_names'])}", training_sections(record))
    with atomic_write(Path(path), text=True) as file:
        file.write(text)


def training_sections(record: Mapping[str, Any]) -> list[str]:
    """The sections on a training, for its own report and for that of an evaluation.

    Args:
        record: from :func:`monai_supmix.report.training_record`.

    Returns:
        HTML of each section.
    """
    run = section(
        "run",
        "What was trained",
        facts(
            {
                "method": record["method"],
                "preset": record["preset"] or "none",
                "seed": record["seed"],
                "iterations": record["total_iterations"],
                "classes": ", ".join(record["class_names"]),
                "versions": versions_line(record["versions"]),
            }
        ),
        command_box(record["command"]),
        details("All settings", f'<div class="settings">{settings_list(record["settings"])}</div>'),
    )
    return [run, _data(record["data"]), _curves(record)]


def versions_line(versions: Mapping[str, str]) -> str:
    """Packages and their versions in one line."""
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def command_box(command: str) -> str:
    """The command that repeats a run, as HTML."""
    return f'<p class="label">Command to repeat it</p><pre>{escape(command)}</pre>'


def _data(data: Mapping[str, Any]) -> str:
    sides: Mapping[str, Mapping[str, Any]] = data["sides"]
    if not sides:
        return ""
    counts = table(
        ["side", "images", "groups (patients)"],
        [[name, side["images"], side["groups"]] for name, side in sides.items()],
    )
    cases = "".join(
        details(f"Cases: {name} ({side['images']})", f"<p>{escape(', '.join(side['cases']))}</p>")
        for name, side in sides.items()
        if side["cases"]
    )
    return section("data", "Training data and split", notes_box(data["notes"]), counts, cases)


def _curves(record: Mapping[str, Any]) -> str:
    rows, validation = record["rows"], record["validation_rows"]
    if not rows:
        return ""
    names = list(dict.fromkeys(name for row in rows for name in row))
    consistency = [n for n in names if n.startswith("loss_strong_") or n == "loss_feature_dropout"]
    adversarial = [n for n in names if n in ("loss_generator", "loss_discriminator")]
    first = [n for n in names if n in ("loss", "loss_supervised")]
    others = [n for n in names if n.startswith("loss_") and n not in {*first, *consistency, *adversarial}]
    classes = dict(enumerate(record["class_names"]))
    shares = {f"pseudo_label_share_{index}": name for index, name in classes.items() if index > 0}
    charts = [
        _chart("Loss", rows, first),
        _chart("Consistency terms", rows, consistency),
        _chart(
            "Discriminator terms (SUFD)",
            rows,
            adversarial,
            caption="healthy: discriminator at about 0.2 to 0.7",
        ),
        _chart("Further terms", rows, others),
        _chart("Confident pixels", rows, ["confidence_coverage"], as_percent=True),
        _chart(
            "Classes of the pseudo-labels",
            rows,
            shares,
            as_percent=True,
            caption=f"share of all pixels; the rest is {classes.get(0, 'background')}",
        ),
        _chart("Discriminator accuracy", rows, ["discriminator_accuracy"], as_percent=True),
        _chart(
            "Validation IoU",
            validation,
            {"mean_iou": "mean", **{f"iou_{name}": name for name in classes.values()}},
        ),
        _chart("Learning rate", rows, ["learning_rate"]),
    ]
    about = "<p>Over the iterations; each point is a mean over the log interval. Bold: the newest value.</p>"
    return section("curves", "How it went", about, f'<div class="charts">{"".join(charts)}</div>')


def _chart(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | Mapping[str, str],
    as_percent: bool = False,
    caption: str = "",
) -> str:
    told = columns if isinstance(columns, Mapping) else {name: _words(name) for name in columns}
    series: dict[str, Points] = {
        name: [(row["iteration"], row[column]) for row in rows if column in row] for column, name in told.items()
    }
    return line_chart(title, {name: points for name, points in series.items() if points}, as_percent, caption)


def _words(column: str) -> str:
    return "total" if column == "loss" else column.removeprefix("loss_").replace("_", " ")
