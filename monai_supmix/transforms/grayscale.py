"""Random greyscale of colour images (a part of UniMatch's strong augmentation)."""

from __future__ import annotations

from monai.config import KeysCollection
from torch import Tensor

from monai_supmix.transforms.batch import RandBatchTransform, RandBatchTransformd

__all__ = [
    "LUMA",
    "RandGrayscale",
    "RandGrayscaleD",
    "RandGrayscaleDict",
    "RandGrayscaled",
    "luma",
]

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in the brightness of a pixel (ITU-R BT.601), as torchvision has them."""


def luma(images: Tensor) -> Tensor:
    """Brightness of every pixel of colour images.

    Args:
        images: ``(B, 3, *spatial)``.

    Returns:
        ``(B, 1, *spatial)``, a new tensor.
    """
    red, green, blue = images.split(1, dim=1)
    return red.mul(LUMA[0]).add_(green, alpha=LUMA[1]).add_(blue, alpha=LUMA[2])


def is_color(images: Tensor, what: str) -> bool:
    """Whether images ``(B, C, *spatial)`` have the three channels that a colour operation works on.

    Args:
        images: ``(B, C, *spatial)``.
        what: the operation's name, for the message.

    Returns:
        True for three channels, False for one, on which the colour operations do nothing.

    Raises:
        ValueError: for any other number of channels.
    """
    if images.shape[1] not in (1, 3):
        raise ValueError(f"{what} needs 1 or 3 channels, got images of shape {tuple(images.shape)}.")
    return images.shape[1] == 3


class RandGrayscale(RandBatchTransform):
    """Turn images grey at random; three equal channels stay three channels.

    On one-channel images this does nothing.

    Args:
        prob: probability per image.

    Raises:
        ValueError: when ``prob`` lies outside [0, 1]; when called, on images of neither 1 nor 3 channels.

    Example:
        >>> import torch
        >>> grey = RandGrayscale(prob=1.0)(torch.rand(3, 8, 8))
        >>> bool((grey[0] == grey[1]).all() and (grey[0] == grey[2]).all())
        True
    """

    cuts = False

    def __init__(self, prob: float = 0.2) -> None:
        super().__init__(prob)

    def transform_(self, images: Tensor, drawn: slice) -> None:
        """Turn the selected images grey. See :meth:`RandBatchTransform.transform_`."""
        if is_color(images, "greyscale"):
            images.copy_(luma(images))


class RandGrayscaled(RandBatchTransformd):
    """Dictionary form of :class:`RandGrayscale`: all keys turn grey together, or none.

    Args:
        keys: keys of the images, each ``(C, *spatial)`` in [0, 1].
        prob: see :class:`RandGrayscale`.
        allow_missing_keys: whether a missing key is passed over instead of raising ``KeyError``.

    Example:
        >>> import torch
        >>> grey = RandGrayscaled("image", prob=1.0)({"image": torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)})
        >>> grey["image"].flatten()
        tensor([0.2989, 0.2989, 0.2989])
    """

    def __init__(self, keys: KeysCollection, prob: float = 0.2, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, RandGrayscale(prob), allow_missing_keys)


RandGrayscaleD = RandGrayscaleDict = RandGrayscaled
