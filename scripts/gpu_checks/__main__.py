"""Check everything that a GPU is used for, each part in a process of its own, in under eight minutes.

Prints a table of the checks and one of their figures, and writes both with the machine to a JSON file. The exit
status is 1 if a check failed or took too long. A check that cannot run here (two GPUs where there is one) is skipped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from benchmarks.timing import machine, table

from gpu_checks.alone import Outcome, run_alone, run_one
from gpu_checks.checks import CHECKS, compared
from gpu_checks.place import Place


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="scripts/gpu_check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [check.name for check in CHECKS]
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="some of the checks", metavar="CHECK")
    parser.add_argument("--json", type=Path, default=Path("gpu_check.json"), help="the file (default: gpu_check.json)")
    parser.add_argument("--device", help="default: cuda:0, with --small cpu")
    parser.add_argument("--small", action="store_true", help="tiny sizes, to see that everything runs")
    parser.add_argument("--one", choices=names, help=argparse.SUPPRESS)
    arguments = parser.parse_args(argv)
    place = Place(arguments.device or ("cpu" if arguments.small else "cuda:0"), arguments.small)
    if place.on_gpu and not torch.cuda.is_available():
        print(
            "error: --device: there is no CUDA device here: --small runs tiny sizes on the processor", file=sys.stderr
        )
        return 2
    checks = {check.name: check for check in CHECKS}
    if arguments.one:
        run_one(checks[arguments.one], place, arguments.json)
        return 0
    outcomes = []
    for name in arguments.only:
        print(f"checking {name} ...", file=sys.stderr, flush=True)
        outcomes.append(run_alone(checks[name], place))
        if outcomes[-1].status in ("failed", "too slow"):
            print(outcomes[-1].reason, file=sys.stderr, flush=True)
    rows = [row for outcome in outcomes for row in outcome.rows]
    rows += compared(rows)
    about = machine()
    print(summary(outcomes))
    print(table(rows, about))
    record = {
        "machine": about, "device": place.device, "small": place.small,
        "checks": [outcome.as_dict() for outcome in outcomes], "rows": [row.as_dict() for row in rows],
    }  # fmt: skip
    arguments.json.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return int(any(outcome.status in ("failed", "too slow") for outcome in outcomes))


def summary(outcomes: Sequence[Outcome]) -> str:
    """One line for each check, as Markdown."""
    lines = ["| check | result | seconds | |", "|---|---|---:|---|"]
    for outcome in outcomes:
        reason = outcome.reason.splitlines()[-1].strip() if outcome.reason else ""
        lines.append(f"| {outcome.name} | {outcome.status} | {outcome.seconds:.0f} | {reason} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
