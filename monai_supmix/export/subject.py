"""What is exported, and the images on which an export is compared with it, as the network sees them in inference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers import Inferer
from monai_supmix.inferers.suitability import choose_intensity
from monai_supmix.phantoms.chest_ct import FIELD_OF_VIEW, draw_chest_ct
from monai_supmix.phantoms.fundus import draw_fundus

_VOLUME, _PICTURE = (128, 128, 16), (240, 250)


@dataclass(frozen=True)
class Subject:
    """A network with its weights, and what is known about them.

    Args:
        network: with its weights, on the CPU.
        weights: the file they come from.
        record: their record, see `monai_supmix.weights.record`.
        config: the configuration in whose ``network_def`` the weights fit.
        metadata: the bundle's, with an entry ``weights``: ``file``, ``sha256`` and ``record``.
        case: name of the case.
        inputs: what the network sees of it, see `network_inputs`.

    Example:
        >>> record = {"class_names": ["background", "vessel"], "intensity": {"picture": {}}}
        >>> images = [torch.rand(1, 1, 8, 8)]
        >>> subject = Subject(nn.Conv2d(1, 2, 1), Path("model.pt"), record, {}, {}, case="eye", inputs=images)
        >>> subject.network(subject.inputs[0]).shape
        torch.Size([1, 2, 8, 8])
    """

    network: nn.Module
    weights: Path
    record: Mapping[str, Any]
    config: Mapping[str, Any]
    metadata: Mapping[str, Any]
    case: str
    inputs: list[Tensor]


def phantom_case(record: Mapping[str, Any], channels: int, spatial_dims: int = 2) -> CaseImage:
    """Make up a case of the kind that a network was trained on.

    Args:
        record: the record of the weights; those with a rule for HU get a chest CT, others a fundus picture.
        channels: channels that the network takes.
        spatial_dims: 3 for a network of volumes, which gets a chest CT in any case.

    Raises:
        InputError: nothing of that kind can be made up.

    Example:
        >>> phantom_case({"intensity": {"picture": {}}}, channels=1).array.shape
        (1, 240, 250)
    """
    if channels == 1 and ("hu" in record["intensity"] or spatial_dims == 3):
        spacing = (FIELD_OF_VIEW / _VOLUME[0], FIELD_OF_VIEW / _VOLUME[1], 8.0)
        volume, _ = draw_chest_ct(_VOLUME, spacing)
        return CaseImage.from_array(volume, np.diag([-spacing[0], -spacing[1], spacing[2], 1.0]), "made-up chest CT")
    if channels in (1, 3) and spatial_dims == 2:
        picture = draw_fundus(_PICTURE, seed=0)[0].transpose(2, 0, 1)
        wanted = picture[1:2] if channels == 1 else picture  # vessels show best in green
        name = "made-up grey picture" if channels == 1 else "made-up fundus picture"
        return CaseImage.from_array(np.ascontiguousarray(wanted), path=name)
    problem = f"is needed, because no image of {channels} channels can be made up"
    raise InputError("--case", problem, "name an image of the kind that the network was trained on")


def network_inputs(
    image: CaseImage,
    network: nn.Module,
    record: Mapping[str, Any],
    inferer: Inferer,
    intensity: str | None = None,
    most: int = 32,
) -> list[Tensor]:
    """Collect what inference on an image gives to a network: on the working grid, padded, in [0, 1].

    Args:
        image: the image.
        network: the network; it is not run.
        record: the record of its weights.
        inferer: that of the bundle.
        intensity: what the image's values are, see `choose_intensity`.
        most: of more planes (or windows of a volume) than this evenly spaced ones are taken.

    Returns:
        batches of one, ``(1, C, *spatial)``.

    Raises:
        InputError: the image does not fit the network or its intensity rule.

    Example:
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> record = {"class_names": ["background", "lesion"], "intensity": {"hu": {"rule": "hu_window"}}}
        >>> volume = CaseImage.from_array(np.arange(-500, 500, dtype=np.int16).reshape(10, 10, 10), np.eye(4))
        >>> inputs = network_inputs(volume, nn.Conv2d(1, 2, 1), record, SliceVolumeInferer(divisor=8), most=4)
        >>> len(inputs), inputs[0].shape
        (3, torch.Size([1, 1, 16, 16]))
    """
    _, rule = choose_intensity(record, image, intensity)
    inferer.check(image, network)
    recorder = _Recorder(len(record["class_names"]), most)
    inferer(image, recorder, rule)
    return recorder.kept[:: -(-len(recorder.kept) // most)]


class _Recorder(nn.Module):
    """In place of a network: keeps evenly spaced images, less than twice `most`, and answers with zeros."""

    def __init__(self, num_classes: int, most: int) -> None:
        super().__init__()
        self.num_classes, self.most = num_classes, most
        self.kept: list[Tensor] = []
        self.seen, self.step = 0, 1

    def forward(self, images: Tensor) -> Tensor:
        for image in images.split(1):
            if self.seen % self.step == 0:
                self.kept.append(image.float().clone(memory_format=torch.contiguous_format))
            self.seen += 1
            if len(self.kept) == 2 * self.most:
                del self.kept[1::2]
                self.step *= 2
        return images.new_zeros(images.shape[0], self.num_classes, *images.shape[2:])
