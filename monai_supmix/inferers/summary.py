"""What became of the cases of a prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class PredictionSummary:
    """What became of the cases.

    Args:
        written: masks written now.
        dicom: DICOM segmentations and structure sets written now.
        skipped: masks that were there already, made with the same weights and settings.
        failed: name of the case and its error, only with ``on_error="skip"``.
        warnings: by name of the case, what a reader of its mask should know.
        notes: what was left out when searching.

    Example:
        >>> summary = PredictionSummary(written=[Path("out/a_seg.png")], failed=[("b", "b.png: is empty")])
        >>> len(summary.written), len(summary.skipped), [case for case, _ in summary.failed]
        (1, 0, ['b'])
    """

    written: list[Path] = field(default_factory=list)
    dicom: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def merged(summaries: Sequence[PredictionSummary]) -> PredictionSummary:
    """The summaries of several processes as one; what all of them note is noted once.

    Example:
        >>> parts = [PredictionSummary(written=[Path("b")], notes=["n"]), PredictionSummary([Path("a")], notes=["n"])]
        >>> [path.name for path in merged(parts).written], merged(parts).notes
        (['a', 'b'], ['n'])
    """
    if len(summaries) == 1:
        return summaries[0]
    lists = ("written", "dicom", "skipped", "failed")
    whole = {name: sorted(entry for part in summaries for entry in getattr(part, name)) for name in lists}
    warnings = dict(sorted(item for part in summaries for item in part.warnings.items()))
    return PredictionSummary(
        **whole, warnings=warnings, notes=list(dict.fromkeys(n for part in summaries for n in part.notes))
    )
