"""The page that shows labelled cases with their masks, to be looked at before anything is trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_supmix.files import atomic_write
from monai_supmix.report.markup import escape, photographs, section
from monai_supmix.report.page import class_key, page


def write_labels_page(
    path: Path, class_names: Sequence[str], pictures: Mapping[str, bytes], about: str, subtitle: str = ""
) -> None:
    """Write the page.

    Args:
        path: the file; its folder must exist.
        class_names: names of the classes, background first.
        pictures: JPEG files by the name of the case.
        about: what the pictures show.
        subtitle: how many cases of how many.

    Raises:
        InputError: when the system refuses to write.

    Example:
        >>> import tempfile
        >>> page = Path(tempfile.mkdtemp()) / "labels.html"
        >>> write_labels_page(page, ["background", "disc"], {"<eye>": b"JPEG"}, "outlines of the masks")
        >>> "&lt;eye&gt;" in page.read_text(encoding="utf-8")
        True
    """
    intro = f'<p class="dim">{escape(about)}</p>'
    key = class_key(class_names, range(len(class_names)))
    shown = section("labels", "Do the outlines lie where they should?", intro, key, photographs(pictures))
    with atomic_write(path, text=True) as file:
        file.write(page("Labelled cases", subtitle, [shown]))
