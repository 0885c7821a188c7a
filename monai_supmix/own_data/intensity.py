"""How raw values become the network's [0, 1]: a window for CT, percentiles or the lit area for all else."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.listing import shorten
from monai_supmix.own_data.choice import Choice
from monai_supmix.transforms.intensity import FieldOfViewScale, HUWindow, PercentileScale

# Windows of radiology in HU, the narrowest first.
_WINDOWS = {
    "soft tissue": HUWindow(-160.0, 240.0),
    "lung": HUWindow(),
    "bone": HUWindow(-500.0, 1300.0),
}
_SCANNER = HUWindow(-1024.0, 3071.0)  # all that a scanner gives
_TOO_WIDE = 2.5  # a usual window this many times wider than what is labelled shows it in few greys
_AROUND = (-100.0, 100.0)  # soft tissue, which shows where something is
_NARROW = 400.0  # no window of our own is narrower
_LOW = -500.0  # only CT has values this low
_NO_CT = 65536.0  # files of CT have 16 bits
INTENSITIES = ("hu", "picture", "field_of_view")


class ProposedRule(NamedTuple):
    """A proposed rule.

    Args:
        settings: the setting ``intensity_settings``.
        intensity: the setting ``intensity``; ``None`` where the type of file is enough.
        choice: the rule in words, and the reason.
    """

    settings: dict[str, dict[str, Any]]
    intensity: str | None
    choice: Choice


def rule_for_pictures(in_dark_surround: int, count: int, wanted: str | None = None) -> ProposedRule:
    """The rule for pictures: that for fundus pictures where most of them look like some, else percentiles.

    Args:
        in_dark_surround: number of colour pictures with a lit area in a dark surround.
        count: number of pictures.
        wanted: ``"field_of_view"`` or ``"picture"`` if the user says which rule to take.

    Example:
        >>> rule_for_pictures(in_dark_surround=9, count=10).settings
        {'picture': {'rule': 'field_of_view_scale'}}
        >>> rule_for_pictures(in_dark_surround=9, count=10, wanted="picture").settings["picture"]["rule"]
        'percentile_scale'
    """
    if wanted == "picture" or (wanted is None and 2 * in_dark_surround <= count):
        why = "pictures have no physical unit"
        if in_dark_surround:
            why += f" ({in_dark_surround} of {count} have a lit area in a dark surround)"
        return _percentiles("of each picture", "as asked for" if wanted else why, None)
    number = f"all {count}" if in_dark_surround == count else f"{in_dark_surround} of {count}"
    why = f"{number} are colour pictures with a lit area in a dark surround, as fundus cameras give"
    if wanted:
        why = "as asked for"
    choice = Choice("intensity", "every channel standardised inside the lit area", why)
    return ProposedRule({"picture": {"rule": FieldOfViewScale.name}}, None, choice)


def rule_for_volumes(
    lowest: Sequence[float],
    values: Mapping[int, np.ndarray],
    class_names: Sequence[str],
    channel: str = "",
    wanted: str | None = None,
) -> ProposedRule:
    """The rule for volumes: a window for CT, percentiles of each volume for all else.

    Args:
        lowest: smallest value of each volume.
        values: values under each class.
        class_names: names of the classes.
        channel: what dataset.json calls the channel.
        wanted: ``"hu"`` or ``"picture"`` if the user says what the values are.

    Example:
        >>> liver = {0: np.array([-900.0]), 1: np.linspace(30, 120, 99)}
        >>> rule = rule_for_volumes([-1024.0], liver, ["background", "liver"])
        >>> rule.settings, rule.choice.value
        ({'hu': {'rule': 'hu_window', 'low': -160.0, 'high': 240.0}}, 'HU, soft tissue window -160 to 240')
        >>> rule_for_volumes([0.0], {}, ["background", "tumour"]).intensity
        'picture'
    """
    begin = float(np.median(lowest))
    if wanted == "picture":
        return _percentiles("of each volume", "as asked for", "picture")
    if wanted is None and begin > _LOW and not (channel.upper() == "CT" and begin < 0):
        why = f"values begin at {begin:g}: not in HU, which go down to -1000 in air"
        return _percentiles("of each volume", why, "picture")
    unit = "as asked for" if wanted else f"values begin at {begin:g}"
    if channel and not wanted:
        unit = "dataset.json says CT" if channel.upper() == "CT" else f"{unit}, although dataset.json says {channel}"
    ends = [np.percentile(under, (5, 95)) for value, under in values.items() if value > 0]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    name, window = window_for(low, high)
    names = shorten([class_names[value] for value in sorted(values) if value > 0], 6)
    kind = "the labelled and the soft tissue, with a margin" if name == "own" else "the narrowest usual window"
    why = f"HU ({unit}); {kind}: nine tenths of {names} lie in {low:.0f} to {high:.0f}"
    choice = Choice("intensity", f"HU, {name} window {window.low:g} to {window.high:g}", why)
    return ProposedRule({"hu": window.to_dict()}, None, choice)


def other_scales(lowest: Mapping[str, float], highest: Mapping[str, float]) -> list[str]:
    """Warnings where most volumes begin at air, as CT does, and a few do not or have values that no CT has.

    Args:
        lowest: smallest value of each volume, by case.
        highest: largest value of each volume, by case.

    Example:
        >>> usual = {"a": 1500.0, "b": 1500.0, "c": 1500.0}
        >>> other_scales({"a": -1024.0, "b": -1024.0, "c": 0.0}, usual)[0].partition(":")[0]
        'values of c begin above -500, those of the others at air (-1024)'
        >>> other_scales({"a": -1024.0, "b": -1024.0, "c": -1024.0}, {**usual, "b": 3e30})[0].partition(":")[0]
        'values of b reach 3e+30, which no CT has'
        >>> other_scales({"a": 0.0, "b": 0.0, "c": -1024.0}, usual), other_scales({}, {})
        ([], [])
    """
    if not lowest or (begin := float(np.median(list(lowest.values())))) > _LOW:
        return []
    warnings = []
    if odd := [case for case, low in lowest.items() if low > _LOW]:
        problem = f"begin above {_LOW:g}, those of the others at air ({begin:g})"
        remedy = "if they are not cut out of larger volumes, they are not in HU, so store them like the others"
        warnings.append(f"values of {shorten(odd)} {problem}: {remedy}")
    furthest = {case: max((low, highest[case]), key=abs) for case, low in lowest.items()}
    if beyond := {case: value for case, value in furthest.items() if abs(value) > _NO_CT}:
        problem = f"reach {max(beyond.values(), key=abs):.3g}, which no CT has"
        warnings.append(f"values of {shorten(list(beyond))} {problem}: export them again, or leave them out")
    return warnings


def window_for(low: float, high: float) -> tuple[str, HUWindow]:
    """The window that shows a range of Hounsfield units, and what radiology calls it.

    It is the narrowest usual one that holds the range, unless that is far wider than the range and the soft tissue
    around it; then these, with a margin.

    Args:
        low: lower end of the range.
        high: upper end.

    Returns:
        the name, ``"own"`` for a window of the range itself, and the window.

    Example:
        >>> window_for(-700, 100), window_for(-1005, 672)
        (('lung', HUWindow(low=-1250.0, high=250.0)), ('own', HUWindow(low=-1024.0, high=760.0)))
    """
    inner = low, high
    low, high = min(low, _AROUND[0]), max(high, _AROUND[1])
    margin = max(0.05 * (high - low), (_NARROW - (high - low)) / 2)
    least = max(_SCANNER.low, 10.0 * math.floor((low - margin) / 10))
    most = min(_SCANNER.high, 10.0 * math.ceil((high + margin) / 10))
    for name, window in _WINDOWS.items():
        if window.low <= inner[0] and inner[1] <= window.high:
            if window.high - window.low <= _TOO_WIDE * (most - least):
                return name, window
            break
    return "own", HUWindow(least, most)


def check_wanted(wanted: str | None, pictures: bool | None = None, channels: int | None = None) -> None:
    """Raise `InputError` for an unknown wish, or one that the images cannot fulfil.

    Args:
        wanted: what the user says; ``None`` leaves it to the images.
        pictures: whether images are pictures, as far as it is known.
        channels: of an image, as far as it is known.

    Example:
        >>> check_wanted("hu", pictures=True)
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: --intensity: is 'hu', and the images are pictures: ...
    """
    if wanted is not None and wanted not in INTENSITIES:
        raise InputError("--intensity", f"is {wanted!r}", f"give {', '.join(INTENSITIES)}, or leave it out")
    if wanted == "hu" and pictures:
        raise InputError("--intensity", "is 'hu', and the images are pictures", "leave it out, or give volumes in HU")
    if wanted == "field_of_view" and (pictures is False or channels == 1):
        kind = "volumes" if pictures is False else "grey"
        raise InputError("--intensity", f"is 'field_of_view', and the images are {kind}", "leave it out")


def _percentiles(of: str, why: str, intensity: str | None) -> ProposedRule:
    rule = PercentileScale()
    value = f"from the {rule.lower}th to the {rule.upper}th percentile {of}"
    return ProposedRule({"picture": rule.to_dict()}, intensity, Choice("intensity", value, why))
