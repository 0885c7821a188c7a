"""The part of a training's report on its pseudo-labels: how many, of which classes, and how many are right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_supmix.report.charts import burn_in_mark, chart, class_colours_of
from monai_supmix.report.markup import section, table

_ABOUT = """<p>The first two charts are of the augmented images in training. The others, and the table, compare with the
hidden truth of a few unlabelled cases, predicted whole in evaluation mode. Training never sees this truth.</p>"""


def pseudo_labels_section(record: Mapping[str, Any]) -> str:
    """Make the section.

    Args:
        record: from :func:`monai_supmix.report.training_record`.

    Returns:
        HTML; empty for a training without pseudo-labels.
    """
    names, rows = record["class_names"], record["rows"]
    looks = record.get("pseudo_label_rows") or []
    colours, mark = class_colours_of(names), burn_in_mark(record)
    charts = [
        chart(
            "Confident pixels",
            rows,
            {"confidence_coverage": "in training"},
            as_percent=True,
            axis="share of pixels",
            mark=mark,
        ),
        chart(
            "Classes of the pseudo-labels",
            rows,
            {f"pseudo_label_share_{index}": name for index, name in enumerate(names) if index > 0},
            caption=f"share of all pixels; the rest is {names[0]}",
            as_percent=True,
            colours=colours,
            axis="share of pixels",
            mark=mark,
        ),
        chart(
            "Right pseudo-labels",
            looks,
            {"precision": "precision", "coverage": "confident pixels"},
            as_percent=True,
            caption="precision: share of the confident pixels whose pseudo-label is right",
            axis="share of pixels",
            mark=mark,
        ),
        chart(
            "Precision of each class",
            looks,
            {f"precision_{name}": name for name in names},
            as_percent=True,
            colours=colours,
            axis="precision",
            mark=mark,
            prefer="smallest",
        ),
        chart(
            "Recall of each class",
            looks,
            {f"recall_{name}": name for name in names},
            caption="share of the true pixels that are confident and right",
            as_percent=True,
            colours=colours,
            axis="recall",
            mark=mark,
            prefer="smallest",
        ),
    ]
    if not any(charts):
        return ""
    about = _ABOUT if looks else ""
    parts = [f'<div class="charts">{"".join(charts)}</div>', _newest(looks[-1], names) if looks else ""]
    return section("pseudo-labels", "Pseudo-labels", about, *parts)


def _newest(row: Mapping[str, Any], class_names: list[str]) -> str:
    kinds = ("precision", "recall", "share", "true_share")
    rows = [[name, *(row.get(f"{kind}_{name}") for kind in kinds)] for name in class_names]
    columns = ["class", "precision", "recall", "share of pixels", "true share"]
    label = f'<p class="label">At iteration {row["iteration"]}</p>'
    return label + table(columns, rows, bars=columns[1:])
