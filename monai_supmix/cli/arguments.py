"""What the command line takes: every command with its options, their help and an example."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

from monai_supmix.errors import InputError
from monai_supmix.version import __version__

NEW_OPTIONS = {
    "output_dir": "folder of the new bundle; must not exist",
    "name": "name of the bundle; that of its folder if left out",
    "class_names": "names of the classes, the background's first, with commas between them",
    "labels": "label values that are classes, with their names, the background's first: 0=background,5=liver",
    "group_pattern": "regular expression that finds the patient in a case name",
    "test_list": "text file with the names of the test cases, one per line; none: all labels are trained on",
    "intensity": "hu or picture: what the values of volumes are; field_of_view: fundus pictures with a dark surround",
}
_OVERRIDES = "any key of the configuration can follow as --key value, nested ones as --optimizer#lr 0.01"

_PREDICT = f"""{_OVERRIDES}

examples:
  monai-supmix predict BUNDLE SCANS --output_dir O --on_error skip
  torchrun --nproc_per_node=4 -m monai_supmix predict BUNDLE SCANS --output_dir O   # 4 processes share the cases
  srun --ntasks=64 monai-supmix predict BUNDLE SCANS --output_dir O                 # so do the tasks of Slurm
  monai-supmix predict BUNDLE SCANS --output_dir O --shard 3/16    # the third of 16 parts, as one job of an array
  monai-supmix predict BUNDLE SCANS --output_dir O --ckpt_path T/5_folds            # the mean of five networks
  monai-supmix predict BUNDLE SCANS --output_dir O --ckpt_path "[S1/model.pt,S2/model.pt]"     # of two

Started again, it predicts what is missing. --verify recognises finished images by their content, not by size and time.
"""
_SUGGEST = f"""{_OVERRIDES}

example:
  monai-supmix suggest MY_BUNDLE --count 5 --output_dir suggestions

Ranks the unlabelled cases by how unsure the bundle's weights (or those of --run_dir or --ckpt_path) are of them, and
writes labeled_list.txt, for the option labeled_list of a training, suggestions.csv and suggestions.html. Give the
options of the training that made the weights (--num_labeled 7). Started again, it scores what is missing.
"""
_COLLECT = """Whoever ends last does this by itself; here it is done again, for example after a machine has died.

example:
  monai-supmix collect O
"""


class Parser(argparse.ArgumentParser):
    """An argument parser whose mistakes are those of a user like all others, and end in the same kind of line."""

    def error(self, message: str) -> NoReturn:
        """Raise `InputError`."""
        raise InputError("command line", message, f"see {self.prog} --help")


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = Parser(
        prog="python -m monai_supmix",
        description="Train, evaluate and use the bundles of MONAI-SupMix.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command")
    bundle = "folder of a bundle, or the name of one that comes with the package (chase_supmix)"

    def add(name: str, text: str, epilog: str = "") -> argparse.ArgumentParser:
        shape = argparse.RawDescriptionHelpFormatter  # examples keep their lines
        return commands.add_parser(
            name, help=text, description=text, epilog=epilog, allow_abbrev=False, formatter_class=shape
        )

    def add_choice(command: argparse.ArgumentParser) -> None:
        command.add_argument("--method", help="one of the bundle's configs/methods, for example unimatch")
        command.add_argument("--preset", help="one of the bundle's configs/presets, for example paper")

    _add_trainings(add, add_choice, bundle)

    check = add("check", "Read all data that a configuration would use and list what is wrong.", _OVERRIDES)
    check.add_argument("bundle", nargs="?", help=bundle)
    check.add_argument("config", nargs="*", help="as for run; train if left out")
    check.add_argument("--bundle", dest="named_bundle", metavar="BUNDLE", help="the same as the first argument")
    add_choice(check)

    predict = add("predict", "Predict images with a bundle's weights or those of a training run.", _PREDICT)
    predict.add_argument("bundle", help=bundle)
    predict.add_argument("input", nargs="+", help="images, folders, DICOM folders, patterns or datalists")
    predict.add_argument("--output_dir", "--output-dir", required=True, help="folder for the masks")
    predict.add_argument("--preset", help="one of the bundle's configs/presets, for example paper")

    suggest = add("suggest", "Say which unlabelled cases to label next, and write the list for it.", _SUGGEST)
    suggest.add_argument("bundle", help=bundle)
    suggest.add_argument(
        "--count", type=int, required=True, metavar="N", help="how many patients (or cases) to suggest"
    )
    suggest.add_argument(
        "--unit", choices=("patient", "case"), default="patient", help="what is labelled together; default: patient"
    )
    suggest.add_argument("--preset", help="one of the bundle's configs/presets, for example paper")
    suggest.add_argument(
        "--output_dir",
        "--output-dir",
        default="suggestions",
        help="folder for list, table and page; default: suggestions",
    )

    collect = add("collect", "Write summary.json and cases.csv of what several processes have predicted.", _COLLECT)
    collect.add_argument("output_dir", help="folder of the masks")

    new = add("new", "Look at a folder of your own data, propose settings, and write a bundle for it.")
    new.add_argument("data", help="folder with imagesTr and labelsTr (nnU-Net), or with images and labels")
    for option, text in NEW_OPTIONS.items():
        spellings = dict.fromkeys((f"--{option}", f"--{option.replace('_', '-')}"))
        new.add_argument(*spellings, dest=option, required=option == "output_dir", help=text)

    export = add("export", "Hand a trained model on, compared with its weights on a case.", _OVERRIDES)
    export.add_argument("bundle", help=bundle)
    export.add_argument(
        "--format",
        nargs="+",
        choices=("torchscript", "onnx", "zip"),
        default=["torchscript"],
        help="torchscript (default), onnx, or zip: the bundle with these weights, as MONAI's model zoo has it",
    )
    export.add_argument("--output_dir", "--output-dir", required=True, help="folder for the files")
    export.add_argument("--case", help="image to compare on; made up by default")
    export.add_argument("--preset", help="one of the bundle's configs/presets, for example paper")

    install = add("install", "Copy the weights of a finished training run into a bundle.")
    sources = "folder of the training run, or a file of weights; several, or a folder of folds, predict together"
    install.add_argument("source", nargs="+", metavar="output_dir", help=sources)
    install.add_argument("bundle", help=bundle)

    audit = add("audit", "List what a bundle names and would run, fetch or write; status 0 only if all of it is known.")
    audit.add_argument("bundle", help=bundle)
    audit.add_argument("--all", action="store_true", help="list also what the shipped bundles name as well")
    commands.metavar = "|".join(commands.choices)
    return parser


def _add_trainings(add: Callable[..., argparse.ArgumentParser], add_choice: Callable, bundle: str) -> None:
    example = "example: monai-supmix run MY_BUNDLE train --folds 5 --output_dir O"
    run = add("run", "Run a configuration of a bundle.", f"{_OVERRIDES}; {example}")
    run.add_argument("bundle", help=bundle)
    run.add_argument("config", nargs="+", help="train, evaluate, inference, or files; later ones override earlier ones")
    add_choice(run)
    run.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="of a training: first judge every labelled case by a network that has not seen its patient, in N folds",
    )
    run.add_argument("--fold", type=int, metavar="K", help="only this one of --folds, 1 to N; no final training")
    run.add_argument("--tracking", help="mlflow, or a file of MONAI's tracking settings: also keep the run in MLflow")

    example = "example: monai-supmix compare MY_BUNDLE --methods supervised supmix_sufd --seeds 0 1 2 --output_dir O"
    compare = add("compare", "Compare methods on your own data and say which to use.", f"{_OVERRIDES}; {example}")
    compare.add_argument("bundle", help=bundle)
    compare.add_argument(
        "--methods", nargs="+", required=True, help="of configs/methods, or paths of files; supervised is the baseline"
    )
    compare.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the trainings; default: 0 1 2")
    compare.add_argument(
        "--folds", type=int, metavar="N", help="judge the labelled cases out of fold, in N folds; default: the test"
    )
    compare.add_argument("--preset", help="one of the bundle's configs/presets, for example paper")
    compare.add_argument("--keep", action="store_true", help="keep weights and checkpoints of finished trainings")
    compare.add_argument("--output_dir", "--output-dir", required=True, help="folder for trainings and figures")


def own_options(argv: Sequence[str]) -> list[str]:
    """Names of a command's own options; every other one is a key of its configuration.

    Example:
        >>> own_options(["predict", "BUNDLE", "SCANS"])
        ['help', 'h', 'version', 'method', 'preset', 'bundle', 'output_dir']
    """
    own = {
        "run": ["tracking", "folds", "fold"],
        "compare": ["methods", "seeds", "folds", "keep", "output_dir"],
        "predict": ["output_dir"],
        "suggest": ["count", "unit", "output_dir"],
        "new": [*NEW_OPTIONS],
        "export": ["output_dir", "format", "case"],
        "audit": ["all"],
    }
    return ["help", "h", "version", "method", "preset", "bundle", *own.get(next(iter(argv), ""), [])]
