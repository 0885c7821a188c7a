"""Cross-validation of a training: every labelled case judged by a network that has not seen its patient."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_supmix.bundle.closing import closing_lines
from monai_supmix.bundle.evaluation import describe
from monai_supmix.bundle.quality import write_quality
from monai_supmix.cli.workflow import Configured
from monai_supmix.config.comparison import comparable
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.folds import without_labels_of
from monai_supmix.errors import InputError
from monai_supmix.experiments.judged import Judged
from monai_supmix.experiments.plan import Plan, require_one_process
from monai_supmix.experiments.trial import Trial, check_trainable, contents, data_of, folds_of, read_datalist
from monai_supmix.files import write_json
from monai_supmix.handlers.checkpoints import compare_config, newest_intact, read_checkpoint
from monai_supmix.inferers.collecting import make_way
from monai_supmix.listing import read_json, shorten
from monai_supmix.metrics import summarize, write_cases_csv
from monai_supmix.metrics.calibration import LEAST_VALUES, Calibration, calibrate
from monai_supmix.weights import read_weights
from monai_supmix.weights.record import current_versions


def run_folds(plan: Plan, num_folds: int, only: int | None = None, method: str | None = None) -> int:
    """Train and evaluate every fold, write the figures of all labelled cases, then train on all of them.

    A fold lies in ``<output_dir>/<num_folds>_folds/fold_<k>``, the figures in the folder above it, and the final model
    in ``output_dir``, with ``quality.json`` where the folds tell what confidences are worth. What is finished stands;
    the rest goes on from its newest checkpoint.

    Args:
        plan: the bundle and its options.
        num_folds: how many folds.
        only: run this fold alone (from 1 on), and no final training.
        method: name or path of a method.

    Returns:
        exit status: 0, or 1 when broken cases were left out.

    Raises:
        InputError: too many folds, or a mistake in data or configuration.

    Example:
        >>> run_folds(Plan("chase_supmix", {"dataset_dir": "DATA"}), num_folds=5, only=6)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: --fold: is 6: give 1 to 5
    """
    if only is not None and not 1 <= only <= num_folds:
        raise InputError("--fold", f"is {only}", f"give 1 to {num_folds}")
    require_one_process("--folds")
    final = plan.training(method)
    datalist, problems = read_datalist(final)
    lists = folds_of(datalist, num_folds, final)
    check_trainable(lists, [final], "--folds")
    output = Path(final.parser().get_parsed_content("output_dir"))
    if only is None:
        _check_final(final, output)
    folder, files = output / f"{num_folds}_folds", contents(datalist)
    trials = [
        plan.trial(place, place / "datalist.json", data_of(fold, files), method)
        for place, fold in ((folder / f"fold_{number}", fold) for number, fold in enumerate(lists, 1))
    ]
    for number, (trial, fold) in enumerate(zip(trials, lists, strict=True), 1):
        if only in (None, number):
            _run_fold(trial, fold, f"fold {number} of {num_folds}")
    missing = [str(number) for number, trial in enumerate(trials, 1) if not trial.finished()]
    calibration = None
    if missing:
        print(f"no figures of all labelled cases yet: folds {', '.join(missing)} are missing")
    else:
        calibration = _write_figures(folder, trials, Judged(lists, num_folds))
    left_out = bool(problems)
    if only is None:
        print(f"final training on all {len(datalist.labeled)} labelled cases", flush=True)
        left_out |= _leaves_cases_out(final)
        if calibration is not None:
            record = read_weights(output / "model.pt").record or {}
            print(f"written: {write_quality(output, record, calibration)}", flush=True)
    return int(left_out)


def _run_fold(trial: Trial, datalist: Datalist, name: str) -> None:
    """Train and judge a fold unless that is done, and say so."""
    line = f"{name} judges {shorten(sorted(item['case'] for item in datalist.test))}"
    if trial.finished():
        print(f"{line}: finished")
        return
    print(*filter(None, [line, without_labels_of(datalist)]), sep="; ", flush=True)
    datalist.to_json(trial.folder / "datalist.json")
    trial.run()


def _leaves_cases_out(training: Configured) -> bool:
    """Run a training; whether it leaves out broken cases, as its exit status tells."""
    try:
        training.run()
    except SystemExit as end:
        if end.code != 1:
            raise
        return True
    return False


def _check_final(final: Configured, output: Path) -> None:
    """Refuse a folder with another training now, not when all folds are trained."""
    parser = final.parser()
    parser.parse()  # writes references as a run has them
    configuration = parser.get()
    path = newest_intact(output / "checkpoints").path if configuration.get("resume") == "auto" else None
    if path is None:
        return
    now = comparable(configuration) | {"total_iterations": configuration.get("max_iterations")}
    if now["total_iterations"] is None:
        del now["total_iterations"]  # known when the images are loaded
    saved = {key: value for key, value in read_checkpoint(path)["config"].items() if key in now}
    if saved.get("run") != now.get("run"):
        return  # a method of several trainings, which give the last one settings of its own
    if differing := compare_config(saved, now):
        key, (was, is_now) = next(iter(differing.items()))
        problem = f"belongs to a training with other settings ({key} was {was!r}, is {is_now!r})"
        raise InputError(path, problem, "give another output_dir")


def _write_figures(folder: Path, trials: Sequence[Trial], judged: Judged) -> Calibration | None:
    """Write and print the figures of all labelled cases; what their confidences are worth, if that can be told."""
    cases = judged.measures(trials)
    own = [read_json(trial.folder / "metrics.json") for trial in trials]
    summary = summarize(
        cases,
        judged.class_names,
        num_groups=len(set(judged.groups)),
        num_folds=len(trials),
        checkpoint_sha256=[metrics["checkpoint_sha256"] for metrics in own],
        settings=own[0]["settings"],
        notes=[*judged.notes, *judged.lone_classes(np.stack([case.counts for case in cases.values()]))],
        versions=current_versions(),
    )
    files = [folder / "metrics.json", folder / "cases.csv"]
    write_json(summary, files[0])
    make_way(folder)
    write_cases_csv(files[1], cases, judged.class_names, judged.about)
    lines = ["out of fold: each case judged by a network that has not seen its patient", *describe(summary)]
    lines += [f"note: {note}" for note in summary["notes"]]
    calibration = calibrate(cases.values(), own[0].get("inference"))
    if calibration is None:
        lines.append(f"no Dice is predicted for new masks: that takes {LEAST_VALUES} values of different confidence")
    else:
        lines.append(calibration.in_words())
    print(*lines, *closing_lines(folder, files), sep="\n", flush=True)
    return calibration
