"""The command line: ``python -m monai_supmix run|compare|check|predict|suggest|collect|new|export|install|audit``.

A user's mistake ends in one line ``error: <file or key>: <what is wrong>: <what to do>`` and exit status 2.
Other statuses: 0 done; 1 done, but cases were skipped (``on_error=skip``); 75 stopped by a signal with a
checkpoint written, run it again with ``--resume auto``; 130 interrupted (Ctrl-C) without one.
"""

# Commands import what they need when they are called: MONAI and PyTorch take seconds to load.
# ruff: noqa: PLC0415

from __future__ import annotations

import argparse
import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from monai_supmix.cli.arguments import NEW_OPTIONS, build_parser, own_options
from monai_supmix.config.error_lines import told_mistake
from monai_supmix.config.find import find_bundle
from monai_supmix.config.importing import own_process, uncollected
from monai_supmix.config.overrides import split_flags, with_home
from monai_supmix.config.remedies import without_output_dir
from monai_supmix.errors import InputError, nearest

_INTERRUPTED = 130

Arguments: TypeAlias = argparse.Namespace
Pairs: TypeAlias = dict[str, str | None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: arguments without the program's name; those of the process by default.

    Returns:
        the exit status.
    """
    if argv is None:
        own_process()
    try:
        return _dispatch([with_home(word) for word in (sys.argv[1:] if argv is None else argv)])
    except KeyboardInterrupt:
        print("interrupted: no checkpoint is written; what is finished stands", file=sys.stderr)
        return _INTERRUPTED
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except Exception as error:
        return told_mistake(error)


def _dispatch(argv: Sequence[str]) -> int:
    pairs, rest = split_flags(argv, own_options(argv))
    _refuse_misspelt(argv, pairs, rest)
    if rest and rest[0] in ("train", "evaluate", "inference"):
        raise InputError("command line", f"{rest[0]!r} is no command", f"write run BUNDLE {rest[0]}")
    arguments = build_parser().parse_args(rest)
    if arguments.command in (None, *_WITHOUT_CONFIGURATION):
        _refuse_overrides(arguments.command, pairs)
    if arguments.command is None:
        *others, last = _COMMANDS
        raise InputError("command line", "names no command", f"use {', '.join(others)} or {last}, or --help")
    if sys.stderr.isatty() and os.environ.get("RANK", "0") == "0":  # some seconds in which nothing else is told
        print("loading PyTorch and MONAI ...", file=sys.stderr, flush=True)
    return _COMMANDS[arguments.command](arguments, pairs)


def _refuse_misspelt(argv: Sequence[str], pairs: Pairs, rest: Sequence[str]) -> None:
    """Raise `InputError` where an option that a command cannot do without is missing, and another is almost it."""
    given = {word.partition("=")[0].lstrip("-").replace("-", "_") for word in rest if word.startswith("-")}
    if given & {"help", "h"}:
        return
    missing = [name for name in _REQUIRED if name in own_options(argv) and name not in given]
    for name in pairs:
        if near := difflib.get_close_matches(name, missing, n=1, cutoff=0.8):
            raise InputError(f"--{name}", "is not an option here", f"did you mean --{near[0]}?")


def _refuse_overrides(command: str | None, pairs: Pairs) -> None:
    """Raise `InputError` where a command that runs no configuration is given one of its keys."""
    for name in pairs:
        known = NEW_OPTIONS if command == "new" else ()
        raise InputError(f"--{name}", "is not an option here", nearest(name, known, "leave it out", "--{}"))


def _run(arguments: Arguments, pairs: Pairs) -> int:
    if arguments.folds is None and arguments.fold is not None:
        raise InputError("--fold", "is one of several", "give their number, for example --folds 5")
    if arguments.folds is not None:
        with uncollected():
            from monai_supmix.experiments.folds import run_folds
            from monai_supmix.experiments.plan import Plan

        plan = Plan(arguments.bundle, pairs, arguments.config, arguments.preset, arguments.tracking)
        return run_folds(plan, arguments.folds, arguments.fold, arguments.method)
    from monai_supmix.cli.workflow import configure

    chosen = (arguments.method, arguments.preset, arguments.tracking)
    configure(arguments.bundle, arguments.config, pairs, *chosen).run()
    return 0


def _compare(arguments: Arguments, pairs: Pairs) -> int:
    with uncollected():
        from monai_supmix.experiments.comparison import compare
        from monai_supmix.experiments.plan import Plan

    plan = Plan(arguments.bundle, pairs, preset=arguments.preset)
    chosen = (arguments.methods, arguments.seeds, Path(arguments.output_dir), arguments.folds, arguments.keep)
    return compare(plan, *chosen)


def _check(arguments: Arguments, pairs: Pairs) -> int:
    from monai_supmix.cli.workflow import configure

    positional = [*([arguments.bundle] if arguments.bundle else []), *arguments.config]
    if arguments.named_bundle:
        positional.insert(0, arguments.named_bundle)
    if not positional:
        raise InputError("command line", "names no bundle", "give its folder or name")
    bundle, *configs = positional
    configured = configure(bundle, configs or ["train"], pairs, arguments.method, arguments.preset)
    from monai_supmix.cli.check import check

    return check(configured)


def _predict(arguments: Arguments, pairs: Pairs) -> int:
    from monai_supmix.cli.workflow import configure, name_inputs, own_weights

    configured = configure(arguments.bundle, ["inference"], pairs, preset=arguments.preset)
    name_inputs(configured, arguments.input, arguments.output_dir)
    own_weights(configured)
    configured.run()
    return 0


def _suggest(arguments: Arguments, pairs: Pairs) -> int:
    with uncollected():
        from monai_supmix.labelling import suggest

    output = Path(arguments.output_dir)
    return suggest(arguments.bundle, pairs, arguments.count, output, arguments.unit, arguments.preset)


def _collect(arguments: Arguments, _pairs: Pairs) -> int:
    with uncollected():
        from monai_supmix.inferers import collect

    output_dir = Path(arguments.output_dir)
    with without_output_dir():
        summary = collect(arguments.output_dir)
    print(", ".join(f"{summary[key]} {key}" for key in ("cases", "done", "failed", "open")))
    return _written(output_dir / name for name in ("summary.json", summary["table"]))


def _new(arguments: Arguments, _pairs: Pairs) -> int:
    with uncollected():
        from monai_supmix.cli.new import new

    return new(arguments)


def _export(arguments: Arguments, pairs: Pairs) -> int:
    from monai_supmix.cli.export import export
    from monai_supmix.cli.workflow import configure

    configured = configure(arguments.bundle, ["inference"], pairs, preset=arguments.preset)
    return _written(export(configured, arguments.format, arguments.output_dir, arguments.case))


def _install(arguments: Arguments, _pairs: Pairs) -> int:
    with uncollected():
        from monai_supmix.weights import install_weights

    with without_output_dir():
        return _written(install_weights(arguments.source, find_bundle(arguments.bundle)))


def _audit(arguments: Arguments, _pairs: Pairs) -> int:
    from monai_supmix.cli.audit import audit

    return audit(find_bundle(arguments.bundle), arguments.all)


def _written(paths: Iterable[Path]) -> int:
    for path in paths:
        print(f"written: {path}")
    return 0


_COMMANDS: dict[str, Callable[[Arguments, Pairs], int]] = {
    "run": _run,
    "compare": _compare,
    "check": _check,
    "predict": _predict,
    "suggest": _suggest,
    "collect": _collect,
    "new": _new,
    "export": _export,
    "install": _install,
    "audit": _audit,
}
_REQUIRED = ("output_dir", "count", "methods")  # of the commands that have them
_WITHOUT_CONFIGURATION = ("collect", "new", "install", "audit")


if __name__ == "__main__":
    sys.exit(main())
