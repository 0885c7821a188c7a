"""The frame of a report: one HTML file with its style and script inside, that fetches nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import resources

import numpy as np

from monai_supmix.handlers.overlays import ERROR_COLOURS, class_colours
from monai_supmix.report.markup import escape

RESEARCH_USE = "For research use only. Not a medical device; not for diagnosis or decisions on treatment."

_FOLDER = resources.files("monai_supmix.report")

# Whatever a name in the data may hold, the page can fetch nothing.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
_HEADING = re.compile(r'<section id="([^"]+)"><h2>(.*?)</h2>')


def page(title: str, subtitle: str, sections: Sequence[str]) -> str:
    """Put sections into a page.

    Args:
        title: plain text.
        subtitle: plain text.
        sections: HTML from :func:`monai_supmix.report.markup.section`; empty ones are left out.

    Returns:
        a whole HTML document.

    Example:
        >>> from monai_supmix.report.markup import section
        >>> '<a href="#run">What was run</a>' in page("Report", "", [section("run", "What was run")])
        True
    """
    style, script = (_FOLDER.joinpath(f"report.{kind}").read_text("utf-8") for kind in ("css", "js"))
    kept = [part for part in sections if part]
    links = "".join(f'<a href="#{i}">{name}</a>' for part in kept for i, name in _HEADING.findall(part))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{escape(title)}</title><style>{style}</style></head>\n<body>'
        f"<header><h1>{escape(title)}</h1><p>{escape(subtitle)}</p></header><nav>{links}</nav>\n"
        + "\n".join(kept)
        + f"\n<footer>{escape(RESEARCH_USE)}</footer>\n<script>{script}</script></body></html>\n"
    )


def class_hex(value: int) -> str:
    """The colour of a class in overlays as a page writes it.

    Example:
        >>> class_hex(1)
        '#56b4e9'
    """
    return "#" + bytes(class_colours(np.array(value)).tolist()).hex()


def class_key(class_names: Sequence[str], shown: Iterable[int]) -> str:
    """Names of classes beside their colours in overlays, as HTML; background has none.

    Args:
        class_names: names of all classes, background first.
        shown: which of them are in view.
    """
    return _key({class_names[value]: class_hex(value) for value in sorted(shown) if value > 0})


def error_key(class_names: Sequence[str]) -> str:
    """What the colours of errors mean, as HTML."""
    in_words = {"missed": "missed (false negative)", "spurious": "spurious (false positive)"}
    shown = {n: c for n, c in ERROR_COLOURS.items() if n != "wrong class" or len(class_names) > 2}
    return _key({in_words.get(name, name): "#" + bytes(colour).hex() for name, colour in shown.items()})


def _key(colours: dict[str, str]) -> str:
    entries = (f'<li><i style="background:{colour}"></i>{escape(name)}</li>' for name, colour in colours.items())
    return f'<ul class="keys">{"".join(entries)}</ul>'
