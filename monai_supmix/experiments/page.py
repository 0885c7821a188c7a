"""What a comparison leaves: `comparison.md` for people, `comparison.json` for programs, `cases.csv` with the counts."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.experiments.judged import Judged
from monai_supmix.experiments.results import Pair, Row
from monai_supmix.experiments.verdict import shortcomings, verdict
from monai_supmix.files import atomic_write, without_nan, write_json
from monai_supmix.listing import counted, read_json
from monai_supmix.metrics.paired import CONFIDENCE, mean_sd, show_difference, why_no_interval

RECORD, PAGE, CASES = "comparison.json", "comparison.md", "cases.csv"


@dataclass(frozen=True)
class Comparison:
    """A comparison as far as it has come.

    Args:
        bundle: name of the bundle.
        baseline: name of the method that the others are compared with.
        judged: the cases.
        rows: figures of each method and length.
        pairs: differences from the baseline.
        long_steps: iterations of the baseline that take as long as each other method.
        complete: whether no training is to come.
    """

    bundle: str
    baseline: str
    judged: Judged
    rows: Sequence[Row]
    pairs: Sequence[Pair]
    long_steps: Mapping[str, int]
    complete: bool = True

    @property
    def num_groups(self) -> int:
        """How many patients are judged."""
        return len(set(self.judged.groups))

    @property
    def notes(self) -> list[str]:
        """What a reader of the figures must know."""
        lone = self.judged.lone_classes(self.rows[0].counts[0]) if self.rows else []
        return [*self.judged.notes, *lone]

    @property
    def short_of(self) -> list[str]:
        """What there is too little of for any finding."""
        steps = min((row.steps for row in self.rows), default=0)
        group = "patient" if self.judged.patients_known else "image"
        return shortcomings(min((len(pair.seeds) for pair in self.pairs), default=0), self.num_groups, steps, group)

    @property
    def sentence(self) -> str:
        """What to use."""
        return verdict(self.pairs, self.baseline, self.short_of) if self.complete else "Not finished yet."


def write_comparison(folder: Path, found: Comparison) -> None:
    """Write the page, the record, and the counts of every case.

    Args:
        folder: where; must exist.
        found: the comparison.

    Raises:
        InputError: the system refuses to write.
    """
    with atomic_write(folder / CASES, text=True) as file:
        writer = csv.writer(file, lineterminator="\n")
        names = [f"{name}_{count}" for name in found.judged.class_names for count in ("tp", "fp", "fn")]
        about = found.judged.about
        writer.writerow(["method", "steps", "seed", "case", *next(iter(about.values())), *names])
        for row in found.rows:
            for seed, counts in zip(row.seeds, row.counts, strict=True):
                for (case, more), own in zip(about.items(), counts, strict=True):
                    writer.writerow([row.method, row.steps, seed, case, *more.values(), *own.ravel().tolist()])
    with atomic_write(folder / PAGE, text=True) as file:
        file.write(markdown(found))
    write_json(without_nan(record(found)), folder / RECORD, indent=1)


def require_own_folder(folder: Path) -> None:
    """Raise `InputError` where a folder holds the cases of something else, which a comparison would replace."""
    if (folder / CASES).exists() and not (folder / RECORD).exists():
        raise InputError(folder / CASES, "is the table of an evaluation or a prediction", "give another --output_dir")


def read_long_steps(folder: Path) -> dict[str, int]:
    """``long_steps`` of an earlier comparison in a folder, empty if there is none."""
    path = folder / RECORD
    return read_json(path).get("long_steps", {}) if path.exists() else {}


def markdown(found: Comparison) -> str:
    """The page for people.

    Args:
        found: the comparison.
    """
    return "\n".join(_lines(found)) + "\n"


def record(found: Comparison) -> dict[str, Any]:
    """The same for programs, as plain values: IoU and differences are fractions.

    Args:
        found: the comparison.
    """
    judged = found.judged
    rows = [
        {"method": row.method, "steps": row.steps, "seconds": round(row.seconds, 1), "seeds": list(row.seeds)}
        | {"iou": {name: row.iou[:, c].tolist() for c, name in enumerate(judged.class_names)}}
        for row in found.rows
    ]
    pairs = [
        {"method": pair.method.method, "minus": pair.baseline.method, "minus_steps": pair.baseline.steps, "at": pair.at}
        | {"seeds": list(pair.seeds), "iou": {name: asdict(one) for name, one in pair.differences.items()}}
        for pair in found.pairs
    ]
    return {
        "bundle": found.bundle,
        "num_folds": judged.num_folds,
        "num_images": len(judged.groups),
        "num_groups": found.num_groups,
        "rows": rows,
        "differences": pairs,
        "long_steps": dict(found.long_steps),
        "too_little_of": found.short_of,
        "verdict": found.sentence,
        "notes": found.notes,
    }


def _lines(found: Comparison) -> Iterator[str]:
    judged = found.judged
    images, group = counted(len(judged.groups), "labelled image"), "patient" if judged.patients_known else "image"
    if judged.patients_known:
        images += f" of {counted(found.num_groups, 'patient')}"
    yield from (f"# Methods on {found.bundle}", "", f"**{found.sentence}**", "")
    if judged.num_folds is None:
        yield f"* Judged on the test: {images}."
    else:
        yield f"* Judged out of fold ({judged.num_folds} folds), by networks that have not seen the {group}: {images}."
    yield from (f"* {note}." for note in found.notes)
    yield from ("", "## IoU in %", "", "Mean ± standard deviation over seeds; counts summed over all images.", "")
    yield from table_head(["method", "steps", "seconds", "seeds", *judged.class_names])
    for row in found.rows:
        values = [mean_sd(100 * column[~np.isnan(column)]) for column in row.iou.T]
        yield table_row([row.method, str(row.steps), f"{row.seconds:.0f}", ", ".join(map(str, row.seeds)), *values])
    if not found.pairs:
        return
    yield from ("", "## Paired differences", "")
    yield (
        f"Method minus {found.baseline} in percentage points of IoU, with the {CONFIDENCE:.0%} percentile interval of "
        f"a bootstrap over seeds and {group}s. "
        + (
            f"None is in bold, because there is too little: {', '.join(found.short_of)}."
            if found.short_of
            else "Bold: the interval does not hold 0. The intervals are rough, and none is corrected for the number of "
            "methods."
        )
        + why_no_interval(difference for pair in found.pairs for difference in pair.differences.values())
    )
    names = list(found.pairs[0].differences)
    yield from ("", *table_head(["method", "minus", "at", "seeds", *names]))
    for pair in found.pairs:
        cells = [show_difference(pair.differences[name], bold=not found.short_of) for name in names]
        seeds = ", ".join(map(str, pair.seeds))
        yield table_row(
            [pair.method.method, f"{pair.baseline.method}, {pair.baseline.steps} steps", pair.at, seeds, *cells]
        )


def table_head(names: Sequence[str]) -> list[str]:
    """The first two lines of a table in Markdown."""
    return [table_row(names), "|" + "---|" * len(names)]


def table_row(cells: Iterable[str]) -> str:
    """A line of a table in Markdown.

    Example:
        >>> table_row(["supmix", "0.66"])
        '| supmix | 0.66 |'
    """
    return f"| {' | '.join(cells)} |"
