"""A bundle for a user's own data, with what was proposed and why."""

from __future__ import annotations

import argparse
import shlex
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

from monai_supmix.cli.check import table
from monai_supmix.cli.training_time import training_times
from monai_supmix.errors import InputError
from monai_supmix.listing import counted
from monai_supmix.naming import safe_name
from monai_supmix.own_data import BrokenCasesError, Proposal, check_absent, propose, write_bundle
from monai_supmix.own_data.classes import split_names
from monai_supmix.own_data.pictures import LABELS_NAME

_WIDTH = 110


def new(arguments: argparse.Namespace) -> int:
    """Look at a folder, print what is found and proposed, and write the bundle.

    Args:
        arguments: the command line.

    Returns:
        exit status 0, also where Ctrl-C ends the timing: the bundle is complete before it.

    Raises:
        InputError: something is wrong with the data or the command line; nothing is left.
    """
    folder = check_absent(arguments.output_dir)
    try:
        proposal = propose(
            arguments.data,
            safe_name(arguments.name or folder.name),
            None if arguments.class_names is None else split_names(arguments.class_names),
            arguments.group_pattern,
            arguments.test_list,
            arguments.intensity,
            arguments.labels,
        )
    except BrokenCasesError as error:
        for line in table(error.problems):
            print(line)
        raise
    print(*describe(proposal), sep="\n")
    files = write_bundle(proposal, folder)
    print(f"\nwritten: {folder} ({counted(len(files), 'file')})")
    print(f"look at {folder / LABELS_NAME}: do the masks lie on what they should?")
    print("timing a few steps with each preset, which may take minutes (Ctrl-C leaves this out) ...", flush=True)
    times: list[str] = []
    try:
        times = training_times(folder)
    except InputError:  # a mistake in the data that `propose` did not find
        shutil.rmtree(folder, ignore_errors=True)
        print(f"removed: {folder}, with which no training begins")
        raise
    except KeyboardInterrupt:
        print("left out: how long a training takes")
    if times:
        print("a training takes, on this machine as busy as it is now:")
        print(*(part for line in times for part in _wrap("  ", line)), sep="\n")
    print("next:", *_next_commands(arguments.output_dir, proposal), sep="\n")
    return 0


def describe(proposal: Proposal) -> Iterator[str]:
    """What was found and is proposed, line by line.

    Args:
        proposal: the settings.
    """
    yield from proposal.lines
    yield ""
    yield "proposed:"
    for choice in proposal.choices:
        yield from _wrap(f"  {choice.subject:<14}", choice.value)
        yield from _wrap(" " * 18, f"because: {choice.why}")
    if proposal.warnings:
        yield ""
    for warning in proposal.warnings:
        yield from _wrap("warning: ", warning)


def _wrap(head: str, text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=head, subsequent_indent=" " * len(head), break_long_words=False)


def _next_commands(bundle: str, proposal: Proposal) -> list[str]:
    shown = shlex.quote(str(Path(bundle)))
    first, *others = proposal.methods
    lines = [f"run {shown} train --method {first} --output_dir output"]
    lines += [f"run {shown} evaluate --output_dir output"] if proposal.datalist.test else []
    lines += [f"predict {shown} IMAGES --output_dir masks"]
    preset = f" --preset {proposal.preset}" if proposal.preset else ""
    folds = "" if proposal.datalist.test else f" --folds {min(5, len(proposal.datalist.labeled))}"
    for other in others:
        lines.append(f"compare {shown} --methods {first} {other} --seeds 0 1 2{folds} --output_dir comparison")
    return [f"  monai-supmix {line}{preset}" for line in lines]
