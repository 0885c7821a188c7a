#!/usr/bin/env python3
"""SUFD where labelled and unlabelled images differ: a phantom of two scanners.

    python scripts/scanner_gap_table.py --out O
    python scripts/scanner_gap_table.py --cells scripts/simulated/scanner_gap.json

Four labelled chest CT phantoms are as drawn; the unlabelled ones and those of the test come from another scanner, with
a softer kernel, less contrast and more noise. Each arm is trained and judged for each seed, which also draws the
patients. Started again after a stop or a kill, the command goes on; after each seed it writes `O/cells.json` and
prints the table.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from scipy.ndimage import gaussian_filter
from simulated_cells import make_parser, run_table

from monai_supmix.experiments import Plan
from monai_supmix.experiments.page import table_head, table_row
from monai_supmix.experiments.trial import contents, data_of, read_datalist
from monai_supmix.files import make_directory
from monai_supmix.listing import read_json
from monai_supmix.metrics import iou, read_cases_csv
from monai_supmix.metrics.paired import mean_sd, paired_case_bootstrap, show_difference
from monai_supmix.phantoms import write_chest_ct_phantom
from monai_supmix.report import HISTORY_NAME

BUNDLE, CLASSES = "covid19_ct_supmix", 4
TRAINING = {"crop_size": "[128,128]", "working": "{'size':[128,128]}", "unlabeled_batch_size": "4",
            "recalibration": "null", "tensorboard": "false", "num_monitored": "0", "num_workers": "0"}  # fmt: skip
STRONG_CRITIC = {"discriminator_optimizer#lr": "0.001"}
STATISTICS = {"recalibration#items": "$@train#dataset + @unlabeled_dataset"}
FEATURES = {"train#trainer#sufd_input": "unet.upcat_1", "discriminator#in_channels": "16"}
ARMS: dict[str, tuple[str, str, dict[str, str]]] = {  # what it is called: method, scanner of the labels, options
    "one_scanner": ("supervised", "test", {}),
    "supervised": ("supervised", "other", {}),
    "supervised_statistics": ("supervised", "other", STATISTICS),
    "unimatch": ("unimatch", "other", {}),
    "softmax_0.01": ("sufd", "other", {"sufd_weight": "0.01", **STRONG_CRITIC}),
    "softmax_0.1": ("sufd", "other", {"sufd_weight": "0.1", **STRONG_CRITIC}),
    "softmax_1": ("sufd", "other", {"sufd_weight": "1.0", **STRONG_CRITIC}),
    "features_0.1": ("sufd", "other", {"sufd_weight": "0.1", **STRONG_CRITIC, **FEATURES}),
    "unimatch_statistics": ("unimatch", "other", STATISTICS),
    "features_statistics": ("sufd", "other", {"sufd_weight": "0.1", **STRONG_CRITIC, **FEATURES, **STATISTICS}),
}
WORDS = {
    "one_scanner": "`supervised`, labels of the test's scanner",
    "supervised": "`supervised`",
    "supervised_statistics": "`supervised`, with statistics",
    "unimatch": "`unimatch`",
    "softmax_0.01": "`sufd`, softmax, weight 0.01",
    "softmax_0.1": "`sufd`, softmax, weight 0.1",
    "softmax_1": "`sufd`, softmax, weight 1 (the paper's)",
    "features_0.1": "`sufd`, decoder features, weight 0.1",
    "unimatch_statistics": "`unimatch`, with statistics",
    "features_statistics": "`sufd`, decoder features, weight 0.1, with statistics",
}


def other_scanner(image: np.ndarray, seed: int) -> np.ndarray:
    """What another scanner shows of the same patient.

    Args:
        image: Hounsfield units, int16, shape ``(X, Y, Z)``.
        seed: of the noise.

    Returns:
        the same shape and unit: blurred in the planes (1 pixel), a quarter less contrast, noise of 45 HU.
    """
    soft = gaussian_filter(image.astype(np.float32), (1.0, 1.0, 0.0))
    noise = np.random.RandomState(seed).normal(scale=45.0, size=image.shape)
    return np.clip(np.rint(0.75 * soft + noise), -1024, 3071).astype(np.int16)


def write_data(folder: Path, seed: int, labels: str) -> Path:
    """Write a phantom whose unlabelled and test volumes, or with ``test`` all, come from another scanner."""
    if folder.exists():
        shutil.rmtree(folder)
    write_chest_ct_phantom(folder, num_labeled=4, num_unlabeled=12, num_test=6, rare_fraction=0.0, seed=100 + seed)
    for number, path in enumerate(sorted(folder.glob("images*/*.nii.gz"))):
        labelled = (folder / "labelsTr" / path.name.replace("_0000", "")).exists()
        if labels == "test" or not labelled:
            image = nib.load(path)
            array = other_scanner(np.asarray(image.dataobj), 1000 * seed + number)
            nib.save(nib.Nifti1Image(array, image.affine, image.header), path)
    return folder


def run_arm(out: Path, seed: int, arm: str, iterations: int) -> dict[str, Any]:
    """Train and judge an arm, as far as that has not been done: IoU of each test volume, and the discriminator."""
    method, labels, options = ARMS[arm]
    folder = make_directory(out / f"seed_{seed}" / arm)
    data = write_data(out / f"seed_{seed}" / f"data_{labels}", seed, labels)
    options = {**TRAINING, **options, "seed": str(seed), "max_iterations": str(iterations)}
    if "recalibration#items" in options:
        del options["recalibration"]
    plan = Plan(BUNDLE, {"dataset_dir": str(data), **options})
    cases, _ = read_datalist(plan.training(method, {"num_labeled": "4", "output_dir": str(folder)}))
    cases.to_json(folder / "datalist.json")
    trial = plan.trial(folder, folder / "datalist.json", data_of(cases, contents(cases)), method)
    if not trial.finished():
        trial.run()
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    measured = read_cases_csv(folder / "cases.csv", cases.class_names)
    rows = read_json(folder / HISTORY_NAME)["rows"]
    accuracy = [row["discriminator_accuracy"] for row in rows if "discriminator_accuracy" in row]
    ious: dict[str, Any] = {case: iou(measures.counts)[1:3].round(4).tolist() for case, measures in measured.items()}
    return {"iou": ious, "discriminator_accuracy": round(float(np.mean(accuracy)), 3) if accuracy else None}


def run(out: Path, seeds: int, arms: Sequence[str], iterations: int) -> Iterator[dict[str, Any]]:
    """Train and judge arms for one seed after the other."""
    for seed in range(seeds):
        yield {"seed": seed, **{arm: run_arm(out, seed, arm, iterations) for arm in arms}}


def table(seeds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The table in Markdown."""
    arms = [arm for arm in WORDS if arm in seeds[0]]
    volumes = sorted(seeds[0]["unimatch"]["iou"])
    values = {arm: np.array([[np.mean(of_seed[arm]["iou"][v]) for v in volumes] for of_seed in seeds]) for arm in arms}
    yield from table_head(["training", "IoU of findings", "minus `unimatch`", "accuracy of the discriminator"])
    for arm in arms:
        difference = show_difference(paired_case_bootstrap(values[arm], values["unimatch"], volumes))
        accuracies = [of_seed[arm]["discriminator_accuracy"] for of_seed in seeds]
        accuracy = "" if None in accuracies else f"{100 * np.mean(accuracies):.0f} %"
        mean = mean_sd(100 * values[arm].mean(axis=1))
        yield table_row([WORDS[arm], mean, "" if arm == "unimatch" else difference, accuracy])


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = make_parser(__doc__, "seeds", count=3, iterations=600, data=None)
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    arguments = parser.parse_args(argv)
    if "unimatch" not in arguments.arms:
        parser.error("--arms needs unimatch, which the others are compared with")
    cells = run(arguments.out, arguments.seeds, arguments.arms, arguments.iterations)
    about = {"bundle": BUNDLE, "iterations": arguments.iterations, "options": TRAINING}
    run_table(parser, arguments, about, "seeds", cells, table)


if __name__ == "__main__":
    main()
