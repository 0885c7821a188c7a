#!/usr/bin/env python3
"""Train and evaluate every cell of the paper's tables on real data, and write the tables.

    scripts/reproduce.py --bundle chase_supmix --data CHASE_DB1 --methods supervised unimatch supmix_sufd \
        --num-labeled 2 5 --seeds 0 1 2 --jobs 2 --out OUT

A cell is a training with its evaluation: (method, number of labelled images, seed). Start the same command again
after any interruption: finished cells stand, the others go on from their newest checkpoint, and the figures
are those of a run that never stopped. A cell whose configuration has changed since is run again. METHOD@N
trains for N iterations, a row of its own: supervised@3000 is a supervised run of about the compute of a
semi-supervised one of chase_supmix's 1980 steps. Any key of train.json can follow as --key value;
{seed} in a value stands for the cell's seed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from reproduction.commit import current_commit
from reproduction.configuration import Configuration, current_configuration
from reproduction.evidence import Evidence, Finished
from reproduction.experiment import METHODS, Cell, Experiment, Method, make_cells
from reproduction.figure import draw, figure_cells, load_cases, save
from reproduction.schedule import Schedule, Stopped
from reproduction.settings import show, show_settings, training_settings
from reproduction.store import Store, check_same_cases
from reproduction.table import make_table

from monai_supmix.bundle.lock import exclusive
from monai_supmix.cli.arguments import Parser
from monai_supmix.config.error_lines import told_mistake
from monai_supmix.config.overrides import split_flags
from monai_supmix.errors import InputError
from monai_supmix.files import atomic_write, make_directory

_INCOMPLETE = 1
_OUTPUTS = ("results.csv", "table.md", "figure.png", "figure.pdf")


def _build() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = Parser("scripts/reproduce.py", description=__doc__, formatter_class=shape, allow_abbrev=False)
    parser.add_argument("--bundle", help="name or folder of the bundle")
    parser.add_argument("--data", help="the data set, as the bundle's dataset_dir")
    parser.add_argument(
        "--methods",
        nargs="+",
        default=list(METHODS),
        metavar="METHOD[@N]",
        help="names of files in the bundle's configs/methods, no paths; default: all seven",
    )
    parser.add_argument(
        "--num-labeled", "--num_labeled", nargs="+", type=_count, metavar="N", help="numbers of labelled images"
    )
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)), metavar="S", help="default: 0 1 2 3 4")
    parser.add_argument("--preset", help="one of the bundle's presets, for example paper")
    parser.add_argument(
        "--max-iterations", "--max_iterations", type=_count, metavar="N", help="length of every training"
    )
    parser.add_argument(
        "--vary-draw", action="store_true", help="draw other labelled images with each seed; default: the same"
    )
    parser.add_argument(
        "--tta", action=argparse.BooleanOptionalAction, default=True, help="test-time flips; default: on"
    )
    parser.add_argument(
        "--networks",
        type=_count,
        default=1,
        metavar="N",
        help="networks in each cell, evaluated by their mean; default: 1",
    )
    parser.add_argument("--jobs", type=_count, default=1, help="cells side by side, one thread each; default: 1")
    parser.add_argument("--keep", action="store_true", help="keep weights, checkpoints and reports of finished cells")
    parser.add_argument("--out", type=Path, required=True, help="folder for cells, tables and figure")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and run nothing")
    parser.add_argument(
        "--check", action="store_true", help="say which cells of --out have another configuration or commit than now"
    )
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive whole number")
    return int(text)


def _parse(argv: Sequence[str]) -> tuple[argparse.Namespace, dict[str, str | None]]:
    """The command's own options, and overrides of the configuration."""
    parser = _build()
    options = [name for action in parser._actions for name in action.option_strings]
    # What follows an option of ours up to the next one is its own, however many words they are.
    own: list[str] = []
    others: list[str] = []
    mine = False
    for argument in argv:
        if argument.startswith("-") and not argument.lstrip("-").isdigit():
            mine = argument.partition("=")[0] in options
        (own if mine else others).append(argument)
    overrides, rest = split_flags(others)
    if rest:
        raise InputError("command line", f"{rest[0]!r} belongs to no option", "see scripts/reproduce.py --help")
    return parser.parse_args(own), overrides


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        exit status: 0 done; 1 a cell failed; 2 a mistake; 75 stopped, start it again.
    """
    try:
        arguments, overrides = _parse(sys.argv[1:] if argv is None else argv)
        if arguments.check:
            print(*_check(arguments.out), sep="\n")
            return 0
        return _run(arguments, overrides)
    except Stopped:
        print("stopped: start the same command again to go on")
        return os.EX_TEMPFAIL
    except Exception as error:
        return told_mistake(error)


def _run(arguments: argparse.Namespace, overrides: dict[str, str | None]) -> int:
    for name in ("bundle", "num_labeled"):
        if getattr(arguments, name) is None:
            raise InputError(f"--{name.replace('_', '-')}", "is missing", "see scripts/reproduce.py --help")
    reserved = {"seed", "dataset_dir", "output_dir", "resume", "tta"} & set(overrides)
    if reserved:
        raise InputError(f"--{min(reserved)}", "is set for each cell", "use the options of scripts/reproduce.py --help")
    experiment = Experiment(
        bundle=arguments.bundle,
        preset=arguments.preset,
        max_iterations=arguments.max_iterations,
        vary_draw=arguments.vary_draw,
        tta=arguments.tta,
        overrides=overrides,
        networks=arguments.networks,
    )
    methods = [Method.parse(text) for text in arguments.methods]
    cells = make_cells(methods, arguments.num_labeled, arguments.seeds)
    wanted = [(cell, current_configuration(experiment, cell)) for cell in cells]
    store = Store(arguments.out)
    if arguments.dry_run:
        _describe(experiment, wanted, _missing(store, wanted), store)
        return 0
    if arguments.data is None:
        raise InputError("--data", "is missing", "give the folder of the data set")
    if not Path(arguments.data).exists():
        raise InputError("--data", f"{arguments.data} does not exist", "give the folder of the data set")
    data = str(Path(arguments.data).resolve())
    tested = _test_cases(experiment, data)
    make_directory(store.runs)
    with exclusive(store.runs):
        store.prepare(experiment)
        check_same_cases(tested, data, store.evidence.finished())
        for cell, configuration in wanted:
            store.take(experiment, cell, configuration, arguments.keep)
        missing = _missing(store, wanted)
        writer = _Writer(experiment, data, store)
        writer.write()
        schedule = Schedule(experiment, data, store, arguments.jobs, arguments.keep, writer.write)
        for finished in store.evidence.finished():
            schedule.pace.add(str(finished.cell.method), finished.record["seconds"])
        failures = schedule.run(missing)
    print(f"written to {store.out}: {', '.join(name for name in _OUTPUTS if (store.out / name).exists())}")
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    return _INCOMPLETE if failures else 0


def _describe(
    experiment: Experiment,
    wanted: Sequence[tuple[Cell, Configuration]],
    missing: Sequence[tuple[Cell, Configuration]],
    store: Store,
) -> None:
    """Say how everything is set, and what is finished, begun and missing."""
    firsts = {str(cell.method): cell for cell, _ in reversed(wanted)}
    methods = sorted(firsts, key=lambda name: firsts[name].method.place)
    print(*show_settings({name: training_settings(experiment, firsts[name]) for name in methods}), sep="\n")
    print(f"{'labelled images':28} {show(sorted({cell.num_labeled for cell, _ in wanted}))}")
    print(f"{'seeds':28} {show(sorted({cell.seed for cell, _ in wanted}))}")
    print(f"{'draw of labelled images':28} {'with each seed' if experiment.vary_draw else 'the same for all seeds'}")
    print(f"{'test-time flips':28} {experiment.tta}", end="\n\n")
    for cell, configuration in wanted:
        begun = (store.run_folder(cell, configuration) / "output").exists()
        state = "finished" if (cell, configuration) not in missing else "begun" if begun else "missing"
        print(f"{state:9} {configuration.hash}  {cell.name}")
    print(f"{len(wanted) - len(missing)} of {len(wanted)} cells are finished")


def _missing(store: Store, wanted: Sequence[tuple[Cell, Configuration]]) -> list[tuple[Cell, Configuration]]:
    """The cells to run, with a word on those that were finished with another configuration."""
    missing = []
    finished = {one.cell: one.configuration for one in store.evidence.finished()}
    for cell, configuration in wanted:
        was = finished.get(cell)
        if was is not None and was.hash == configuration.hash:
            continue
        if was is not None:
            print(f"again: {cell.name}: {'; '.join(was.differences(configuration))}")
        missing.append((cell, configuration))
    return missing


def _changes(experiment: Experiment, finished: Sequence[Finished]) -> dict[Cell, list[str]]:
    """How the configuration of each cell has changed since it was finished."""
    return {one.cell: one.configuration.differences(current_configuration(experiment, one.cell)) for one in finished}


def _test_cases(experiment: Experiment, data: str) -> list[str]:
    """The names of the test images."""
    items = experiment.evaluation(data, "output").parser().get_parsed_content("datalist").test
    return sorted(item["case"] for item in items)


class _Writer:
    """Writes everything that follows from the finished cells.

    Args:
        experiment: what the cells share.
        data: the data set's folder or datalist.
        store: the output folder.
    """

    def __init__(self, experiment: Experiment, data: str, store: Store) -> None:
        self.experiment, self.data, self.store = experiment, data, store
        self._shown: list[str] = []

    def write(self) -> None:
        """Write results, table, and the figure if there is a new cell to show.

        Cells of another configuration than now are left out: they would be compared with others than their own.
        """
        finished = self.store.evidence.finished()
        changes = _changes(self.experiment, finished)
        finished = [one for one in finished if not changes[one.cell]]
        self.store.write_results(self.experiment, finished)
        with atomic_write(self.store.out / "table.md", text=True) as file:
            file.write(make_table(self.experiment, finished))
        shown = figure_cells(finished, self.store)
        names = [f"{one.cell.name} {one.configuration.hash}" for one in shown]
        if shown and names != self._shown:
            self._draw(shown)
            self._shown = names

    def _draw(self, shown: list[Finished]) -> None:
        evaluation = self.experiment.evaluation(self.data, "output").parser()
        training = self.experiment.training(shown[0].cell, self.data, "output").parser()
        items = evaluation.get_parsed_content("datalist").test
        cases = load_cases(shown, self.store, items, training.get_parsed_content("intensity_rules"))
        if cases:
            cell = shown[0].cell
            caption = f"{cell.num_labeled} labelled images, seed {cell.seed}"
            save(draw(cases, shown[0].class_names, caption), self.store.out)


def _check(out: Path) -> list[str]:
    """Lines that say which cells were made with another configuration or commit than now."""
    evidence = Evidence(out)
    experiment, finished, now = evidence.experiment(), evidence.finished(), current_commit()
    changes = _changes(experiment, finished)
    lines = [f"another configuration: {cell.name}: {'; '.join(diff)}" for cell, diff in changes.items() if diff]
    commits: dict[str, list[str]] = {}
    for one in finished:
        commits.setdefault(one.record["commit"], []).append(one.cell.name)
    lines += [
        f"another commit: {commit}, now {now}: {', '.join(names)}" for commit, names in commits.items() if commit != now
    ]
    same = sum(not diff for diff in changes.values())
    return [*lines, f"{same} of {len(finished)} cells of {out} have the configuration as it stands"]


if __name__ == "__main__":
    sys.exit(main())
