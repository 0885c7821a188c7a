"""Pieces of HTML: text that is safe to show, tables that can be sorted, settings as nested lists."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from monai_supmix.config.settings import is_wiring

Cell = str | int | float | None


def escape(value: object) -> str:
    """Text as HTML shows it, in attributes too.

    Example:
        >>> escape('<b> & "c"')
        '&lt;b&gt; &amp; &quot;c&quot;'
    """
    return html.escape(str(value))


def section(identity: str, title: str, *parts: str) -> str:
    """A section of a page.

    Args:
        identity: its anchor.
        title: plain text.
        parts: HTML; empty parts leave no trace.
    """
    return f'<section id="{identity}"><h2>{escape(title)}</h2>{"".join(parts)}</section>'


def notes_box(notes: Sequence[str]) -> str:
    """What a reader of figures must know, as HTML; empty without notes."""
    lines = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return f'<aside class="notes">{lines}</aside>' if lines else ""


def facts(pairs: Mapping[str, object]) -> str:
    """Names and plain values side by side; values that are ``None`` are left out."""
    rows = "".join(
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in pairs.items() if value is not None
    )
    return f'<dl class="facts">{rows}</dl>'


def photographs(pictures: Mapping[str, bytes]) -> str:
    """JPEG files side by side, each below its name.

    Args:
        pictures: files by name.

    Example:
        >>> photographs({"left eye": b"JPEG"})[:61]
        '<div class="charts"><figure class="chart"><p>left eye</p><img'
    """
    shown = "".join(
        f'<figure class="chart"><p>{escape(name)}</p>'
        f'<img alt="{escape(name)}" src="data:image/jpeg;base64,{base64.b64encode(content).decode()}"></figure>'
        for name, content in pictures.items()
    )
    return f'<div class="charts">{shown}</div>'


def details(title: str, content: str) -> str:
    """HTML that opens on a click."""
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    footer: Sequence[Cell] | None = None,
    bars: Sequence[str] = (),
) -> str:
    """A table that sorts by a column when its head is clicked.

    Args:
        columns: heads of the columns.
        rows: the numbers of a column are shown with as many decimals as suit all of them and sort by their full value;
            ``None`` is shown as a dash and always sorts last.
        footer: a last row that stays where it is.
        bars: columns whose values in [0, 1] are also drawn as bars.

    Example:
        >>> table(["case", "IoU"], [["a", 0.51239]])[-88:]
        '<td>a</td><td class="number" data-value="0.51239">0.5124</td></tr></tbody></table></div>'
    """
    heads = "".join(f'<th scope="col"><button type="button">{escape(name)}</button></th>' for name in columns)
    all_rows = [*rows, *([] if footer is None else [footer])]
    looks = [(name in bars, _decimals(row[index] for row in all_rows)) for index, name in enumerate(columns)]
    body = "".join(_row(row, looks) for row in rows)
    foot = f"<tfoot>{_row(footer, looks)}</tfoot>" if footer is not None else ""
    return (
        f'<div class="wide"><table class="sortable"><thead><tr>{heads}</tr></thead>'
        f"{foot}<tbody>{body}</tbody></table></div>"
    )


def _decimals(column: Iterable[Cell]) -> int:
    sizes = [abs(value) for value in column if isinstance(value, float) and math.isfinite(value) and value]
    if max(sizes, default=0) < 10:
        return 4
    return 2 if min(sizes) < 10 else 1


def _row(row: Sequence[Cell], looks: Sequence[tuple[bool, int]]) -> str:
    return f"<tr>{''.join(_cell(value, *look) for value, look in zip(row, looks, strict=True))}</tr>"


def _cell(value: Cell, bar: bool, decimals: int) -> str:
    if value is None:
        return '<td class="number none">&ndash;</td>'
    if isinstance(value, str):
        return f"<td>{escape(value)}</td>"
    share = f' style="--share:{100 * value:.1f}%"' if bar else ""
    kind = "number bar" if bar else "number"
    shown = str(value) if isinstance(value, int) else f"{value:.{decimals}f}"
    return f'<td class="{kind}" data-value="{value}"{share}>{shown}</td>'


def number(value: float) -> str:
    """A number on its own, with about four significant digits; whole numbers in full.

    Example:
        >>> number(0.51239), number(12), number(1234.56), number(0.5)
        ('0.5124', '12', '1234.6', '0.5000')
    """
    if isinstance(value, int):
        return str(value)
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"


def settings_list(value: Any) -> str:
    """Nested plain values as nested lists.

    A component of a configuration is shown by the name of its ``_target_``; references and expressions, which say how
    parts are put together, are left out. Of absolute paths only the last part is shown: folders may be named after
    people.

    Example:
        >>> settings_list({"seed": 0, "list": "/home/x/names.txt", "loss": "@supervised_loss"})
        '<dl><dt>seed</dt><dd>0</dd><dt>list</dt><dd>names.txt</dd></dl>'
    """
    if isinstance(value, Mapping):
        entries = {str(name): entry for name, entry in value.items() if not is_wiring(entry)}
        kind = entries.pop("_target_", None)
        head = escape(str(kind).rpartition(".")[2]) if kind else ""
        rows = "".join(f"<dt>{escape(name)}</dt><dd>{settings_list(entry)}</dd>" for name, entry in entries.items())
        return head + (f"<dl>{rows}</dl>" if rows else "")
    if isinstance(value, (list, tuple)):
        if any(isinstance(entry, (Mapping, list, tuple)) for entry in value):
            return f"<ol>{''.join(f'<li>{settings_list(entry)}</li>' for entry in value)}</ol>"
        return ", ".join(settings_list(entry) for entry in value) or "none"
    words = {None: "none", True: "yes", False: "no"}
    return words[value] if value is None or isinstance(value, bool) else escape(_without_folder(str(value)))


def _without_folder(text: str) -> str:
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute():
            return kind(text).name
    return text
