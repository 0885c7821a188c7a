"""Trained weights as evaluation and inference use them."""

from __future__ import annotations

import copy
import itertools
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_supmix.bundle.quality import read_quality
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers.runtime import Runtime, in_runtime
from monai_supmix.inferers.suitability import choose_intensity
from monai_supmix.metrics.calibration import Calibration
from monai_supmix.networks import Ensemble
from monai_supmix.networks.output_layer import shift_logits
from monai_supmix.precision import Amp
from monai_supmix.transforms.intensity import IntensityRule
from monai_supmix.weights import (
    common_record,
    configured_note,
    configured_record,
    default_weights,
    load_into,
    load_matching,
    other_label_values,
    read_weights,
)

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
    """A network with its trained weights, and where they come from; or several networks, which predict as one.

    Args:
        network: the network; of several an :class:`monai_supmix.networks.Ensemble`.
        record: the record of the weights, see :mod:`monai_supmix.weights.record`.
        path: their file; of several networks that of the first.
        sha256: of the file; of several networks a list.
        others: files of the further networks.
        quality: what confidences are worth, where ``quality.json`` lies beside the file of a single network.

    Example:
        >>> record = {"class_names": ["background", "lesion"], "intensity": {"hu": {"rule": "hu_window"}}}
        >>> trained = Trained(nn.Conv2d(1, 2, 1), record, Path("model.pt"), sha256="0" * 64)
        >>> trained.intensity_rules().rules
        {'hu': {'rule': 'hu_window'}}
    """

    network: nn.Module
    record: Mapping[str, Any]
    path: Path
    sha256: str | list[str]
    others: tuple[Path, ...] = ()
    quality: Calibration | None = None

    @property
    def files(self) -> str | list[str]:
        """The file, or a list of files, as results name them."""
        return [str(path) for path in (self.path, *self.others)] if self.others else str(self.path)

    def intensity_rules(self, wanted: str | None = None) -> IntensityRules:
        """The rules stored with the weights."""
        return IntensityRules(self.record["intensity"], wanted)

    def window(self, configured: Sequence[int]) -> list[int]:
        """The windows of a 3D network: those of its training, or the configured ones where the weights do not say.

        Args:
            configured: ``[d, h, w]`` of the configuration's crops.
        """
        window = list(self.record.get("window", configured))
        if window != list(configured):
            text = "windows of %s, as in these weights' training, not of crop_size %s; --inferer#roi_size sets others"
            logger.info(text, window, list(configured))
        return window

    def require_one(self) -> None:
        """Raise `InputError` for several networks, where only one can be used."""
        if self.others:
            problem = f"is one of {1 + len(self.others)} networks that predict together, and here one is needed"
            raise InputError(self.path, problem, "give ckpt_path the file of a single one")

    def require_classes(self, class_names: Sequence[str]) -> None:
        """Raise `InputError` where data have other classes than these weights."""
        theirs = list(self.record["class_names"])
        if theirs != list(class_names):
            problem = f"was trained for the classes {', '.join(theirs)}, the data has {', '.join(class_names)}"
            raise InputError(self.path, problem, "use weights trained for these classes")


def load_trained(
    network: nn.Module,
    output_dir: str | os.PathLike[str] | None,
    bundle_root: str | os.PathLike[str],
    ckpt_path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    device: torch.device | str = "cpu",
    runtime: Runtime = "torch",
    amp: Amp = "auto",
    working: Mapping[str, Any] | None = None,
    intensity_settings: Mapping[str, Any] | None = None,
    num_classes: int | None = None,
) -> Trained:
    """Load the weights that a bundle's evaluation and inference use by default, or those asked for.

    Weights of other programs have no record; theirs comes from the bundle's configuration, and says so. Several
    networks predict as one, see :class:`monai_supmix.networks.Ensemble`, whatever their order.

    Args:
        network: the network of the configuration, which the weights have to fit as a whole.
        output_dir: folder of a training run; its ``model.pt`` is used where it exists ...
        bundle_root: ... else the bundle's ``models``, else, without an ``output_dir``, what the last training with the
            bundle left, see :func:`monai_supmix.weights.default_weights`.
        ckpt_path: weights to use instead: a file or folder, or several, see :func:`monai_supmix.weights.weight_files`.
        device: where the network is placed.
        runtime: what runs it, see :func:`monai_supmix.inferers.in_runtime`.
        amp: number format of a runtime other than PyTorch, where the inferer sets it.
        working: working grid of weights without a record; ``None``: that of the bundle's training.
        intensity_settings: intensity rules of weights without a record; ``None``: those of the bundle's training.
        num_classes: of the network, which weights without a record are checked by.

    Returns:
        the network on its device (or in the runtime), the record, and the file with its SHA-256.

    Raises:
        InputError: no weights, damaged ones, those of another network, several that do not belong together, weights
            without a record where the configuration does not say what they need, or a runtime that cannot run them.

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
    files = default_weights(output_dir, bundle_root, ckpt_path)
    members: list[tuple[str, Path, nn.Module]] = []
    records: dict[Path, Mapping[str, Any]] = {}
    for path, empty in zip(files, [network, *(copy.deepcopy(network) for _ in files[1:])], strict=True):
        weights = read_weights(path)
        records[path] = weights.record or configured_record(path, bundle_root, working, intensity_settings, num_classes)
        load_into(empty, weights.tensors, path)
        members.append((weights.sha256, path, empty))
    record = common_record(records)
    members.sort(key=lambda member: member[0])  # the same set gives the same bits, whatever its order
    for (digest, path, _), (following, other, _) in itertools.pairwise(members):
        if digest == following:
            raise InputError(other, f"holds the same weights as {path}", "name each network once")
    hashes, paths, networks = zip(*members, strict=True)
    network, sha256 = (networks[0], hashes[0]) if len(files) == 1 else (Ensemble(networks), list(hashes))
    quality = read_quality(paths[0], record) if len(files) == 1 else None
    trained = Trained(in_runtime(network, runtime, amp, device), record, paths[0], sha256, paths[1:], quality)
    for path, digest in zip(paths, hashes, strict=True):
        logger.info("weights: %s (SHA-256 %s)", path, digest)
    for note in (
        *configured_note(record), *_without_effect(record, working, intensity_settings), *_values(record, bundle_root)
    ):  # fmt: skip
        logger.warning("%s: %s", trained.path, note)
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


def _values(record: Mapping[str, Any], bundle_root: str | os.PathLike[str]) -> list[str]:
    """Whether these weights write other values than the bundle; masks have those of the weights, and record them."""
    try:
        difference = other_label_values(record, bundle_root)
    except InputError:  # of a datalist that no prediction needs
        return []
    return [] if difference is None else [difference]


def start_from(
    ckpt_path: str | os.PathLike[str] | None, network: nn.Module, class_names: Sequence[str] | None = None
) -> None:
    """Begin a training with trained weights instead of random ones (a resumed run has its own).

    What fits the network is loaded, and one line reports what was: weights for other classes have another output layer,
    those of an encoder have no decoder. Adjusted logits (:class:`monai_supmix.engines.AdjustLogits`) become what they
    were in training.

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
    if isinstance(ckpt_path, (list, tuple)):
        raise InputError("ckpt_path", "names several weights", "give one file, for a training has one network")
    if ckpt_path is not None:
        weights = read_weights(ckpt_path)
        report = load_matching(network, weights.tensors, ckpt_path)
        theirs = list(weights.record["class_names"]) if weights.record else None
        offsets = weights.record.get("logit_offsets", []) if weights.record else []
        if offsets and len(offsets) == len(class_names or offsets):  # with other classes, the output layer is new
            shift_logits(network, -torch.tensor(offsets))
        if class_names is not None and theirs is not None and theirs != list(class_names):
            classes = f"{', '.join(theirs)}, and this training is for {', '.join(class_names)}"
            logger.warning("the weights %s are for the classes %s: their output layer means others", ckpt_path, classes)
        logger.info("training begins with the weights %s (SHA-256 %s): %s", ckpt_path, weights.sha256, report)
