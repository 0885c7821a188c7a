#!/usr/bin/env python3
"""Suggested patients against random ones, on ACDC, whose labels the choice does not see until it is made.

    python scripts/suggestion_table.py --data DATA --out O
    python scripts/suggestion_table.py --cells scripts/simulated/acdc_suggest.json

Each repetition draws 3 labelled patients and trains `supervised` on them. `monai-supmix suggest` chooses 4 more by
these weights, and the next 4 of the draw are the random ones; both sets of 7 are trained on alike, and all networks are
judged on the test patients (Dice by volume). A cell is one training with its evaluation. Started again after a stop or
a kill, the command goes on; after each repetition it writes `O/cells.json` and prints the table. `--cells` prints the
table of such a file.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from simulated_cells import make_parser, run_table

from monai_supmix.datalists import Datalist
from monai_supmix.datalists.draw import order_groups
from monai_supmix.experiments import Plan
from monai_supmix.experiments.page import table_head, table_row
from monai_supmix.experiments.trial import Trial, contents, data_of, read_datalist
from monai_supmix.files import atomic_write, make_directory
from monai_supmix.labelling import suggest
from monai_supmix.listing import read_names
from monai_supmix.metrics import dice, read_cases_csv
from monai_supmix.metrics.paired import mean_sd, paired_case_bootstrap, show_difference

BUNDLE, METHOD = "acdc_supmix", "supervised"
FIRST, MORE = 3, 4
ARMS = {"first": f"{FIRST} patients", "random": f"+ {MORE} at random", "suggested": f"+ {MORE} as suggested"}
ENOUGH = 5  # repetitions: of fewer no interval is in bold
QUIET = {"tensorboard": "false", "num_monitored": "0", "num_workers": "0"}


class Simulation:
    """The trainings of all repetitions.

    Args:
        data: folder of ACDC.
        out: folder for everything.
        iterations: of each training.
    """

    def __init__(self, data: Path, out: Path, iterations: int) -> None:
        self.data, self.out, self.iterations = data, make_directory(out), iterations
        self.plan = Plan(BUNDLE, {"dataset_dir": str(data), "max_iterations": str(iterations), **QUIET})
        everybody = self.plan.training(METHOD, {"num_labeled": "null", "output_dir": str(out)})
        self.whole, _ = read_datalist(everybody)
        self.files = contents(self.whole)

    def repetition(self, seed: int) -> dict[str, Any]:
        """Run one repetition, as far as it has not been run.

        Args:
            seed: of the draw and of the trainings.
        """
        drawn = order_groups({item["group"] for item in self.whole.labeled}, seed)[: FIRST + MORE]
        first = self.cell(seed, "first", drawn[:FIRST])
        chosen = {"first": drawn[:FIRST], "random": drawn, "suggested": self.suggested(seed, first, drawn[:FIRST])}
        trials = {arm: self.cell(seed, arm, patients) for arm, patients in chosen.items()}
        arms = {arm: {"patients": chosen[arm], "dice": self.dice(trial)} for arm, trial in trials.items()}
        return {"seed": seed, **arms}

    def cell(self, seed: int, arm: str, patients: Sequence[str]) -> Trial:
        """Train on some patients and judge the test."""
        folder = self.out / f"repetition_{seed}" / arm
        labeled = [item for patient in patients for item in self.whole.labeled if item["group"] == patient]
        cases = Datalist(labeled, [], [], self.whole.test, self.whole.class_names, self.whole.notes)
        trial = self.plan.trial(
            folder, folder / "datalist.json", data_of(cases, self.files), METHOD, {"seed": str(seed)}
        )
        if not trial.finished():
            print(f"repetition {seed}, {ARMS[arm]}: {', '.join(patients)}", flush=True)
            cases.to_json(folder / "datalist.json")
            trial.run()
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
        return trial

    def suggested(self, seed: int, first: Trial, patients: Sequence[str]) -> list[str]:
        """The patients that the first network suggests, after those that it was trained on."""
        folder = first.folder.with_name(f"suggestions_{first.hash}")
        if not (folder / "labeled_list.txt").exists():
            with atomic_write(make_directory(folder) / "first.txt", text=True) as file:
                file.write("\n".join(patients))
            options = {"dataset_dir": str(self.data), "labeled_list": str(folder / "first.txt")}
            suggest(BUNDLE, {**options, "ckpt_path": str(first.folder / "model.pt")}, MORE, folder)
        group = {item["case"]: item["group"] for item in self.whole.labeled}
        return list(dict.fromkeys(group[case] for case in read_names(folder / "labeled_list.txt")))

    def dice(self, trial: Trial) -> dict[str, list[float]]:
        """Dice of each test volume and foreground class."""
        cases = read_cases_csv(trial.folder / "cases.csv", self.whole.class_names)
        return {case: dice(measures.counts)[1:].round(4).tolist() for case, measures in cases.items()}


def run(data: Path, out: Path, repetitions: int, iterations: int) -> Iterator[dict[str, Any]]:
    """Run one repetition after the other."""
    simulation = Simulation(data, out, iterations)
    for seed in range(repetitions):
        yield simulation.repetition(seed)


def table(repetitions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The table in Markdown.

    Args:
        repetitions: of `Simulation.repetition`.
    """
    volumes = sorted(repetitions[0]["first"]["dice"])
    values = {arm: np.array([[np.mean(r[arm]["dice"][v]) for v in volumes] for r in repetitions]) for arm in ARMS}
    means = {arm: 100 * dices.mean(axis=1) for arm, dices in values.items()}
    yield from table_head(["repetition", *ARMS.values(), "suggested minus random"])
    for number, repetition in enumerate(repetitions):
        cells = [means[arm][number] for arm in ARMS]
        apart = means["suggested"][number] - means["random"][number]
        yield table_row([str(repetition["seed"]), *(f"{cell:.1f}" for cell in cells), f"{apart:+.1f}"])
    groups = [volume.partition("_")[0] for volume in volumes]
    difference = paired_case_bootstrap(values["suggested"], values["random"], groups)
    with_interval = show_difference(difference, bold=len(repetitions) >= ENOUGH)
    yield table_row(["mean ± deviation", *(mean_sd(figures) for figures in means.values()), with_interval])


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = make_parser(__doc__, "repetitions", count=ENOUGH, iterations=600, data="ACDC")
    arguments = parser.parse_args(argv)
    cells = run(arguments.data, arguments.out, arguments.repetitions, arguments.iterations)
    about = {"bundle": BUNDLE, "method": METHOD, "iterations": arguments.iterations}
    run_table(parser, arguments, about, "repetitions", cells, table)


if __name__ == "__main__":
    main()
