"""Intensity rules: how raw values become the [0, 1] that the networks take.

A rule first looks at a whole image or volume (:meth:`IntensityRule.fit`: a few numbers), and is then applied
to any part of it (:meth:`IntensityRule.apply`), so that a slice of a volume is scaled like the volume. Rules
are plain dictionaries in configurations and beside the weights (:meth:`IntensityRule.to_dict`,
:func:`intensity_rule`).
"""

from monai_supmix.transforms.intensity.from_config import (
    ApplyIntensityRuleD,
    ApplyIntensityRuled,
    ApplyIntensityRuleDict,
    intensity_rule,
)
from monai_supmix.transforms.intensity.hu_window import HUWindow
from monai_supmix.transforms.intensity.lit_area import FieldOfViewScale, field_of_view
from monai_supmix.transforms.intensity.percentile_scale import PercentileScale, percentiles_of
from monai_supmix.transforms.intensity.rule import IntensityRule

__all__ = [
    "ApplyIntensityRuleD",
    "ApplyIntensityRuleDict",
    "ApplyIntensityRuled",
    "FieldOfViewScale",
    "HUWindow",
    "IntensityRule",
    "PercentileScale",
    "percentiles_of",
    "field_of_view",
    "intensity_rule",
]
