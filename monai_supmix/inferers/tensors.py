"""Inferers as MONAI's tools call them: with a tensor of raw values on the image's own grid."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, overload

import monai.inferers
import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from torch import Tensor, nn

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage, check_affine, voxel_size
from monai_supmix.imageio.channels import fit_channels
from monai_supmix.imageio.masks import in_label_values
from monai_supmix.transforms.components import clean
from monai_supmix.transforms.intensity import IntensityRule
from monai_supmix.weights import unwrap

_SHAPES = "give (B, 1, X, Y, Z) or (B, C, W, H)"


class CaseInferer(monai.inferers.Inferer):
    """What inferers of whole images have in common: they also take a tensor, as MONAI's inferers do."""

    intensity: Callable[[CaseImage], IntensityRule] | None
    """Gives an image its rule where a call brings none."""
    cleaning: Sequence[Mapping[str, Any]]
    """Rules on connected components, see :func:`monai_supmix.transforms.clean`."""

    @abstractmethod
    def predict(
        self,
        image: CaseImage,
        network: nn.Module,
        intensity: IntensityRule,
        probabilities: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
    ) -> np.ndarray:
        """Predict one image without cleaning the label map; all else is as `__call__` says."""

    @overload  # type: ignore[override]  # MONAI's takes anything after these
    def __call__(
        self,
        inputs: CaseImage,
        network: nn.Module,
        intensity: IntensityRule | None = None,
        probabilities: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
        uncleaned: np.ndarray | None = None,
    ) -> np.ndarray: ...

    @overload
    def __call__(self, inputs: Tensor, network: nn.Module, intensity: IntensityRule | None = None) -> Tensor: ...

    def __call__(
        self,
        inputs: CaseImage | Tensor,
        network: nn.Module,
        intensity: IntensityRule | None = None,
        probabilities: np.ndarray | None = None,
        confidence: np.ndarray | None = None,
        uncleaned: np.ndarray | None = None,
    ) -> np.ndarray | Tensor:
        """Predict one image, or a tensor of images, each as a whole and on its own grid.

        Args:
            inputs: an image from :func:`monai_supmix.imageio.reading.read_image`; or raw values as ``LoadImage`` gives
                them, ``(B, 1, X, Y, Z)`` with their affine (a ``MetaTensor``), or pictures ``(B, C, W, H)``.
            network: in whatever mode; evaluated in eval mode and left as it was.
            intensity: maps raw values to [0, 1]; ``None``: the inferer's own rules.
            probabilities: of a single image, filled if given: uint8 (in units of 1/255) or floating point, of shape
                ``(classes, *image.label_shape)``; may be a memory map.
            confidence: of a single image, filled if given, uint8 of ``image.label_shape``: the highest probability, in
                units of 1/255, wherever the label is not the background (what it is there may be left as it was).
            uncleaned: of a single image, filled if given, uint8 of ``image.label_shape``: the labels before cleaning.

        Returns:
            uint8 label map of an image's ``label_shape``, volumes ``(X, Y, Z)``, pictures ``(H, W)``; of a tensor a
            uint8 tensor with one channel, ``(B, 1, X, Y, Z)`` or ``(B, 1, W, H)``.

        Raises:
            InputError: it is no image, it does not fit the network or the working grid, a volume has no affine, or
                the network gives NaN.
            ValueError: there is no intensity rule, or the network's output or `probabilities` has the wrong shape.
        """
        if isinstance(inputs, CaseImage):
            predicted = self.predict(inputs, network, intensity or self._rule(inputs), probabilities, confidence)
            if uncleaned is not None:
                uncleaned[...] = predicted
            return clean(predicted, self.cleaning)
        if not isinstance(inputs, Tensor):
            kind = type(inputs).__name__
            raise InputError("inputs", f"are of the type {kind}", "give a tensor with a batch, or a CaseImage")
        network = module_of(network)
        meta = inputs.meta if isinstance(inputs, MetaTensor) else {}
        is_of_volume = np.size(meta.get("spatial_shape", ())) == 3  # one plane of a volume is a picture, though
        if is_of_volume and inputs.ndim == 4 and inputs.shape[1] not in (1, 3, input_channels(network)):
            raise InputError(str(meta.get("filename_or_obj", "tensor")), "is a volume without a batch", _SHAPES)
        images = [fit_channels(image_of(item), input_channels(network)) for item in inputs]
        masks = [self(image, network, intensity or self._rule(image)) for image in images]
        pictures = [mask.T if image.is_picture else mask for mask, image in zip(masks, images, strict=True)]
        labels = torch.from_numpy(np.stack(pictures)[:, None]).to(inputs.device)
        if not isinstance(inputs, MetaTensor):
            return labels
        with_place = MetaTensor(labels)
        with_place.copy_meta_from(inputs)
        return with_place

    def _rule(self, image: CaseImage) -> IntensityRule:
        if self.intensity is None:
            raise ValueError("the inferer was made without intensity rules, and this call brings none.")
        return self.intensity(image)


def image_of(item: Tensor) -> CaseImage:
    """See a tensor as an image.

    Args:
        item: raw values, a volume ``(1, X, Y, Z)`` with an affine or a picture ``(C, W, H)``.

    Raises:
        InputError: it is neither, or the volume has several channels or no affine.

    Example:
        >>> image_of(torch.zeros(3, 12, 8)).label_shape
        (8, 12)
        >>> image_of(torch.zeros(1, 12, 8, 4))
        Traceback (most recent call last):
        ...
        monai_supmix.errors.InputError: tensor: is a volume without its place in the world: give a MetaTensor ...
    """
    meta = item.meta if isinstance(item, MetaTensor) else {}
    path = str(meta.get("filename_or_obj", "tensor"))
    array = item.detach().cpu().numpy()
    if array.ndim == 3:
        return CaseImage.from_array(np.ascontiguousarray(array.transpose(0, 2, 1)), path=path)
    if array.ndim != 4 or len(array) != 1:
        raise InputError(path, f"has the shape {tuple(array.shape)}, which is no image", _SHAPES)
    if not isinstance(item, MetaTensor):
        remedy = "give a MetaTensor with its affine, as LoadImage does"
        raise InputError(path, "is a volume without its place in the world", remedy)
    affine = np.asarray(item.affine.squeeze(), dtype=np.float64)
    check_affine(Path(path), affine)
    spacing = voxel_size(affine) if bool(meta.get("spacing_known", True)) else None
    return replace(CaseImage.from_array(array[0], affine, path), spacing=spacing)


def module_of(network: nn.Module) -> nn.Module:
    """The network itself, where MONAI Deploy hands over its model, which keeps it as ``predictor``."""
    return network if isinstance(network, nn.Module) else getattr(network, "predictor", network)


def device_of(network: nn.Module, otherwise: torch.device | str = "cpu") -> torch.device:
    """Where a network's parameters are; `otherwise` for one that has none.

    Example:
        >>> device_of(nn.Conv2d(1, 2, 1)), device_of(nn.ReLU(), "cuda:1")
        (device(type='cpu'), device(type='cuda', index=1))
    """
    return next((parameter.device for parameter in network.parameters()), torch.device(otherwise))


def input_channels(network: nn.Module) -> int | None:
    """Channels of the images that a network takes: its ``in_channels``, else those of its first convolution.

    Example:
        >>> input_channels(nn.Sequential(nn.ReLU(), nn.Conv2d(3, 8, 1)))
        3
    """
    wanted = getattr(unwrap(network), "in_channels", None)
    if isinstance(wanted, int):
        return wanted
    return next((m.in_channels for m in network.modules() if isinstance(m, (nn.Conv2d, nn.Conv3d))), None)


class LabelMapd(MapTransform):
    """Give label maps the values of the label files that were trained on, and those of pictures no channel.

    The last step of a bundle's ``postprocessing``: writers of other programs take volumes ``(1, X, Y, Z)`` and pictures
    ``(W, H)``.

    Args:
        keys: of class numbers ``(1, X, Y, Z)`` or ``(1, W, H)``.
        record: of the weights, see :func:`monai_supmix.imageio.masks.in_label_values`.
        allow_missing_keys: leave out keys that are not there.

    Example:
        >>> LabelMapd("pred", {"label_values": [0, 5]})({"pred": torch.tensor([[[0, 1]]], dtype=torch.uint8)})
        {'pred': tensor([[0, 5]], dtype=torch.uint8)}
    """

    def __init__(self, keys: KeysCollection, record: Mapping[str, Any], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.record = record

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Change the label maps of a dictionary."""
        changed = dict(data)
        for key in self.key_iterator(changed):
            labels = changed[key]
            if self.record.get("label_values") is not None:
                values = torch.from_numpy(in_label_values(labels.cpu().numpy(), self.record)).to(labels.device)
                labels = MetaTensor(values, meta=labels.meta) if isinstance(labels, MetaTensor) else values
            changed[key] = labels[0] if labels.ndim == 3 else labels
        return changed
