"""What to label next: the unlabelled cases ranked, and the list of labelled cases that a training takes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from monai_supmix.bundle.lock import exclusive
from monai_supmix.bundle.trained import Trained
from monai_supmix.cli.workflow import Configured, configure, merge, own_weights
from monai_supmix.config.error_lines import mistakes_as_themselves
from monai_supmix.config.find import config_files, find_bundle
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.fingerprint import fingerprint
from monai_supmix.errors import InputError
from monai_supmix.experiments.evaluation import applies_to, preset_for
from monai_supmix.experiments.plan import Plan, require_one_process
from monai_supmix.experiments.trial import read_datalist
from monai_supmix.files import make_directory
from monai_supmix.inferers.progress import FIRST, INTERVAL
from monai_supmix.labelling.choice import choose
from monai_supmix.labelling.scoring import Scorer
from monai_supmix.labelling.writing import KEPT, Suggestions
from monai_supmix.listing import counted, shorten
from monai_supmix.report import HISTORY_NAME, read_history

_OF_WEIGHTS = ("ckpt_path", "run_dir")
_OF_MASKS = ("overwrite", "verify", "shard", "readers", "probabilities", "dicom_seg", "dicom_codes", "view")


def suggest(
    bundle: str,
    pairs: Mapping[str, str | None],
    count: int,
    output: Path,
    unit: str = "patient",
    preset: str | None = None,
) -> int:
    """Rank the unlabelled cases of a bundle's training and print what to label next.

    The folder gets ``labeled_list.txt`` (the cases that are labelled and those to label, for the option
    ``labeled_list``), ``suggestions.csv`` (all cases by rank), ``suggestions.html``, and ``cases`` with the score and
    the picture of each case, which are not made again; for a bundle with a list of cases of its own also
    ``test_list.txt``, by which ``new`` keeps the test as it is.

    Args:
        bundle: folder or name of the bundle.
        pairs: options as written on the command line, of ``train.json`` (which cases there are) or ``inference.json``
            (which weights predict them).
        count: how many patients or cases to suggest.
        output: the folder.
        unit: ``"patient"``: all cases of a patient together; ``"case"``: single ones.
        preset: name or path of a preset.

    Returns:
        exit status: 0, or 1 when broken cases were left out.

    Raises:
        InputError: no weights, no unlabelled cases or fewer than asked for, or a mistake in data or configuration.

    Example:
        >>> suggest("chase_supmix", {"dataset_dir": "DATA"}, count=0, output=Path("suggestions"))
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: --count: is 0: give 1 or more
    """
    if count < 1:
        raise InputError("--count", f"is {count}", "give 1 or more")
    require_one_process("suggest")
    training, prediction = configured_for(bundle, pairs, output, preset)
    scorer = make_scorer(prediction)
    datalist, problems = read_datalist(training)
    scorer.trained.require_classes(datalist.class_names)
    pool = _pool(datalist, count, unit == "patient")
    notes = [*datalist.notes, *_seen_before(scorer.trained, pool)]
    make_directory(output / KEPT)
    with exclusive(output):
        files = fingerprint(replace(datalist, unlabeled=pool))["files"]
        items = [*pool, *datalist.labeled]
        counts = f"{len(pool)} unlabelled and {len(datalist.labeled)} labelled"
        print(f"scoring {counts} images with the weights {scorer.weights}", flush=True)
        scores = [scorer.kept(item, files[item["case"]], output / KEPT) for item in _progress(items)]
        units = choose(scores[: len(pool)], scores[len(pool) :], count, unit == "patient")
        suggestions = Suggestions(bundle, datalist, units, notes, scorer, preset)
        for line in (*suggestions.write(output, training), *suggestions.next_steps(output, training)):
            print(line)
    return int(bool(problems))


def _progress(items: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Hand on items: a bar on a terminal, a line now and then elsewhere."""
    bar = tqdm(items, "scoring", disable=None)  # hidden unless on a terminal
    due = time.monotonic() + FIRST
    for done, item in enumerate(bar):
        if bar.disable and time.monotonic() >= due:
            print(f"{done} of {len(items)} scored", flush=True)
            due = time.monotonic() + INTERVAL
        yield item


def configured_for(
    bundle: str, pairs: Mapping[str, str | None], output: Path, preset: str | None = None
) -> tuple[Configured, Configured]:
    """Configure the training that knows the cases, and the inference that predicts them.

    Args:
        bundle: see `suggest`.
        pairs: see `suggest`.
        output: see `suggest`.
        preset: see `suggest`; inference takes it where it changes something there.

    Raises:
        InputError: a wrong option, or one that belongs to the writing of masks.

    Example:
        >>> pairs = {"num_labeled": "7", "tta": "true", "device": "cpu"}
        >>> training, prediction = configured_for("acdc_supmix", pairs, Path("suggestions"))
        >>> sorted(training.overrides.keys() & pairs), sorted(prediction.overrides.keys() & pairs)
        (['device', 'num_labeled'], ['device', 'tta'])
    """
    if idle := [key for key in pairs if key in _OF_MASKS]:
        raise InputError(f"--{idle[0]}", "is about masks, and none are written", "leave it out")
    folder = find_bundle(bundle)
    plan, inference = Plan(bundle, pairs, preset=preset), merge(config_files(folder, ["inference"]))
    of_weights = {key: text for key, text in pairs.items() if key in _OF_WEIGHTS}
    shared = {key: text for key, text in pairs.items() if key not in of_weights}
    for_training = {k: text for k, text in shared.items() if k in plan.merged or not applies_to(k, inference)}
    own = {key: text for key, text in shared.items() if applies_to(key, inference) and key != "dataset_dir"}
    training = Plan(bundle, {**for_training, "output_dir": str(output)}, preset=preset).training()
    prediction = configure(bundle, ["inference"], {**own, **of_weights}, preset=preset_for(folder, "inference", preset))
    prediction.overrides["output_dir"] = str(output)
    own_weights(prediction)
    return training, prediction


def make_scorer(prediction: Configured) -> Scorer:
    """Load the weights, and make what predicts with them.

    A single network is also asked in a second way, with the views of the configuration's ``tta`` or without them.

    Args:
        prediction: the configured inference.

    Raises:
        InputError: there are no weights, or wrong ones.
    """
    parser = prediction.parser()
    with mistakes_as_themselves():
        trained: Trained = parser.get_parsed_content("trained")
        wanted = parser.get_parsed_content("intensity") if "intensity" in parser else None
        parser["trained"] = trained  # the second inferer needs no second loading
        inferer, second = parser.get_parsed_content("inferer"), None
        if "tta" in parser and not trained.others:
            parser["tta"] = not parser.get_parsed_content("tta")
            second = parser.get_parsed_content("inferer")
            second = None if second.settings == inferer.settings else second
    for predictor in (inferer, second):
        if predictor is not None:
            predictor.progress = False
    return Scorer(trained, inferer, second, trained.intensity_rules(wanted))


def _pool(datalist: Datalist, count: int, by_patient: bool) -> list[dict[str, Any]]:
    """The cases to choose from; with ``unlabeled_pool="all"`` labelled ones are among the unlabelled."""
    labelled = {item["case"] for item in datalist.labeled}
    pool = [item for item in datalist.unlabeled if item["case"] not in labelled]
    if not pool:
        remedy = "add images without labels, or lower num_labeled"
        raise InputError("dataset_dir", "holds no unlabelled case to choose from", remedy)
    units = len({item["group" if by_patient else "case"] for item in pool})
    if count > units:
        noun = "patient" if by_patient else "case"
        problem = f"is {count}, and the unlabelled cases are of {counted(units, noun)}"
        raise InputError("--count", problem, f"give 1 to {units}")
    return pool


def _seen_before(trained: Trained, pool: Sequence[Mapping[str, Any]]) -> list[str]:
    """A note where the weights were trained on labels of the pool, as far as the record of their training tells."""
    trained_on: set[str] = set()
    for path in (trained.path, *trained.others):
        with contextlib.suppress(InputError):  # none, or of another version: it tells nothing
            sides = read_history(path.parent / HISTORY_NAME)["data"]["sides"]
            trained_on |= set(sides.get("labelled", {}).get("cases", ()))
    learnt = [item["case"] for item in pool if item["case"] in trained_on]
    if not learnt:
        return []
    return [
        f"the weights were trained on labels of {counted(len(learnt), 'case')} of the pool, and are too sure of them: "
        f"{shorten(learnt, 3)}; give the options of that training, such as num_labeled"
    ]
