"""What is run: the cells of a table, and what all cells of an output folder share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_supmix.cli.workflow import Configured, configure
from monai_supmix.config.find import find_bundle
from monai_supmix.errors import InputError
from monai_supmix.experiments.evaluation import evaluation_of

METHODS = ("supervised", "fixmatch", "unimatch", "classmix", "supmix", "sufd", "supmix_sufd")
"""The methods of the paper, in the order of its tables."""
_APART = 1000  # between the seeds of a cell's networks


@dataclass(frozen=True)
class Method:
    """A method of a bundle, at the length that all share or at its own.

    Args:
        name: a file of the bundle's ``configs/methods``.
        steps: number of iterations; None is the experiment's.

    Example:
        >>> Method.parse("supervised@1500")
        Method(name='supervised', steps=1500)
        >>> str(Method("supmix")), str(Method("supmix", 1500))
        ('supmix', 'supmix@1500')
    """

    name: str
    steps: int | None = None

    @classmethod
    def parse(cls, text: str) -> Method:
        """Read ``NAME`` or ``NAME@ITERATIONS``.

        Raises:
            InputError: what follows the ``@`` is not a number of iterations, or a path is given: the records of cells
                keep a method by its name, and must be read where there is no such path.
        """
        name, at, steps = text.partition("@")
        if Path(name).name != name or Path(name).suffix in (".json", ".yaml", ".yml"):
            problem = f"{text!r} is a path, and cells are kept by the name of a method"
            remedy = "put the file into configs/methods of the bundle, and give its name without the ending"
            raise InputError("--methods", problem, remedy)
        if at and not (steps.isascii() and steps.isdigit() and int(steps) > 0):
            raise InputError(
                "--methods", f"{text!r} names no number of iterations", "write for example supervised@1500"
            )
        return cls(name, int(steps) if at else None)

    def __str__(self) -> str:
        return self.name if self.steps is None else f"{self.name}@{self.steps}"

    @property
    def place(self) -> tuple[int, str, int]:
        """Sorts methods into the order of the paper's tables, longer runs behind shorter ones."""
        return (METHODS.index(self.name) if self.name in METHODS else len(METHODS), self.name, self.steps or 0)


@dataclass(frozen=True)
class Cell:
    """One training with its evaluation.

    Args:
        method: what is trained.
        num_labeled: how many labelled images it sees.
        seed: the run's seed; with `Experiment.vary_draw` also that of the draw of labelled images.

    Example:
        >>> Cell(Method("supervised", 1500), 2, seed=0).name
        'supervised_1500steps-2labeled-seed0'
    """

    method: Method
    num_labeled: int
    seed: int

    @property
    def name(self) -> str:
        """A name for folders."""
        steps = "" if self.method.steps is None else f"_{self.method.steps}steps"
        return f"{self.method.name}{steps}-{self.num_labeled}labeled-seed{self.seed}"

    @property
    def place(self) -> tuple[int, tuple[int, str, int], int]:
        """The order of rows in the tables."""
        return (self.num_labeled, self.method.place, self.seed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, as results.csv names them."""
        return {"method": str(self.method), "num_labeled": self.num_labeled, "seed": self.seed}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Cell:
        """What `as_dict` made; further entries are ignored."""
        return cls(Method.parse(record["method"]), record["num_labeled"], record["seed"])


@dataclass(frozen=True)
class Experiment:
    """What all cells of an output folder have in common, so that they may stand in one table.

    Args:
        bundle: name or folder of the bundle.
        preset: one of its presets.
        max_iterations: length of every training that names none of its own; None is the bundle's.
        vary_draw: draw the labelled images anew with each seed (``labeled_seed`` = seed).
        tta: evaluate with test-time flips.
        overrides: further keys of ``train.json`` (and of ``evaluate.json``, where it has them too) as written
            on the command line; ``{seed}`` in a text stands for the cell's seed.
        networks: how many networks each cell trains, evaluated by the mean of their probabilities; the first has the
            cell's seed.
    """

    bundle: str
    preset: str | None = None
    max_iterations: int | None = None
    vary_draw: bool = False
    tta: bool = True
    overrides: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    networks: int = 1

    def labeled_seed(self, cell: Cell) -> int | None:
        """The seed of the draw of labelled images; None: those of the data set's published list."""
        if self.vary_draw:
            return cell.seed
        written = self.overrides.get("labeled_seed") or "0"
        if written in ("None", "null"):
            return None
        if not (written.isascii() and written.isdigit()):
            raise InputError("--labeled_seed", f"is {written!r}", "give a whole number of at least 0")
        return int(written)

    def training(self, cell: Cell, data: str, output: str, network: int = 0) -> Configured:
        """The configuration of a cell's training.

        Args:
            cell: the cell.
            data: the data set's folder or datalist.
            output: the cell's folder.
            network: which of its networks.

        Raises:
            InputError: there is no such method or preset, or an override is wrong.
        """
        steps = cell.method.steps or self.max_iterations
        given = {key: text and text.replace("{seed}", str(cell.seed)) for key, text in self.overrides.items()}
        pairs = {"num_workers": "0", **given}  # a cell keeps to one core
        pairs |= {
            "dataset_dir": data,
            "output_dir": self.folders(output)[network],
            "num_labeled": str(cell.num_labeled),
            "labeled_seed": str(self.labeled_seed(cell)),
            "seed": str(cell.seed + _APART * network),
            "resume": "auto",
        }
        if steps is not None:
            pairs["max_iterations"] = str(steps)
        return configure(self.bundle, ["train"], pairs, cell.method.name, self.preset)

    def evaluation(self, data: str, output: str) -> Configured:
        """The configuration of a cell's evaluation; arguments and errors as for `training`."""
        pairs = {**self.overrides, "dataset_dir": data, "output_dir": output, "tta": str(self.tta)}
        evaluation = evaluation_of(self.bundle, pairs, self.preset)
        if self.networks > 1:
            evaluation.overrides["ckpt_path"] = [f"{folder}/model.pt" for folder in self.folders(output)]
        return evaluation

    def folders(self, output: str) -> list[str]:
        """Where the networks of a cell are trained."""
        if self.networks == 1:
            return [output]
        return [f"{output}/network_{number}" for number in range(self.networks)]

    def as_dict(self) -> dict[str, Any]:
        """Plain values; of the bundle only its name, for its folder is another elsewhere."""
        plain = dataclasses.asdict(self) | {"bundle": find_bundle(self.bundle).name, "overrides": dict(self.overrides)}
        return {key: value for key, value in plain.items() if key != "networks" or self.networks > 1}


def make_cells(methods: Sequence[Method], num_labeled: Sequence[int], seeds: Sequence[int]) -> list[Cell]:
    """All combinations, in the order in which comparisons are soonest complete.

    Example:
        >>> [cell.name for cell in make_cells([Method("supmix"), Method("sufd")], [2], [0, 1])][:2]
        ['supmix-2labeled-seed0', 'sufd-2labeled-seed0']
    """
    cells = [Cell(method, count, seed) for count in num_labeled for seed in seeds for method in methods]
    return list(dict.fromkeys(cells))
