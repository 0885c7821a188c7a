"""How sure a network is of each class of its mask."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import nn

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers.filling import blank
from monai_supmix.inferers.protocol import Inferer
from monai_supmix.metrics.calibration import Calibration
from monai_supmix.transforms.intensity import IntensityRule


def predict_with_confidence(
    inferer: Inferer,
    image: CaseImage,
    network: nn.Module,
    intensity: IntensityRule,
    num_classes: int,
    probabilities: np.ndarray | None = None,
    uncleaned: np.ndarray | None = None,
) -> tuple[np.ndarray, list[float | None] | None]:
    """Predict an image, and tell how sure the network is of each class.

    Args:
        inferer: predicts it.
        image: the image.
        network: the network.
        intensity: the rule of its values.
        num_classes: how many classes there are, background among them.
        probabilities: as the inferer takes it.
        uncleaned: likewise; a custom inferer that does not take it leaves it as it is.

    Returns:
        the mask, and what `mean_confidence` gives; None for a custom inferer that takes no ``confidence``.

    Example:
        >>> import torch
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> from monai_supmix.transforms import PercentileScale
        >>> network = nn.Conv2d(1, 2, 1)
        >>> _ = nn.init.zeros_(network.weight), nn.init.zeros_(network.bias)
        >>> image = CaseImage.from_array(np.zeros((1, 4, 4), np.uint8))
        >>> predict_with_confidence(SliceVolumeInferer(), image, network, PercentileScale(), num_classes=2)[1]
        [None, None]
    """
    taken = inspect.signature(inferer.__call__).parameters
    confidence = blank(image) if "confidence" in taken else None
    given = {"confidence": confidence, "uncleaned": uncleaned}
    more: dict[str, Any] = {name: array for name, array in given.items() if name in taken and array is not None}
    mask = inferer(image, network, intensity, probabilities, **more)
    return mask, None if confidence is None else mean_confidence(mask, confidence, num_classes)


def mean_confidence(mask: np.ndarray, confidence: np.ndarray, num_classes: int) -> list[float | None]:
    """Mean probability of each class where it is in the mask.

    Args:
        mask: label map.
        confidence: of the same shape, probability of the most probable class in units of 1/255; of no meaning where
            that is the background.
        num_classes: how many classes there are.

    Returns:
        one number in [0, 1] for each class, three decimals; None for the background, and for classes that the mask
        has not.

    Example:
        >>> mean_confidence(np.array([[0, 1], [1, 0]]), np.array([[255, 204], [102, 0]], np.uint8), 3)
        [None, 0.6, None]
    """
    sums, counts = np.zeros(num_classes), np.zeros(num_classes)
    for labels, values in zip(mask.T, confidence.T, strict=True):  # a plane of a volume lies in one piece
        inside = labels > 0  # few voxels, and no copy of the volume
        counts += np.bincount(labels[inside], minlength=num_classes)
        sums += np.bincount(labels[inside], weights=values[inside], minlength=num_classes)
    return [round(s / n / 255, 3) if n else None for s, n in zip(sums.tolist(), counts.tolist(), strict=True)]


def predicted_dice(
    confidence: Mapping[str, float | None] | None, quality: Calibration | None, settings: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, list[str]]:
    """What Dice to expect of each class.

    Args:
        confidence: of each class by its name.
        quality: what confidences are worth; None where that is not known.
        settings: those of the inferer.

    Returns:
        what :meth:`monai_supmix.metrics.Calibration.predict` gives by class, None for one that the mask has not;
        nothing at all, with a note, where the calibration is about other settings.

    Example:
        >>> line = Calibration(slope=1.5, intercept=-0.6, margin=0.1, values=18, inference={"flips": False})
        >>> predicted_dice({"vessel": 0.8, "lesion": None}, line, {"flips": False})[0]
        {'vessel': {'dice': 0.6, 'low': 0.5, 'high': 0.7, 'look': True}, 'lesion': None}
        >>> predicted_dice({"vessel": 0.8}, line, {"flips": True})
        (None, ['no Dice is predicted, because that was learnt with other settings (flips)'])
    """
    if confidence is None or quality is None:
        return None, []
    theirs, ours = quality.inference, json.loads(json.dumps(settings))
    if differing := sorted(key for key in {*theirs, *ours} if theirs.get(key) != ours.get(key)):
        return None, [f"no Dice is predicted, because that was learnt with other settings ({', '.join(differing)})"]
    return {name: None if value is None else quality.predict(value) for name, value in confidence.items()}, []


def least_sure(
    confidence: Mapping[str, float | None] | None, predicted: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The class that a network is least sure of, as tables have it.

    Args:
        confidence: of each class by its name, None where the mask has none of it.
        predicted: what `predicted_dice` gave.

    Returns:
        ``confidence``, ``least_sure`` (the name), and ``predicted_dice`` and ``look`` where these are known; nothing
        where the mask is empty or nothing is known.

    Example:
        >>> least_sure({"vessel": 0.9, "lesion": 0.6, "tumour": None})
        {'confidence': 0.6, 'least_sure': 'lesion'}
    """
    confidences = [(value, name) for name, value in (confidence or {}).items() if value is not None]
    if not confidences:
        return {}
    value, name = min(confidences)
    expected = (predicted or {}).get(name)
    more = {} if expected is None else {"predicted_dice": expected["dice"], "look": expected["look"]}
    return {"confidence": value, "least_sure": name, **more}
