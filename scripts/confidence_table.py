#!/usr/bin/env python3
"""How well mean confidence foretells Dice: a table from the `cases.csv` of evaluations.

    python scripts/confidence_table.py O/cases.csv --group "(patient[0-9]+)"

A value is one class of one case. `bad` values have a Dice below 0.6; `found` of them are among the 20 % with the lowest
confidence. Then the calibration of `run --folds` is learnt from the cases of N patients, drawn 50 times, and tried on
those of the others: mean error of the predicted Dice, share of the values inside their interval, half its width. With
`--quality O/quality.json` this file's calibration is tried on all values, and a line says what it flags.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from monai_supmix.metrics import Calibration, CaseMeasures, calibrate, dice, read_cases_csv
from monai_supmix.metrics.calibration import from_plain

BAD, FLAGGED, DRAWS = 0.6, 0.2, 50
HEAD = "| evaluation | values | mean Dice | rank correlation | bad | found | patients | error | inside | +- |"


def values(cases: Sequence[CaseMeasures]) -> np.ndarray:
    """Confidence and Dice of each class of each case that has both, ``(n, 2)``."""
    pairs = [pair for case in cases for pair in zip(case.confidence or (), dice(case.counts), strict=False)]
    known = [(sure, overlap) for sure, overlap in pairs if sure is not None and not np.isnan(overlap)]
    return np.array(known, float).reshape(-1, 2)


def ranked(pairs: np.ndarray) -> list[str]:
    """Figures that need no calibration."""
    sure, overlap = pairs.T
    bad = overlap < BAD
    first = np.argsort(sure, kind="stable")[: round(FLAGGED * len(sure))]
    correlation = spearmanr(sure, overlap).statistic
    return [f"{len(pairs)}", f"{overlap.mean():.3f}", f"{correlation:.2f}", f"{bad.sum()}", f"{bad[first].sum()}"]


def calibrated(cases: dict[str, CaseMeasures], patients: dict[str, str], count: int) -> list[str]:
    """Figures of calibrations learnt from a few patients and tried on the others."""
    random, names = np.random.default_rng(0), sorted(set(patients.values()))
    results = []
    for _ in range(DRAWS):
        drawn = set(random.choice(names, count, replace=False))
        learnt = calibrate(case for name, case in cases.items() if patients[name] in drawn)
        if learnt is None:
            continue
        rest = values([case for name, case in cases.items() if patients[name] not in drawn])
        results.append(tried(learnt, rest))
    return [f"{value:.2f}" for value in np.mean(results, axis=0)] if results else ["", "", ""]


def tried(learnt: Calibration, pairs: np.ndarray) -> tuple[float, float, float]:
    """Mean error of the predicted Dice, share of the values inside their interval, and half its width."""
    predicted = [learnt.predict(sure)["dice"] for sure in pairs[:, 0]]
    errors = np.abs(predicted - pairs[:, 1])
    return float(errors.mean()), float((errors <= learnt.margin + 5e-4).mean()), learnt.margin


def flags(learnt: Calibration, pairs: np.ndarray) -> str:
    """How many values are flagged, and how many bad ones are among them."""
    flagged = np.array([learnt.predict(sure)["look"] for sure in pairs[:, 0]])
    bad = pairs[:, 1] < BAD
    return f"flagged by quality.json: {flagged.sum()} values, {(flagged & bad).sum()} of the {bad.sum()} bad ones"


def main(argv: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="cases.csv of evaluations")
    parser.add_argument("--group", default="(.*)", help="regular expression that finds the patient in a case's name")
    parser.add_argument("--patients", nargs="+", type=int, default=[3, 5, 10], help="how many to learn from")
    parser.add_argument("--quality", type=Path, help="quality.json of a training with --folds")
    arguments = parser.parse_args(argv)
    learnt = arguments.quality and from_plain(json.loads(arguments.quality.read_text(encoding="utf-8")))
    print(HEAD, "|---" * (HEAD.count("|") - 1) + "|", sep="\n")
    for table in arguments.tables:
        with table.open(encoding="utf-8", newline="") as file:
            columns = csv.DictReader(file).fieldnames or []
        names = [column.removesuffix("_tp") for column in columns if column.endswith("_tp")]
        cases = read_cases_csv(table, names)
        matches = {name: re.search(arguments.group, name) for name in cases}
        patients = {name: match[1] if match else name for name, match in matches.items()}
        plain = ranked(values(list(cases.values())))
        for count in arguments.patients:
            row = [table.parent.name, *plain, f"{count}", *calibrated(cases, patients, count)]
            print("| " + " | ".join(row) + " |", flush=True)
        if learnt:
            pairs = values(list(cases.values()))
            row = [table.parent.name, *plain, "folds", *(f"{value:.2f}" for value in tried(learnt, pairs))]
            print("| " + " | ".join(row) + " |", flags(learnt, pairs), sep="\n", flush=True)


if __name__ == "__main__":
    main()
