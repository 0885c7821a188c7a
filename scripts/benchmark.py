#!/usr/bin/env python3
"""Measure how fast training, augmentation, loading and inference are, beside what they are compared with.

Every comparison runs all its sides in one process on the same inputs, turn by turn, after a warm-up; the
figures are medians. Peak memory is that of a fresh process. Run it on a quiet machine. `cohort`, which predicts
thousands of volumes, takes long and is not part of `all`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from pathlib import Path

from benchmarks.timing import Row, machine, table

SUBJECTS = ("train", "depthwise", "augment", "load", "infer")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("subject", choices=(*SUBJECTS, "cohort", "all"))
    parser.add_argument("--json", type=Path, help="write machine, figures and all samples to this file")
    parser.add_argument("--repetitions", type=int, default=5, help="measurements of each side (default: 5)")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that everything runs")
    arguments = parser.parse_args(argv)
    about = machine()
    rows: list[Row] = []
    for subject in SUBJECTS if arguments.subject == "all" else (arguments.subject,):
        print(f"measuring {subject} ...", file=sys.stderr, flush=True)
        module = importlib.import_module(f"benchmarks.{subject}")
        rows += module.run(arguments.repetitions, arguments.small)
    print(table(rows, about))
    if arguments.json is not None:
        record = {"machine": about, "small": arguments.small, "rows": [row.as_dict() for row in rows]}
        arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
