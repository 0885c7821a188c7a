"""Checking a data set, or inputs for prediction, without training or predicting anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from monai_supmix.cli.workflow import Configured
from monai_supmix.config.error_lines import mistakes_as_themselves
from monai_supmix.data.intensity_fitting import fit_intensity
from monai_supmix.datalists.check import Problem, check_cases, check_sides, first_problem
from monai_supmix.datalists.datalist import Datalist, require_unlabeled
from monai_supmix.datalists.items import SIDES, sources
from monai_supmix.datalists.partly import KEY, refuse_unlearnable
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers.inputs import find_inputs
from monai_supmix.inferers.suitability import choose_intensity

_TRAINING = "train"  # a configuration with this section trains


def check(configured: Configured) -> int:
    """Read every file that a configuration would use, print a table of problems or a summary.

    Args:
        configured: the configuration.

    Returns:
        exit status 0.

    Raises:
        InputError: something is broken; the table of all problems is printed.
    """
    parser = configured.parser()
    needed = _TRAINING in parser and configured.uses_unlabeled()
    problems = _check_datalist(parser, needed) if "datalist" in parser else _check_inputs(parser)
    if problems:
        for line in table(problems):
            print(line)
        raise first_problem(problems)
    return 0


def _check_datalist(parser: Any, needs_unlabeled: bool) -> list[Problem]:
    datalist: Datalist = _part(parser, "found" if "found" in parser else "datalist")  # as found, before any check
    num_classes, channels = _part(parser, "num_classes"), _channels(parser)
    print(*datalist.describe(), sep="\n")
    problems = []
    if _TRAINING in parser:
        if needs_unlabeled:
            require_unlabeled(datalist)
        if not (parser.get("ckpt_path") or parser.get("pseudo_labels")):  # which may know of a class without labels
            refuse_unlearnable(datalist.labeled, datalist.class_names, KEY)
        loading = next((_part(parser, key) for key in ("loading", "train#preprocessing") if key in parser), None)
        problems += check_sides(datalist, num_classes, channels, getattr(loading, "fits", None))
        count = len(sources(item for side in SIDES for item in getattr(datalist, side)))
    else:
        problems += _check_weights(parser)
        problems += check_cases(datalist.test, num_classes, channels)
        count = len(datalist.test)
    if not problems:
        print("the case is fit for use" if count == 1 else f"all {count} cases are fit for use")
    return problems


def _check_inputs(parser: Any) -> list[Problem]:
    """Inputs of a prediction, against the weights that would predict them."""
    cases, notes = find_inputs(
        _part(parser, "inputs" if "inputs" in parser else "dataset")
    )  # as earlier bundles call it
    print(*(f"note: {note}" for note in notes), sep="\n", end="\n" if notes else "")
    problems = _check_weights(parser)
    record: Mapping[str, Any] | None = None
    if not problems and "trained" in parser:
        trained = _part(parser, "trained")
        record, network, inferer = trained.record, trained.network, _part(parser, "inferer")
        intensity = _part(parser, "intensity") if "intensity" in parser else None

    def fits(image: CaseImage) -> None:
        if record is not None:
            inferer.check(image, network)
            fit_intensity(image, choose_intensity(record, image, intensity)[1])

    items = [{"image": str(case.path), "case": case.name, "turns": case.turns, "mirror": case.mirror} for case in cases]
    # Two copies give two masks, and nobody is misled. There are no labels, so any number of classes will do.
    problems += check_cases(items, 1, _channels(parser), fits=fits, unique=False)
    if not problems:
        print("the image can be predicted" if len(items) == 1 else f"all {len(items)} images can be predicted")
    return problems


def _check_weights(parser: Any) -> list[Problem]:
    if "trained" not in parser:
        return []
    try:
        _part(parser, "trained")
    except InputError as error:
        return [Problem("weights", error)]
    return []


def _part(parser: Any, key: str) -> Any:
    """Make one part of the configuration."""
    with mistakes_as_themselves():
        return parser.get_parsed_content(key)


def _channels(parser: Any) -> int | None:
    channels = parser.get("network_def::in_channels")
    return channels if isinstance(channels, int) else None


def table(problems: list[Problem]) -> Iterator[str]:
    r"""Problems as rows of three columns.

    Example:
        >>> empty = InputError("a.png", "is empty (0 bytes)", "copy it again")
        >>> print(*table([Problem("a", empty)]), sep="\n")
        file   what is wrong       what to do
        a.png  is empty (0 bytes)  copy it again
    """
    rows = [("file", "what is wrong", "what to do")]
    rows += [(problem.error.subject, problem.error.problem, problem.error.remedy) for problem in problems]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        yield f"{row[0]:{widths[0]}}  {row[1]:{widths[1]}}  {row[2]}".rstrip()
