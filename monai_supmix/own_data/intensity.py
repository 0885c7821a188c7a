"""How raw values become the network's [0, 1]: a window for CT, percentiles or the lit area for all else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from monai_supmix.errors import InputError
from monai_supmix.own_data.choice import Choice
from monai_supmix.transforms.intensity import FieldOfViewScale, HUWindow, PercentileScale

# Windows of radiology in HU, the narrowest first; the last holds all that a scanner gives.
_WINDOWS = {
    "soft tissue": HUWindow(-160.0, 240.0),
    "lung": HUWindow(),
    "bone": HUWindow(-500.0, 1300.0),
    "full": HUWindow(-1024.0, 3071.0),
}
_LOW = -500.0  # only CT has values this low


class IntensityRule(NamedTuple):
    """A proposed rule.

    Args:
        settings: the setting ``intensity_settings``.
        intensity: the setting ``intensity``; ``None`` where the type of file is enough.
        choice: the rule in words, and the reason.
    """

    settings: dict[str, dict[str, Any]]
    intensity: str | None
    choice: Choice


def rule_for_pictures(dark_surround: bool) -> IntensityRule:
    """The rule for pictures.

    Args:
        dark_surround: whether all are colour pictures with a lit area in a dark surround.

    Example:
        >>> rule_for_pictures(dark_surround=True).settings
        {'picture': {'rule': 'field_of_view_scale'}}
    """
    if not dark_surround:
        return _percentiles("of each picture", "pictures have no physical unit", None)
    why = "colour pictures with a lit area in a dark surround, as fundus cameras give"
    choice = Choice("intensity", "every channel standardised inside the lit area", why)
    return IntensityRule({"picture": {"rule": FieldOfViewScale.name}}, None, choice)


def rule_for_volumes(
    lowest: Sequence[float],
    values: Mapping[int, np.ndarray],
    class_names: Sequence[str],
    channel: str = "",
    wanted: str | None = None,
) -> IntensityRule:
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
    unit = "as asked for" if wanted else f"dataset.json says {channel}" if channel else f"values begin at {begin:g}"
    ends = [np.percentile(under, (5, 95)) for value, under in values.items() if value > 0]
    low, high = min(low for low, _ in ends), max(high for _, high in ends)
    name = next((n for n, window in _WINDOWS.items() if window.low <= low and high <= window.high), "full")
    window = _WINDOWS[name]
    names = ", ".join(class_names[value] for value in sorted(values) if value > 0)
    why = f"HU ({unit}); the narrowest usual window with nine tenths of {names}, {low:.0f} to {high:.0f}"
    choice = Choice("intensity", f"HU, {name} window {window.low:g} to {window.high:g}", why)
    return IntensityRule({"hu": window.to_dict()}, None, choice)


def check_wanted(wanted: str | None, pictures: bool) -> None:
    """Raise `InputError` for an unknown wish, or one that the images cannot fulfil."""
    if wanted not in (None, "hu", "picture"):
        raise InputError("--intensity", f"is {wanted!r}", "give hu or picture, or leave it out")
    if wanted == "hu" and pictures:
        raise InputError("--intensity", "is 'hu', and the images are pictures", "leave it out, or give volumes in HU")


def _percentiles(of: str, why: str, intensity: str | None) -> IntensityRule:
    rule = PercentileScale()
    value = f"from the {rule.lower}th to the {rule.upper}th percentile {of}"
    return IntensityRule({"picture": rule.to_dict()}, intensity, Choice("intensity", value, why))
