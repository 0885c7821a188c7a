"""What a suggestion leaves: the list for a training, the table of all cases, the page with pictures."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_supmix.bundle.closing import closing_lines
from monai_supmix.cli.workflow import Configured
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.files import atomic_write
from monai_supmix.labelling.choice import Unit
from monai_supmix.labelling.scoring import Scorer, thumbnail_of
from monai_supmix.listing import counted, shorten
from monai_supmix.report import command_line
from monai_supmix.report.suggestions import Card, write_suggestions_page
from monai_supmix.report.training import versions_line
from monai_supmix.weights.record import current_versions

LIST, TABLE, PAGE, KEPT = "labeled_list.txt", "suggestions.csv", "suggestions.html", "cases"
TEST = "test_list.txt"
_WHEN = "when they are labelled"
_ABOUT_CASE = ("rank", "suggested", "patient", "case", "doubt")
_NAMED = 4  # images of a patient that are named
_HEADS = {"least_sure": "least sure class", "predicted_dice": "predicted Dice"}  # on the page
_MEASURED = ("confidence", "least_sure", "predicted_dice", "disagreement")


@dataclass(frozen=True)
class Suggestions:
    """What was found, to be written and told.

    Args:
        bundle: as the user named it.
        datalist: the cases.
        units: ranked, the suggestions first.
        notes: what a reader must know.
        scorer: made the scores.
        preset: the user's, for the training that follows.
    """

    bundle: str
    datalist: Datalist
    units: Sequence[Unit]
    notes: Sequence[str]
    scorer: Scorer
    preset: str | None = None

    @property
    def suggested(self) -> list[Unit]:
        """What is to be labelled next."""
        return [unit for unit in self.units if unit.suggested]

    def rows(self) -> list[list[Any]]:
        """A row for each case."""
        return [
            [rank, "yes" if unit.suggested else "no", score.group, score.case, round(unit.doubt, 4)]
            + [getattr(score, name) for name in _MEASURED]
            for rank, unit in enumerate(self.units, 1)
            for score in unit.cases
        ]

    def write(self, output: Path, training: Configured) -> list[str]:
        """Write list, table and page, and the list that keeps the test of your own bundle; say so in a few lines."""
        named = [item["case"] for item in self.datalist.labeled]
        named += [score.case for unit in self.suggested for score in unit.cases]
        with atomic_write(output / LIST, text=True) as file:
            file.write("".join(f"{name}\n" for name in named))
        columns, rows = (*_ABOUT_CASE, *_MEASURED), self.rows()
        with atomic_write(output / TABLE, text=True) as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([columns, *rows])
        trained, cards = self.scorer.trained, [self._card(unit, output) for unit in self.suggested]
        about = {
            "bundle": Path(self.bundle).name,
            "weights": self.scorer.weights,
            "SHA-256": trained.sha256 if isinstance(trained.sha256, str) else ", ".join(trained.sha256),
            "disagreement": self._compared(),
            "chosen from": f"the most doubtful third of {len(self.units)}",
            "versions": versions_line(current_versions()),
        }
        names, heads = self.datalist.class_names, [_HEADS.get(column, column) for column in columns]
        subtitle = f"{self._counted()} to label next, of {counted(len(rows), 'unlabelled image')}"
        write_suggestions_page(output / PAGE, names, cards, heads, rows, about, self.notes, command_line(), subtitle)
        files = [LIST, TABLE, PAGE]
        if self.datalist.test and _lists_cases(training):
            files.append(TEST)
            with atomic_write(output / TEST, text=True) as file:
                file.write("".join(f"{item['case']}\n" for item in self.datalist.test))
        return [
            *(f"note: {note}" for note in self.notes),
            f"to be labelled next, of {len(self.units)}:",
            *(f"  {number}: {card.title}: {card.text}" for number, card in enumerate(cards, 1)),
            *closing_lines(output, [output / name for name in files]),
            f"  {KEPT}/ (score and picture of each case, so that they are not made again)",
        ]

    def next_steps(self, output: Path, training: Configured) -> list[str]:
        """What to do with the list."""
        merged = training.merged()
        data = str(training.overrides.get("dataset_dir", merged.get("dataset_dir")))
        if data.endswith(".json"):
            return [f"when they are labelled: move them to the labelled side of {data}, with their label files"]
        data, listed = shlex.quote(data), f"--labeled_list {shlex.quote(str(output / LIST))}"
        bundle = shlex.quote(self.bundle)
        train = "train" if self.preset is None else f"train --preset {shlex.quote(self.preset)}"
        if not _lists_cases(training):
            return [f"{_WHEN}:", f"  monai-supmix run {bundle} {train} --dataset_dir {data} {listed} --output_dir O"]
        test = shlex.quote(str(output / TEST)) if self.datalist.test else "none"
        return [
            f"{_WHEN}, with the other options that the bundle was made with:",
            f"  monai-supmix new {data} --output_dir NEW_BUNDLE --test_list {test}",
            f"  monai-supmix run NEW_BUNDLE {train} {listed} --output_dir O",
        ]

    def _card(self, unit: Unit, output: Path) -> Card:
        pictures = {s.case: thumbnail_of(s.case, output / KEPT).read_bytes() for s in unit.cases}
        confidences = [
            (score.confidence, score.least_sure, score.predicted_dice)
            for score in unit.cases
            if score.confidence is not None
        ]
        cases = [score.case for score in unit.cases]
        facts = [] if cases == [unit.name] else [shorten(cases, _NAMED)]
        if confidences:
            confidence, name, expected = min(confidences, key=lambda one: one[0])
            facts.append(f"confidence {confidence:.2f} ({name})")
            facts += [] if expected is None else [f"predicted Dice {expected:.2f}"]
        else:
            facts.append("nothing is found")
        apart = [score.disagreement for score in unit.cases if score.disagreement is not None]
        facts += [f"disagreement {max(apart):.2f}"] if apart else []
        return Card(unit.name, ", ".join(facts), pictures)

    def _counted(self) -> str:
        """The suggestions in words: patients and their images, or single images."""
        units, images = self.suggested, sum(len(unit.cases) for unit in self.suggested)
        if all([score.case for score in unit.cases] == [unit.name] for unit in units):
            return counted(images, "image")
        return f"{counted(len(units), 'patient')} ({counted(images, 'image')})"

    def _compared(self) -> str:
        network = self.scorer.trained.network
        if self.scorer.trained.others:
            return f"between {len(getattr(network, 'networks', ()))} networks"
        return (
            "not known: one network, one view" if self.scorer.second is None else "between masks with tta and without"
        )


def _lists_cases(training: Configured) -> bool:
    """Whether this is a bundle that `new` made, which will write its datalist again."""
    merged = training.merged()
    data = str(training.overrides.get("dataset_dir", merged.get("dataset_dir")))
    return "datalist_file" in merged and not data.endswith(".json")
