"""Evaluate whole cases on their own grid."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import load_case
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.partly import IGNORED, labelled_mask
from monai_supmix.inferers import Inferer
from monai_supmix.inferers.confidence import predict_with_confidence
from monai_supmix.inferers.tensors import input_channels
from monai_supmix.transforms.intensity import IntensityRule


class CaseEvaluator(SupervisedEvaluator):
    """Predict the cases of a datalist one by one, each on the truth's native grid and all its pixels.

    Serves for validation during training (MONAI's ``ValidationHandler``) and for the evaluation of a bundle.

    Args:
        device: where the network runs.
        items: items of a datalist, with labels.
        network: the network, called as ``network(images)``.
        inferer: predicts a label map for a case.
        intensity: gives the rule that maps an image's raw values to the network's range.
        num_classes: label values must be below it.
        evaluator_kwargs: further arguments of :class:`monai.engines.SupervisedEvaluator`, such as ``key_val_metric``
            and ``val_handlers``.

    ``engine.state.output`` is a list with one dictionary: ``prediction`` and ``truth`` (label maps of the case's
    shape), ``confidence`` (see :func:`monai_supmix.inferers.confidence.mean_confidence`), ``case``, ``spacing`` (mm
    along each axis, ``None`` for pictures), ``labelled_classes`` (bool ``(C,)``, what the truth knows of),
    ``ignore_index`` (where its item has ``ignored``) and ``image``, the :class:`monai_supmix.data.CaseImage`.

    Raises:
        InputError: out of ``run``, for a case that cannot be read, or that the network or its rule does not suit.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from monai_supmix.inferers import SliceVolumeInferer
        >>> from monai_supmix.metrics import DatasetOverlap
        >>> from monai_supmix.transforms import PercentileScale
        >>> folder = tempfile.mkdtemp()
        >>> item = {"image": f"{folder}/image.png", "label": f"{folder}/label.png", "case": "eye"}
        >>> Image.new("RGB", (12, 8)).save(item["image"])
        >>> Image.new("L", (12, 8), 1).save(item["label"])
        >>> evaluator = CaseEvaluator(
        ...     "cpu", [item], nn.Conv2d(3, 2, 1), SliceVolumeInferer(), lambda image: PercentileScale(), num_classes=2,
        ...     key_val_metric={"mean_iou": DatasetOverlap(["background", "vessel"])},
        ... )
        >>> evaluator.run()
        >>> evaluator.state.output[0]["prediction"].shape, "iou_vessel" in evaluator.state.metrics
        ((8, 12), True)
    """

    def __init__(
        self,
        device: torch.device | str,
        items: Sequence[Mapping[str, Any]],
        network: nn.Module,
        inferer: Inferer,
        intensity: Callable[[CaseImage], IntensityRule],
        num_classes: int,
        **evaluator_kwargs: Any,
    ) -> None:
        device = torch.device(device)
        super().__init__(device, list(items), network, epoch_length=len(items), decollate=False, **evaluator_kwargs)
        self.case_inferer = inferer
        self.intensity, self.num_classes = intensity, num_classes

    def _iteration(self, engine: Any, batchdata: Mapping[str, Any]) -> Any:
        image, truth = load_case(batchdata, self.num_classes)
        image = fit_channels(image, input_channels(self.network))
        rule = self.intensity(image)
        prediction, sure = predict_with_confidence(self.case_inferer, image, self.network, rule, self.num_classes)
        return [
            {
                "prediction": prediction,
                "confidence": sure,
                "truth": truth,
                "case": batchdata["case"],
                "spacing": image.spacing,
                "image": image,
                "labelled_classes": labelled_mask(batchdata, self.num_classes),
                **({"ignore_index": IGNORED} if "ignored" in batchdata else {}),
            }
        ]
