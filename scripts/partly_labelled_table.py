#!/usr/bin/env python3
"""Partly labelled volumes on ACDC: what they are worth, and what it costs not to say so.

    python scripts/partly_labelled_table.py --data DATA --out O
    python scripts/partly_labelled_table.py --cells scripts/simulated/acdc_partly_labelled.json

Of the first 7 labelled patients of the field's list, three lack one class each: it is background in their masks.
`supervised` is trained without these patients, with them and `labelled_classes`, and with the same masks taken for
whole ones; all are judged on the test patients (Dice by volume), for each seed. Started again after a stop or a kill,
the command goes on; after each seed it writes `O/cells.json` and prints the table.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from simulated_cells import make_parser, run_table

from monai_supmix.datalists import Datalist
from monai_supmix.experiments import Plan
from monai_supmix.experiments.page import table_head, table_row
from monai_supmix.experiments.trial import contents, data_of, read_datalist
from monai_supmix.files import make_directory
from monai_supmix.imageio.cases import load_case
from monai_supmix.metrics import dice, read_cases_csv
from monai_supmix.metrics.paired import mean_sd, paired_case_bootstrap, show_difference

BUNDLE, METHOD, PATIENTS = "acdc_supmix", "supervised", 7
ARMS = {
    "left_out": "4 whole patients, 3 left out",
    "partly_labelled": "with the 3, partly labelled",
    "taken_for_whole": "with the 3, taken for whole",
}
QUIET = {"tensorboard": "false", "num_monitored": "0", "num_workers": "0"}


def write_masks(whole: Datalist, folder: Path) -> list[dict[str, Any]]:
    """Items of the labelled cases, of which three patients have masks without one class, another each."""
    groups = list(dict.fromkeys(item["group"] for item in whole.labeled))
    lacking = dict(zip(groups[-3:], (1, 2, 3), strict=True))
    items = []
    for item in whole.labeled:
        missing = lacking.get(item["group"])
        if missing is None:
            items.append(item)
            continue
        image, label = load_case(item, len(whole.class_names))
        paths = {key: folder / f"{item['case']}_{key}.nii.gz" for key in ("image", "label")}
        for key, array in (
            ("image", image.array * image.slope + image.inter),
            ("label", np.where(label == missing, 0, label)),
        ):
            kind = np.float32 if key == "image" else np.uint8
            nib.save(nib.Nifti1Image(array.astype(kind), image.affine), paths[key])
        labelled = [name for value, name in enumerate(whole.class_names) if value != missing]
        about = {key: item[key] for key in ("case", "group")}
        items.append({**about, **{key: str(path) for key, path in paths.items()}, "labelled_classes": labelled})
    return items


def datalist_of(arm: str, items: Sequence[Mapping[str, Any]], whole: Datalist) -> Datalist:
    """What an arm is trained and judged on."""
    labeled = [dict(item) for item in items if arm != "left_out" or "labelled_classes" not in item]
    if arm == "taken_for_whole":
        labeled = [{key: value for key, value in item.items() if key != "labelled_classes"} for item in labeled]
    return Datalist(labeled, [], [], whole.test, whole.class_names, [])


def run(data: Path, out: Path, seeds: int, iterations: int) -> Iterator[dict[str, Any]]:
    """Train and judge all arms for one seed after the other, as far as that has not been done."""
    plan = Plan(BUNDLE, {"dataset_dir": str(data), "max_iterations": str(iterations), **QUIET})
    whole, _ = read_datalist(plan.training(METHOD, {"num_labeled": str(PATIENTS), "output_dir": str(out)}))
    items = write_masks(whole, make_directory(out / "masks"))
    for seed in range(seeds):
        of_seed: dict[str, Any] = {"seed": seed}
        for arm in ARMS:
            folder = make_directory(out / f"seed_{seed}" / arm)
            cases = datalist_of(arm, items, whole)
            cases.to_json(folder / "datalist.json")
            seen = data_of(cases, contents(cases))
            trial = plan.trial(folder, folder / "datalist.json", seen, METHOD, {"seed": str(seed)})
            if not trial.finished():
                trial.run()
            shutil.rmtree(folder / "checkpoints", ignore_errors=True)
            measured = read_cases_csv(folder / "cases.csv", whole.class_names)
            of_seed[arm] = {case: dice(measures.counts)[1:].round(4).tolist() for case, measures in measured.items()}
        yield of_seed


def table(seeds: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The table in Markdown."""
    volumes = sorted(seeds[0]["left_out"])
    groups = [volume.partition("_")[0] for volume in volumes]
    values = {arm: np.array([[np.mean(of_seed[arm][v]) for v in volumes] for of_seed in seeds]) for arm in ARMS}
    yield from table_head(["training", "Dice", "minus left out"])
    for arm, words in ARMS.items():
        difference = show_difference(paired_case_bootstrap(values[arm], values["left_out"], groups))
        yield table_row([words, mean_sd(100 * values[arm].mean(axis=1)), "" if arm == "left_out" else difference])


def main(argv: Sequence[str] | None = None) -> None:
    """Run what is missing and print the table."""
    parser = make_parser(__doc__, "seeds", count=3, iterations=1500, data="ACDC")
    arguments = parser.parse_args(argv)
    cells = run(arguments.data, arguments.out, arguments.seeds, arguments.iterations)
    about = {"bundle": BUNDLE, "method": METHOD, "iterations": arguments.iterations}
    run_table(parser, arguments, about, "seeds", cells, table)


if __name__ == "__main__":
    main()
