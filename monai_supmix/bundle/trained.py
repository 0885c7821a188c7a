"""Trained weights as evaluation and inference use them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers.runtime import Runtime, in_runtime
from monai_supmix.inferers.suitability import choose_intensity
from monai_supmix.precision import Amp
from monai_supmix.weights import (
    configured_note,
    configured_record,
    default_weights,
    load_into,
    load_matching,
    read_weights,
)

if TYPE_CHECKING:
    from monai_supmix.transforms.intensity import IntensityRule

logger = logging.getLogger(__name__)


class IntensityRules:
    """Gives each image the rule that maps its raw values to [0, 1].

    Args:
        rules: rules as plain dictionaries under ``"hu"``, ``"picture"`` or both.
        wanted: which of them to use; ``None`` chooses by the type of file.

    Example:
        >>> import numpy as np
        >>> rules = IntensityRules({"picture": {"rule": "percentile_scale"}})
        >>> rules(CaseImage.from_array(np.zeros((1, 4, 4), np.uint8)))
        PercentileScale(lower=0.5, upper=99.5)
    """

    def __init__(self, rules: Mapping[str, Mapping[str, Any]], wanted: str | None = None) -> None:
        self.rules, self.wanted = {name: dict(rule) for name, rule in rules.items()}, wanted

    def __call__(self, image: CaseImage) -> IntensityRule:
        """The rule of an image.

        Raises:
            InputError: there is none for it.
        """
        return choose_intensity({"intensity": self.rules}, image, self.wanted)[1]


@dataclass(frozen=True)
class Trained:
    """A network with its trained weights, and where they come from.

    Example:
        >>> record = {"class_names": ["background", "lesion"], "intensity": {"hu": {"rule": "hu_window"}}}
        >>> trained = Trained(nn.Conv2d(1, 2, 1), record, Path("model.pt"), sha256="0" * 64)
        >>> trained.intensity_rules().rules
        {'hu': {'rule': 'hu_window'}}
    """

    network: nn.Module
    record: Mapping[str, Any]
    path: Path
    sha256: str

    def intensity_rules(self, wanted: str | None = None) -> IntensityRules:
        """The rules stored with the weights."""
        return IntensityRules(self.record["intensity"], wanted)


def load_trained(
    network: nn.Module,
    output_dir: str | os.PathLike[str] | None,
    bundle_root: str | os.PathLike[str],
    ckpt_path: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    runtime: Runtime = "torch",
    amp: Amp = "auto",
    working: Mapping[str, Any] | None = None,
    intensity_settings: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
) -> Trained:
    """Load the weights that a bundle's evaluation and inference use by default, or those asked for.

    Weights of other programs have no record; theirs comes from the bundle's configuration, and says so.

    Args:
        network: the network of the configuration, which the weights have to fit as a whole.
        output_dir: folder of a training run; its ``model.pt`` is used where it exists ...
        bundle_root: ... else the bundle's ``models/model.pt``, else what the last training with the bundle left.
        ckpt_path: weights to use instead, see :func:`monai_supmix.weights.read_weights`.
        device: where the network is placed.
        runtime: what runs it, see :func:`monai_supmix.inferers.in_runtime`.
        amp: number format of a runtime other than PyTorch, where the inferer sets it.
        working: working grid of weights without a record; ``None``: that of the bundle's training.
        intensity_settings: intensity rules of weights without a record; ``None``: those of the bundle's training.
        num_classes: of the network, which weights without a record are checked by.

    Returns:
        the network on its device (or in the runtime), the record, and the file with its SHA-256.

    Raises:
        InputError: no weights, damaged ones, those of another network, weights without a record where the
            configuration does not say what they need, or a runtime that cannot run them.

    Example:
        >>> import tempfile
        >>> from monai_supmix.weights import current_versions, save_weights
        >>> record = {"network": {}, "class_names": ["background", "vessel"], "intensity": {}, "working": {},
        ...           "trained_on": {}, "versions": current_versions()}
        >>> folder, network = tempfile.mkdtemp(), nn.Conv2d(1, 2, 1)
        >>> _ = save_weights(f"{folder}/model.pt", network, record)
        >>> trained = load_trained(nn.Conv2d(1, 2, 1), output_dir=folder, bundle_root="unused")
        >>> torch.equal(trained.network.weight, network.weight), trained.record["class_names"], trained.path.name
        (True, ['background', 'vessel'], 'model.pt')
    """
    path = default_weights(output_dir, bundle_root, ckpt_path)
    weights = read_weights(path)
    record = weights.record or configured_record(path, bundle_root, working, intensity_settings, num_classes)
    load_into(network, weights.tensors, path)
    trained = Trained(in_runtime(network, runtime, amp, device), record, path, weights.sha256)
    logger.info("weights: %s (SHA-256 %s)", path, trained.sha256)
    for note in (*configured_note(record), *_without_effect(record, working, intensity_settings)):
        logger.warning("%s: %s", path, note)
    return trained


def _without_effect(
    record: Mapping[str, Any], working: Mapping[str, Any] | None, intensity_settings: Mapping[str, Any] | None
) -> list[str]:
    """Which settings say something else than the record of the weights, which counts."""
    settings = (("working", working, "working"), ("intensity_settings", intensity_settings, "intensity"))
    return [
        f"{key}={dict(given)} has no effect, for the weights' own record has {dict(record[entry])}"
        for key, given, entry in settings
        if given is not None and dict(given) != dict(record[entry])
    ]


def start_from(
    ckpt_path: str | os.PathLike[str] | None, network: nn.Module, class_names: Sequence[str] | None = None
) -> None:
    """Begin a training with trained weights instead of random ones (a resumed run has its own).

    What fits the network is loaded, and one line reports what was: weights for other classes have another output layer,
    those of an encoder have no decoder.

    Args:
        ckpt_path: the weights, see :func:`monai_supmix.weights.read_weights`; ``None`` leaves the network as it is.
        network: the network, changed in place.
        class_names: the classes of this training; a warning tells where the weights are for others.

    Raises:
        InputError: damaged weights, or none of them fits.

    Example:
        >>> import tempfile
        >>> from monai_supmix.weights import current_versions, save_weights
        >>> record = {"network": {}, "class_names": ["background", "vessel"], "intensity": {}, "working": {},
        ...           "trained_on": {}, "versions": current_versions()}
        >>> folder, trained = tempfile.mkdtemp(), nn.Conv2d(1, 2, 1)
        >>> _ = save_weights(f"{folder}/model.pt", trained, record)
        >>> network = nn.Conv2d(1, 2, 1)
        >>> start_from(f"{folder}/model.pt", network)
        >>> torch.equal(network.weight, trained.weight)
        True
    """
    if ckpt_path is not None:
        weights = read_weights(ckpt_path)
        report = load_matching(network, weights.tensors, ckpt_path)
        theirs = list(weights.record["class_names"]) if weights.record else None
        if class_names is not None and theirs is not None and theirs != list(class_names):
            told = f"{', '.join(theirs)}, and this training is for {', '.join(class_names)}"
            logger.warning("the weights %s are for the classes %s: their output layer means others", ckpt_path, told)
        logger.info("training begins with the weights %s (SHA-256 %s): %s", ckpt_path, weights.sha256, report)
