"""What values the settings of a bundle can take, so that a typing mistake is reported before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple


class Expected(NamedTuple):
    """A condition on a value, and the words for it."""

    fits: Callable[[Any], bool]
    words: str


def _whole(least: int, none: bool = False) -> Expected:
    words = f"a whole number of at least {least}{' or null' if none else ''}"
    return Expected(lambda v: (none and v is None) or (type(v) is int and v >= least), words)


def _one_of(*choices: Any) -> Expected:
    words = " or ".join("null" if c is None else str(c).lower() if isinstance(c, bool) else repr(c) for c in choices)
    return Expected(lambda v: any(v is c or (isinstance(c, str) and v == c) for c in choices), words)


def _is_names(value: Any) -> bool:
    """Names may be numbers: cases are often called 1, 2, 3."""
    return isinstance(value, (list, tuple)) and all(type(entry) in (str, int) for entry in value)


def _is_part(text: str) -> bool:
    """Whether a text is ``i/n`` with i from 1 to n."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    return match is not None and 1 <= int(match[1]) <= int(match[2])


NAMES = ("labeled_list", "test_list")
"""Settings that name cases: a list, one name, or a text file of them."""


_TEXT = Expected(lambda v: isinstance(v, str) and v != "", "a path")
_PATHS = Expected(lambda v: (isinstance(v, str) and v != "") or (_is_names(v) and len(v) > 0), "a path")
_NAME = Expected(lambda v: isinstance(v, str) and v != "", "a name")
_BOOL = Expected(lambda v: isinstance(v, bool), "true or false")
_DEVICE = Expected(
    lambda v: isinstance(v, str) and re.fullmatch(r"(cpu|cuda|mps|xpu)(:\d+)?", v) is not None,
    "cpu, cuda, cuda:0, mps or xpu",
)

# Ids that every bundle of this package has; a setting that is a dictionary in a bundle is none of these.
SETTINGS: dict[str, Expected] = {
    "bundle_root": _TEXT,
    "dataset_dir": _PATHS,
    "output_dir": _TEXT,
    "ckpt_path": Expected(
        lambda v: v is None or isinstance(v, str) or (isinstance(v, (list, tuple)) and all(map(_TEXT.fits, v))),
        "a path, a list of paths or null",
    ),
    "pretrained": Expected(lambda v: v is None or isinstance(v, str), "the name of weights or null"),
    "tracking_uri": _TEXT,
    "run_name": _NAME,
    "method": _NAME,
    "device": _DEVICE,
    "amp": _one_of("auto", True, False, "bf16", "fp16"),
    "seed": _whole(0),
    "num_workers": _whole(0),
    "multi_gpu": _BOOL,
    "max_epochs": _whole(1),
    "max_iterations": _whole(1, none=True),
    "num_labeled": _whole(1, none=True),
    "labeled_seed": _whole(0, none=True),
    **dict.fromkeys(
        NAMES,
        Expected(
            lambda v: v is None or type(v) in (str, int) or _is_names(v),
            "a list of names, a text file of them or null",
        ),
    ),
    "num_val_patients": _whole(0),
    "unlabeled_pool": _one_of("rest", "all"),
    "resume": _one_of(False, "auto", "force"),
    "save_interval": _whole(1),
    "teacher_momentum": Expected(
        lambda v: v is None or (type(v) in (int, float) and 0 <= v < 1), "a number in [0, 1), such as 0.99, or null"
    ),
    "save": _one_of("student", "teacher"),
    "sufd_weight": Expected(lambda v: type(v) in (int, float) and 0 <= v < float("inf"), "a number of at least 0"),
    "val_interval": _whole(1),
    "num_monitored": _whole(0),
    "log_interval": _whole(1),
    "tensorboard": _BOOL,
    "save_execute_config": Expected(
        lambda v: v is None or isinstance(v, bool) or (isinstance(v, str) and v != ""), "true, false or a path"
    ),
    "labeled_batch_size": _whole(1),
    "unlabeled_batch_size": _whole(1),
    "overwrite": _BOOL,
    "on_error": _one_of("raise", "skip"),
    "verify": _BOOL,
    "shard": Expected(
        lambda v: v is None or (isinstance(v, str) and _is_part(v)),
        "i/n with i from 1 to n, such as 2/8, or null",
    ),
    "readers": _whole(1),
    "self_training::networks": Expected(
        lambda v: (
            (type(v) is int and v >= 1)
            or (isinstance(v, (list, tuple)) and len(v) > 0 and all(isinstance(own, Mapping) for own in v))
        ),
        "a number of networks, or a list with the entries of each, such as [{}, {'labeled_mixing#prob': 0.0}]",
    ),
    "tta": _BOOL,
    "dicom_seg": _one_of(True, False, "auto"),
    "rtstruct": _one_of(True, False, "auto"),
    "runtime": _one_of("torch", "openvino"),
    "intensity": _one_of(None, "hu", "picture"),
}


def is_dynamic(value: Any) -> bool:
    """Whether a value is a MONAI expression, reference or macro, known only when the configuration is parsed.

    Example:
        >>> is_dynamic("@seed"), is_dynamic("auto")
        (True, False)
    """
    return isinstance(value, str) and value[:1] in ("$", "@", "%")


def is_wiring(value: Any) -> bool:
    """Whether a value only says how parts are put together: a reference, an expression, or a list of nothing else.

    Example:
        >>> is_wiring("@network"), is_wiring(["$@training.run()"]), is_wiring(["image", "@key"]), is_wiring([])
        (True, True, False, False)
    """
    return is_dynamic(value) or (isinstance(value, list) and value != [] and all(is_wiring(part) for part in value))


def value_problem(key: str, value: Any, default: Any) -> str | None:
    """Say what is wrong with the value of a setting.

    Args:
        key: its id; known ids have a rule of their own, others must keep the type of their default.
        value: the value that a user gives.
        default: the value in the configuration.

    Returns:
        what is expected instead, in words, or ``None`` when all is well.

    Example:
        >>> value_problem("max_epochs", -3, 120)
        'a whole number of at least 1'
        >>> value_problem("optimizer#lr", "high", 0.01)
        'a number such as 0.01'
        >>> value_problem("optimizer#lr", 1, 0.01) is None
        True
    """
    if is_dynamic(value):
        return None
    is_setting = key in SETTINGS and not isinstance(default, Mapping)
    expected = SETTINGS[key] if is_setting else _like(default)
    return expected.words if expected is not None and not expected.fits(value) else None


def _like(default: Any) -> Expected | None:
    """A value of the same type as the default, or ``None`` where the default does not show it."""
    if default is None or is_dynamic(default):
        return None
    if isinstance(default, bool):
        return _BOOL
    if isinstance(default, Mapping):
        return Expected(lambda v: v is None or isinstance(v, Mapping), "a dictionary, or null")
    kinds: dict[type, tuple[tuple[type, ...], str]] = {
        int: ((int,), "a whole number"),
        float: ((int, float), "a number"),
        str: ((str,), "text"),
        list: ((list, tuple), "a list"),
    }
    accepted, words = kinds[type(default)]
    return Expected(lambda v: type(v) in accepted, f"{words} such as {default!r}")
