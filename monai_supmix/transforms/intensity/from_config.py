"""Rules as plain dictionaries, and the transform that applies one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform
from monai.utils.type_conversion import convert_data_type, convert_to_dst_type

from monai_supmix.errors import InputError
from monai_supmix.transforms.intensity.hu_window import HUWindow
from monai_supmix.transforms.intensity.lit_area import FieldOfViewScale
from monai_supmix.transforms.intensity.percentile_scale import PercentileScale
from monai_supmix.transforms.intensity.rule import IntensityRule

_RULES: dict[str, type[IntensityRule]] = {rule.name: rule for rule in (HUWindow, PercentileScale, FieldOfViewScale)}


def intensity_rule(config: Mapping[str, Any]) -> IntensityRule:
    """Make the rule that a plain dictionary describes.

    Args:
        config: the rule's name under ``rule`` and any of its settings.

    Returns:
        the rule; ``intensity_rule(rule.to_dict()) == rule``.

    Raises:
        InputError: when there is no such rule or setting, or a setting has an impossible value.

    Example:
        >>> intensity_rule({"rule": "hu_window", "low": -1000, "high": 400})
        HUWindow(low=-1000, high=400)
    """
    settings = dict(config)
    name = settings.pop("rule", None)
    if name not in _RULES:
        raise InputError("intensity", f"no rule is called {name!r}", f"use one of {', '.join(_RULES)}")
    known = [field.name for field in fields(_RULES[name])]  # type: ignore[arg-type]  # the rules are dataclasses
    if unknown := [key for key in settings if key not in known]:
        raise InputError("intensity", f"{name} has no setting {unknown[0]!r}", f"use {', '.join(known)}")
    try:
        return _RULES[name](**settings)
    except (TypeError, ValueError) as error:
        raise InputError("intensity", f"{name}: {error}", "correct the setting") from error


class ApplyIntensityRuled(MapTransform):
    """Apply an intensity rule to the images of a dictionary, each fitted on itself as a whole.

    Args:
        keys: keys of raw images of any shape that the rule takes; arrays, tensors or MetaTensors. They come
            back as the same kind in float32.
        rule: a rule, or the dictionary that describes it.
        allow_missing_keys: whether a missing key is passed over instead of raising ``KeyError``.

    Raises:
        InputError: when the dictionary describes no rule.

    Example:
        >>> window = ApplyIntensityRuled("image", {"rule": "hu_window", "low": -1000, "high": 0})
        >>> window({"image": np.array([[-500, 0]], dtype=np.int16)})["image"]
        array([[0.5, 1. ]], dtype=float32)
    """

    def __init__(
        self,
        keys: KeysCollection,
        rule: IntensityRule | Mapping[str, Any],
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.rule = rule if isinstance(rule, IntensityRule) else intensity_rule(rule)

    def __call__(self, data: Mapping[Any, Any]) -> dict[Any, Any]:
        """Scale the images under ``keys`` to [0, 1]."""
        item = dict(data)
        for key in self.key_iterator(item):
            raw = convert_data_type(item[key], np.ndarray)[0]
            item[key] = convert_to_dst_type(self.rule(raw), dst=item[key], dtype=np.float32)[0]
        return item


ApplyIntensityRuleD = ApplyIntensityRuleDict = ApplyIntensityRuled
