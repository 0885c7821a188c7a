"""An intensity rule fitted to an image, or the image named that it does not suit."""

from __future__ import annotations

from typing import Any

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.transforms.intensity import IntensityRule


def fit_intensity(image: CaseImage, intensity: IntensityRule) -> dict[str, Any]:
    """Fit an intensity rule to a whole image.

    Args:
        image: the image.
        intensity: the rule.

    Returns:
        what the rule needs to know to be applied to parts of the image.

    Raises:
        InputError: the rule does not apply, for example because a fundus picture is black.
    """
    try:
        return intensity.fit(image.values())
    except ValueError as error:
        remedy = "leave the image out, or give one of the kind that the rule is for"
        raise InputError(image.path, f"the intensity rule does not apply ({error})", remedy) from error
