"""The page that shows which cases are to be labelled next, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from monai_supmix.files import atomic_write
from monai_supmix.report.markup import Cell, escape, facts, notes_box, photographs, section, table
from monai_supmix.report.page import class_key, page
from monai_supmix.report.training import command_box

_MAX_ROWS = 500


@dataclass(frozen=True)
class Card:
    """One suggestion.

    Args:
        title: the patient, or the image.
        text: what is known of it.
        pictures: JPEG files by the name of the image.
    """

    title: str
    text: str
    pictures: Mapping[str, bytes]


def write_suggestions_page(
    path: Path,
    class_names: Sequence[str],
    cards: Sequence[Card],
    columns: Sequence[str],
    rows: Sequence[Sequence[Cell]],
    about: Mapping[str, object],
    notes: Sequence[str],
    command: str,
    subtitle: str = "",
) -> None:
    """Write the page.

    Args:
        path: the file; its folder must exist.
        class_names: names of the classes, background first.
        cards: the suggestions in their order.
        columns: heads of the table of all cases.
        rows: the table, the suggestions first.
        about: how they were found, by name.
        notes: what a reader must know.
        command: repeats it.
        subtitle: how many of how many are suggested.

    Raises:
        InputError: when the system refuses to write.

    Example:
        >>> import tempfile
        >>> page = Path(tempfile.mkdtemp()) / "suggestions.html"
        >>> card = Card("patient <1>", "confidence 0.60 (lesion)", {"patient1_ed": b"JPEG"})
        >>> names, rows = ["background", "lesion"], [["patient1_ed"]]
        >>> write_suggestions_page(page, names, [card], ["case"], rows, {}, [], command="suggest")
        >>> "1: patient &lt;1&gt;" in page.read_text(encoding="utf-8")
        True
    """
    how = (
        '<p class="dim">Outlines are the present network\'s mask, not the truth; of a volume the plane is shown where '
        "predictions differ most.</p>"
    )
    shown = "".join(_card(number, card) for number, card in enumerate(cards, 1))
    caption = (
        f"The first {_MAX_ROWS} of {len(rows)} cases; all of them are in suggestions.csv."
        if len(rows) > _MAX_ROWS
        else ""
    )
    sections = [
        section(
            "suggestions",
            "What to label next",
            notes_box(notes),
            how,
            class_key(class_names, range(len(class_names))),
            shown,
        ),
        section("cases", "All unlabelled cases", f'<p class="dim">{caption}</p>', table(columns, rows[:_MAX_ROWS])),
        section("how", "How they were found", facts(about), command_box(command)),
    ]
    with atomic_write(path, text=True) as file:
        file.write(page("Suggestions", subtitle, sections))


def _card(number: int, card: Card) -> str:
    title = f"<h3>{number}: {escape(card.title)} <small>{escape(card.text)}</small></h3>"
    return f'<article class="case">{title}{photographs(card.pictures)}</article>'
