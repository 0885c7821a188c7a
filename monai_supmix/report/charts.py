"""Charts of columns of a training's history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_supmix.report.curves import Points, line_chart


def chart(
    title: str,
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str] | Mapping[str, str],
    as_percent: bool = False,
    caption: str = "",
    colours: Mapping[str, str] | None = None,
) -> str:
    """Draw columns over the iterations.

    Args:
        title: heading of the chart.
        rows: rows of a history, each with its ``iteration``; a row may lack a column.
        columns: the columns, and what they are called in the legend where that is not their name in words.
        as_percent: values are fractions, shown in %.
        caption: a remark below the heading.
        colours: see :func:`monai_supmix.report.curves.line_chart`.

    Returns:
        HTML; empty when no column has a value.

    Example:
        >>> rows = [{"iteration": 10, "loss": 0.5, "loss_strong_1": 0.25}]
        >>> chart("Loss", rows, ["loss", "loss_strong_1"]).count("</i>")
        2
    """
    told = columns if isinstance(columns, Mapping) else {name: _words(name) for name in columns}
    series: dict[str, Points] = {
        name: [(row["iteration"], row[column]) for row in rows if column in row] for column, name in told.items()
    }
    return line_chart(title, {name: points for name, points in series.items() if points}, as_percent, caption, colours)


def class_colours_of(class_names: Sequence[str]) -> dict[str, str]:
    """The colours that classes have in all charts and, lighter or darker, in overlays.

    Example:
        >>> class_colours_of(["background", "vessel"])
        {'background': 'k0', 'vessel': 'k1'}
    """
    return {name: f"k{(index - 1) % 6 + 1 if index else 0}" for index, name in enumerate(class_names)}


def _words(column: str) -> str:
    return "total" if column == "loss" else column.removeprefix("loss_").replace("_", " ")
