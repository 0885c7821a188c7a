"""The report of a training: what was run, on which data, and how it went."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_supmix.files import atomic_write
from monai_supmix.listing import counted
from monai_supmix.report.charts import burn_in_mark, chart, class_colours_of
from monai_supmix.report.markup import details, escape, facts, notes_box, section, settings_list, table
from monai_supmix.report.page import page
from monai_supmix.report.pseudo_labels import pseudo_labels_section

_FEW = 8  # classes that a line names
_DISCRIMINATOR = (
    "discriminator at 0.69 (ln 2): at chance, it cannot tell labelled from unlabelled maps; "
    "near 0: it tells all apart, and SUFD teaches nothing"
)


def write_training_report(path: str | os.PathLike[str], record: Mapping[str, Any]) -> None:
    """Write the report of a training as one HTML file that needs nothing else, atomically.

    Args:
        path: the file; its folder must exist.
        record: from :func:`monai_supmix.report.training_record`.

    Raises:
        InputError: when the system refuses to write.

    Example:
        >>> import tempfile
        >>> from monai_supmix.report import training_record
        >>> path = Path(tempfile.mkdtemp()) / "report.html"
        >>> rows = [{"iteration": 10, "loss": 0.9}, {"iteration": 20, "loss": 0.5}]
        >>> record = training_record("supervised", {"seed": 0}, ["background", "vessel"], {}, 20, rows=rows)
        >>> write_training_report(path, record)
        >>> "Training report: supervised" in path.read_text(encoding="utf-8")
        True
    """
    title = f"Training report: {record['method']}"
    text = page(title, classes_line(record["class_names"]), training_sections(record))
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
                "data": _sides_line(record["data"]["sides"]),
                "iterations": record["total_iterations"],
                "classes": ", ".join(record["class_names"]),
                "versions": versions_line(record["versions"]),
            }
        ),
        command_box(record["command"]),
        details("All settings", f'<div class="settings">{settings_list(record["settings"])}</div>'),
    )
    return [run, _data(record["data"]), _curves(record), pseudo_labels_section(record)]


def classes_line(class_names: Sequence[str]) -> str:
    """Names of a few classes, or the number of many, below the title of a report.

    Example:
        >>> classes_line(["background", "vessel"]), classes_line([str(value) for value in range(42)])
        ('Classes: background, vessel', '41 classes beside 0')
    """
    if len(class_names) > _FEW:
        return f"{len(class_names) - 1} classes beside {class_names[0]}"
    return f"Classes: {', '.join(class_names)}"


def _sides_line(sides: Mapping[str, Mapping[str, Any]]) -> str | None:
    """How many images there are on each side, in one line."""
    shown = [f"{name}: {images_line(side['images'], side['groups'])}" for name, side in sides.items() if side["images"]]
    return "; ".join(shown) or None


def images_line(images: int, groups: int) -> str:
    """Numbers of images and of patients in words; as many groups as images do not tell whether patients are known.

    Example:
        >>> images_line(8, 4), images_line(1, 1)
        ('8 images of 4 patients', '1 image')
    """
    return counted(images, "image") + (f" of {counted(groups, 'patient')}" if groups < images else "")


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
        ["side", "images", "patients or images"],
        [[name, side["images"], side["groups"]] for name, side in sides.items()],
    )
    cases = "".join(
        details(f"Cases: {name} ({side['images']})", f"<p>{escape(', '.join(side['cases']))}</p>")
        for name, side in sides.items()
        if side["cases"]
    )
    return section("data", "Training data and split", notes_box(data["notes"]), counts, cases)


def _curves(record: Mapping[str, Any]) -> str:
    rows, names = record["rows"], record["class_names"]
    if not rows:
        return ""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    consistency = [n for n in columns if n.startswith("loss_strong_") or n == "loss_feature_dropout"]
    adversarial = [n for n in columns if n in ("loss_generator", "loss_discriminator")]
    first = [n for n in columns if n in ("loss", "loss_supervised")]
    others = [n for n in columns if n.startswith("loss_") and n not in {*first, *consistency, *adversarial}]
    mark = burn_in_mark(record)
    charts = [
        chart("Loss", rows, first, axis="loss", mark=mark),
        chart("Consistency terms", rows, consistency, axis="loss", mark=mark),
        chart("Discriminator terms (SUFD)", rows, adversarial, caption=_DISCRIMINATOR, axis="loss", mark=mark),
        chart("Further terms", rows, others, axis="loss", mark=mark),
        chart(
            "Discriminator accuracy",
            rows,
            ["discriminator_accuracy"],
            as_percent=True,
            caption="50 %: at chance",
            axis="share of maps told apart",
            mark=mark,
        ),
        chart(
            "Validation IoU",
            record["validation_rows"],
            {"mean_iou": "mean", **{f"iou_{name}": name for name in names}},
            colours={"mean": "ink", **class_colours_of(names)},
            axis="IoU",
            mark=mark,
        ),
        chart("Learning rate", rows, ["learning_rate"], axis="learning rate", mark=mark),
    ]
    about = "<p>Over the iterations; each point is a mean over the log interval. Bold: the newest value.</p>"
    return section("curves", "How it went", about, f'<div class="charts">{"".join(charts)}</div>')
