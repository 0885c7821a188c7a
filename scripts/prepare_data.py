#!/usr/bin/env python3
"""Turn a data folder into a checked datalist JSON, and say what the folder holds.

The JSON can be given to the bundles in place of the folder. Exit status 2 and a last line ``error: ...`` when
the data cannot be used; nothing is written then.
"""

from __future__ import annotations

import argparse
import sys

from monai_supmix.cli.arguments import Parser
from monai_supmix.config.error_lines import told_mistake
from monai_supmix.config.remedies import REMEDIES
from monai_supmix.datalists.acdc import acdc_datalist, holds_acdc
from monai_supmix.datalists.chase import chase_datalist, holds_chase
from monai_supmix.datalists.covid import covid_datalist
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.survey import survey_datalist
from monai_supmix.errors import InputError
from monai_supmix.listing import check_folder


def parse(argv: list[str] | None) -> argparse.Namespace:
    shape = argparse.RawDescriptionHelpFormatter
    parser = Parser("scripts/prepare_data.py", description=__doc__, formatter_class=shape)
    parser.add_argument("kind", choices=("chase", "covid", "acdc", "auto"), help="data set; auto: judged by its files")
    parser.add_argument("--data", required=True, help="folder of the data set")
    parser.add_argument("--out", required=True, help="datalist JSON to write")
    parser.add_argument("--num-labeled", type=int, help="labelled images (acdc: patients) to draw (default: all)")
    parser.add_argument("--labeled-seed", type=int, help="seed of the draw (default: 0; acdc: the field's list)")
    parser.add_argument("--labeled-list", help="text file of labelled cases, one per line, instead of a draw")
    parser.add_argument("--num-val-patients", type=int, default=0, help="patients held out for validation")
    parser.add_argument("--unlabeled-pool", choices=("rest", "all"), default="rest")
    fundus = parser.add_argument_group("chase")
    fundus.add_argument("--observer", choices=("first", "second"), default="first")
    fundus.add_argument("--split", choices=("patient", "paper"), default="patient")
    chest = parser.add_argument_group("covid")
    chest.add_argument("--form", choices=("auto", "medseg", "pictures", "nnunet"), default="auto")
    chest.add_argument("--test-list", help="text file of test cases, one per line")
    chest.add_argument("--group-pattern", help="regular expression that finds the patient in a case name")
    chest.add_argument("--view", choices=("auto", "upright", "lying"), default="auto")
    return parser.parse_args(argv)


def make_datalist(args: argparse.Namespace) -> Datalist:
    draw = {
        "num_labeled": args.num_labeled,
        "labeled_list": args.labeled_list,
        "num_val_patients": args.num_val_patients,
        "unlabeled_pool": args.unlabeled_pool,
    }
    if args.kind == "acdc" or (args.kind == "auto" and holds_acdc(check_folder(args.data))):
        return acdc_datalist(args.data, **draw, labeled_seed=args.labeled_seed)
    draw["labeled_seed"] = args.labeled_seed or 0
    if args.kind == "chase" or (args.kind == "auto" and holds_chase(check_folder(args.data))):
        return chase_datalist(args.data, args.observer, args.split, **draw)
    return covid_datalist(
        args.data,
        **draw,
        form=args.form,
        test_list=args.test_list,
        group_pattern=args.group_pattern,
        view=args.view,
    )


def prepare(args: argparse.Namespace) -> None:
    datalist = make_datalist(args)
    survey = survey_datalist(datalist, REMEDIES["rare-class"])
    print(*datalist.describe(), *survey.lines, sep="\n")
    for warning in survey.warnings:
        print(f"warning: {warning}")
    for error in survey.errors:
        print(f"problem: {error}")
    if survey.errors:
        first = survey.errors[0]
        count = len(survey.errors)
        raise InputError(first.subject, f"{first.problem} ({count} files in all have problems)", first.remedy)
    datalist.to_json(args.out)
    print(f"wrote {args.out}")


def main(argv: list[str] | None = None) -> int:
    try:
        prepare(parse(argv))
    except InputError as error:
        return told_mistake(error)
    return 0


if __name__ == "__main__":
    sys.exit(main())
