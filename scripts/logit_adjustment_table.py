#!/usr/bin/env python3
"""What adjusted logits are worth at several strengths: finished trainings, judged anew with each.

    scripts/logit_adjustment_table.py covid19_ct_supmix OUT/runs/*/output --dataset_dir DATA --to TAU
    scripts/logit_adjustment_table.py acdc_supmix O --preset pretrained --dataset_dir DATA --to TAU --figure case_dice

The trainings are those of one bundle, without adjustment (`OUT` is a folder of `scripts/reproduce.py --keep`). For each
one and each strength the logits are adjusted by the labelled images that it was trained on, and its evaluation is run
with `--tta` on the test images of `--dataset_dir`; to choose a strength, give it a folder whose test images are held
out from the training images. The table has the mean over trainings. Started again, the command goes on.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from monai_supmix.bundle import load_trained
from monai_supmix.cli.workflow import configure
from monai_supmix.config.error_lines import told_mistake
from monai_supmix.datalists.seen import image_digests
from monai_supmix.engines import AdjustLogits
from monai_supmix.errors import InputError
from monai_supmix.experiments.evaluation import evaluation_of
from monai_supmix.experiments.page import table_head, table_row
from monai_supmix.files import make_directory
from monai_supmix.listing import read_json, shorten
from monai_supmix.report import HISTORY_NAME
from monai_supmix.weights import save_weights

DRAWN = ("num_labeled", "labeled_seed", "num_val_patients")  # what says which images are labelled
Figures = dict[str, float]  # by class


def judge(
    training: Path, taus: Sequence[float], to: Path, options: Mapping[str, str], bundle: str, preset: str | None
) -> Iterator[Mapping[str, Mapping[str, float]]]:
    """The figures of each class, for each strength.

    Args:
        training: output folder of a training.
        taus: strengths.
        to: folder for weights and figures, with a folder for each training and test, and one in it for each strength.
        options: overrides of the training, ``dataset_dir`` among them.
        bundle: name or folder.
        preset: of the training.

    Raises:
        InputError: there is no finished training, its logits are adjusted already, or it had other labelled images than
            its settings draw from ``dataset_dir``.
    """
    settings = read_json(training / HISTORY_NAME)["settings"]
    if AdjustLogits.__name__ in str(settings.get("recalibration")):
        raise InputError(training, "has adjusted logits already", "name trainings without")
    drawn = {key: str(settings[key]) for key in DRAWN if settings.get(key) is not None}
    parser = configure(bundle, ["train"], {**options, **drawn, "output_dir": str(training)}, preset=preset).parser()
    network = parser.get_parsed_content("network_def")
    trained = load_trained(network, str(training), str(training), device="cpu")
    datalist = parser.get_parsed_content("datalist")
    if trained.record.get("labelled_images") != image_digests(datalist.labeled):
        raise InputError(training, "had other labelled images", "give the dataset_dir it was trained with")
    items, num_classes = parser.get_parsed_content("train#dataset"), parser.get_parsed_content("num_classes")
    judged = hashlib.sha256(" ".join([str(trained.sha256), *image_digests(datalist.test)]).encode()).hexdigest()[:12]
    for tau in taus:
        folder = make_directory(to / judged / f"tau_{tau!r}")
        if not (folder / "metrics.json").is_file():
            adjusted = copy.deepcopy(trained.network)
            AdjustLogits(items, num_classes, tau)(adjusted)
            save_weights(folder / "model.pt", adjusted, trained.record)
            evaluation_of(bundle, {**options, "output_dir": str(folder), "tta": "true"}, preset).run()
        yield read_json(folder / "metrics.json")["classes"]


def table(taus: Sequence[float], trainings: Sequence[Sequence[Figures]]) -> Iterator[str]:
    """The means over trainings in Markdown: a row for each class, and one for their mean.

    Args:
        taus: strengths.
        trainings: for each training and strength the figures of the foreground classes.
    """
    names = list(trainings[0][0])
    figures = [[[one[name] for name in names] for one in training] for training in trainings]
    means = np.mean(np.array(figures, float), axis=0).T  # what is absent from the test has none
    yield from table_head(["class", *(f"{tau:g}" for tau in taus)])
    for name, row in zip([*names, "mean"], [*means, np.nanmean(means, axis=0)], strict=True):
        yield table_row([name, *(f"{value:.3f}" for value in row)])


def main(argv: Sequence[str] | None = None) -> int:
    """Judge what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", help="name or folder of the bundle")
    parser.add_argument("trainings", nargs="+", type=Path, help="output folders")
    parser.add_argument("--to", type=Path, required=True, help="folder for the figures")
    parser.add_argument("--dataset_dir", required=True)
    parser.add_argument("--preset", help="of the trainings, where it has another network")
    parser.add_argument("--tau", nargs="+", type=float, default=[0.0, 0.25, 0.5, 0.75, 1.0], help="strengths")
    parser.add_argument("--figure", choices=("iou", "dice", "case_dice"), default="iou")
    parser.add_argument("--classes", nargs="+", help="names of the classes in the table (all but the background)")
    arguments = parser.parse_args(argv)
    try:
        print(*table(arguments.tau, list(_results(arguments))), sep="\n")
    except InputError as error:
        return told_mistake(error)
    return 0


def _results(arguments: argparse.Namespace) -> Iterator[list[Figures]]:
    if not all(0 <= tau < math.inf for tau in arguments.tau):
        raise InputError("--tau", f"is {arguments.tau}", "give numbers of at least 0")
    for training in arguments.trainings:
        options = {"dataset_dir": arguments.dataset_dir}
        judged = judge(training, arguments.tau, arguments.to, options, arguments.bundle, arguments.preset)
        yield [_figures(classes, arguments.figure, arguments.classes) for classes in judged]


def _figures(classes: Mapping[str, Mapping[str, float]], figure: str, wanted: Sequence[str] | None) -> Figures:
    names = wanted or list(classes)[1:]
    if unknown := set(names) - set(classes):
        raise InputError("--classes", f"has no class {shorten(sorted(unknown))}", f"name some of {', '.join(classes)}")
    return {name: classes[name][figure] for name in names}


if __name__ == "__main__":
    sys.exit(main())
