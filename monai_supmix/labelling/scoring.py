"""Predict cases and score them, each once, however often the work is started again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn

from monai_supmix.files import atomic_write
from monai_supmix.imageio.cases import load_case
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.planes import Planes
from monai_supmix.inferers import Inferer
from monai_supmix.inferers.confidence import least_sure, predict_with_confidence, predicted_dice
from monai_supmix.inferers.tensors import input_channels
from monai_supmix.labelling.score import CaseScore, disagreement, signature
from monai_supmix.listing import read_json
from monai_supmix.networks import Ensemble
from monai_supmix.report.gallery import brightness, file_name
from monai_supmix.report.pictures import draw_outline, enlarged

if TYPE_CHECKING:
    from monai_supmix.bundle import Trained
    from monai_supmix.bundle.trained import IntensityRules

_LONGEST = 320  # pixels of a thumbnail's longer side


@dataclass(frozen=True)
class Scorer:
    """Scores cases by what trained weights make of them.

    Args:
        trained: the weights. The networks of an ensemble are compared with one another.
        inferer: predicts an image.
        second: predicts it in another way, with turned or mirrored views or without; what a single network gives both
            ways is compared. None: nothing is.
        rules: the intensity rule of each image.
    """

    trained: Trained
    inferer: Inferer
    second: Inferer | None
    rules: IntensityRules

    @property
    def weights(self) -> str:
        """The files of the weights, each with its folder."""
        return ", ".join("/".join(path.parts[-2:]) for path in (self.trained.path, *self.trained.others))

    @property
    def settings(self) -> dict[str, Any]:
        """What decides the scores beside the images, in plain values."""
        quality = self.trained.quality
        return {
            "weights_sha256": self.trained.sha256,
            "inference": self.inferer.settings,
            "second": None if self.second is None else self.second.settings,
            "intensity": [self.rules.wanted, self.rules.rules],
            "class_names": list(self.trained.record["class_names"]),
            "quality": None if quality is None else quality.plain(),
        }

    def __call__(self, item: Mapping[str, Any]) -> tuple[CaseScore, bytes]:
        """Score a case.

        Args:
            item: of a datalist; its label is not looked at.

        Returns:
            the score, and a small JPEG of the plane where the predictions differ most, with the outlines of the mask.

        Raises:
            InputError: the image cannot be read, or does not suit the network.
        """
        names = list(self.trained.record["class_names"])
        image, _ = load_case({key: value for key, value in item.items() if key != "label"}, len(names))
        image = fit_channels(image, input_channels(self.trained.network))
        rule = self.rules(image)
        mask, sure = predict_with_confidence(self.inferer, image, self.trained.network, rule, len(names))
        masks = [inferer(image, network, rule) for inferer, network in self._others()]
        masks = masks if len(masks) > 1 else [mask, *masks]
        confidence = None if sure is None else dict(zip(names[1:], sure[1:], strict=True))
        doubt = least_sure(confidence, predicted_dice(confidence, self.trained.quality, self.inferer.settings)[0])
        planes, show = Planes(image, self.inferer.axis), brightness(image, self.rules)
        labels = planes.view(mask)
        score = CaseScore(
            item["case"],
            item["group"],
            doubt.get("confidence"),
            doubt.get("least_sure"),
            doubt.get("predicted_dice"),
            round(disagreement(masks, len(names)), 4) if len(masks) > 1 else None,
            signature(planes, labels, show, len(names)),
        )
        index = plane_to_show(labels, [planes.view(one) for one in masks])
        plane, classes = (enlarged(one, _LONGEST) for one in (show(planes[index]), labels[index]))
        return score, draw_outline(plane, classes, _LONGEST, planes.spacing)

    def _others(self) -> Iterator[tuple[Inferer, nn.Module]]:
        network = self.trained.network
        if isinstance(network, Ensemble):
            yield from ((self.inferer, member) for member in network.networks)
        elif self.second is not None:
            yield self.second, network

    def kept(self, item: Mapping[str, Any], files: Mapping[str, Any], folder: Path) -> CaseScore:
        """Score a case, or read the score that is kept in a folder, if it was made in the same way of the same image.

        Args:
            item: the case.
            files: what its files hold, see :func:`monai_supmix.datalists.fingerprint.fingerprint`.
            folder: where ``<case>.jpg`` and, once both are whole, ``<case>.json`` are kept; must exist.
        """
        path = folder / f"{file_name(item['case'])}.json"
        made_with = json.loads(json.dumps({**self.settings, "files": files}))
        if path.is_file():
            record = read_json(path)
            if record.get("made_with") == made_with and thumbnail_of(item["case"], folder).is_file():
                return CaseScore(**{**record["score"], "group": item["group"]})
        score, thumbnail = self(item)
        path.unlink(missing_ok=True)
        with atomic_write(thumbnail_of(item["case"], folder)) as file:
            file.write(thumbnail)
        with atomic_write(path, text=True) as file:  # last: it says that both are there
            file.write(json.dumps({"score": asdict(score), "made_with": made_with}) + "\n")
        return CaseScore(**json.loads(json.dumps(asdict(score))))


def thumbnail_of(case: str, folder: Path) -> Path:
    """Where the picture of a case is kept."""
    return folder / f"{file_name(case)}.jpg"


def plane_to_show(labels: np.ndarray, masks: Sequence[np.ndarray]) -> int:
    """The plane where predictions differ most, else the one with the most foreground, else the middle.

    Args:
        labels: the mask as planes, ``(planes, H, W)``.
        masks: predictions of the same shape.

    Example:
        >>> labels = np.zeros((5, 1, 3), int)
        >>> labels[1, 0, 0], labels[3] = 1, 1
        >>> plane_to_show(labels, []), plane_to_show(labels, [labels, labels * (np.arange(5) != 1)[:, None, None]])
        (3, 1)
        >>> plane_to_show(labels * 0, [])
        2
    """
    differing = sum((np.count_nonzero(a != b, axis=(1, 2)) for a, b in combinations(masks, 2)), np.zeros(len(labels)))
    for amount in (differing, np.count_nonzero(labels, axis=(1, 2))):
        if amount.any():
            return int(np.argmax(amount))
    return len(labels) // 2
