"""Charts of columns of a training's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from monai_supmix.report.curves import Mark, Points, line_chart
from monai_supmix.report.page import class_hex

_MOST = 12  # curves that can still be told apart
_NAMED = 6  # colours of classes in report.css


def chart(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | Mapping[str, str],
    as_percent: bool = False,
    caption: str = "",
    colours: Mapping[str, str] | None = None,
    axis: str = "",
    mark: Mark | None = None,
    prefer: Literal["largest", "smallest"] = "largest",
) -> str:
    """Draw columns over the iterations, those of twelve at most.

    Args:
        title: heading of the chart.
        rows: rows of a history, each with its ``iteration``; a row may lack a column.
        columns: the columns, and what they are called in the legend where that is not their name in words.
        as_percent: values are fractions, shown in %.
        caption: a remark below the heading.
        colours: see :func:`monai_supmix.report.curves.line_chart`, as for the arguments below.
        axis: what the values are.
        mark: an iteration to mark.
        prefer: which ones are drawn, by their newest values, if there are more; the heading says so.

    Returns:
        HTML; empty when no column has a value.

    Example:
        >>> rows = [{"iteration": 10, "loss": 0.5, "loss_strong_1": 0.25}]
        >>> chart("Loss", rows, ["loss", "loss_strong_1"]).count("</i>")
        2
    """
    names = columns if isinstance(columns, Mapping) else {name: _words(name) for name in columns}
    series: dict[str, Points] = {
        name: [(row["iteration"], row[column]) for row in rows if column in row] for column, name in names.items()
    }
    shown = {name: points for name, points in series.items() if any(value is not None for _, value in points)}
    if len(shown) > _MOST:
        newest = {name: [value for _, value in points if value is not None][-1] for name, points in shown.items()}
        drawn = sorted(newest, key=lambda name: newest[name], reverse=prefer == "largest")[:_MOST]
        caption = f"{caption}{'; ' if caption else ''}the {_MOST} {prefer} of {len(shown)}"
        shown = {name: points for name, points in shown.items() if name in drawn}
    return line_chart(title, shown, as_percent, caption, colours, axis, mark)


def class_colours_of(class_names: Sequence[str]) -> dict[str, str]:
    """The colours that classes have in all charts and, lighter or darker, in overlays.

    The first six are named in report.css, those after them are given by their value.

    Example:
        >>> class_colours_of(["background", "vessel"])
        {'background': 'k0', 'vessel': 'k1'}
        >>> class_colours_of([str(value) for value in range(8)])["7"].startswith("#")
        True
    """
    return {name: f"k{index}" if index <= _NAMED else class_hex(index) for index, name in enumerate(class_names)}


def burn_in_mark(record: Mapping[str, Any]) -> Mark | None:
    """Where the burn-in of a training ended, for its charts.

    Args:
        record: from :func:`monai_supmix.report.training_record`.

    Example:
        >>> burn_in_mark({"burn_in": 840}), burn_in_mark({})
        (Mark(iteration=840, text='end of burn-in'), None)
    """
    return Mark(record["burn_in"], "end of burn-in") if record.get("burn_in") else None


def _words(column: str) -> str:
    return "total" if column == "loss" else column.removeprefix("loss_").replace("_", " ")
