"""Weak geometric augmentation: position, scale, rotation and flips of a crop in one interpolation."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable
from monai.utils import ensure_tuple_rep
from torch import Tensor
from torch.nn import functional as F

from monai_supmix.errors import InputError
from monai_supmix.plain import as_plain


class Similarity(NamedTuple):
    """Where a crop lies in its image: enlarged by ``scale``, turned by ``angle`` (radians), then flipped.

    ``stretch`` makes it wider by that factor and lower by the same.
    """

    center: tuple[float, float]
    scale: float = 1.0
    angle: float = 0.0
    flip: tuple[bool, bool] = (False, False)
    stretch: float = 1.0


def similarity_grid(similarity: Similarity, crop_size: Sequence[int], image_size: Sequence[int]) -> Tensor:
    """Sampling positions of a crop.

    Args:
        similarity: where the crop lies; its center in pixel coordinates ``(row, column)``.
        crop_size: ``(height, width)`` of the crop.
        image_size: ``(height, width)`` of the image.

    Returns:
        a grid ``(1, height, width, 2)`` for :func:`torch.nn.functional.grid_sample` without aligned corners.

    Example:
        >>> image = torch.arange(16.0).reshape(1, 1, 4, 4)
        >>> grid = similarity_grid(Similarity(center=(0.5, 1.5)), (2, 2), (4, 4))
        >>> torch.nn.functional.grid_sample(image, grid, align_corners=False).flatten().round().tolist()
        [1.0, 2.0, 5.0, 6.0]
    """
    (height, width), (rows, columns) = crop_size, image_size
    y = (torch.arange(height) - (height - 1) / 2) * (-1 if similarity.flip[0] else 1) / similarity.scale
    x = (torch.arange(width) - (width - 1) / 2) * (-1 if similarity.flip[1] else 1) / similarity.scale
    y, x = y * similarity.stretch, x / similarity.stretch
    cos, sin = math.cos(similarity.angle), math.sin(similarity.angle)
    row = similarity.center[0] + cos * y[:, None] - sin * x[None, :]
    column = similarity.center[1] + sin * y[:, None] + cos * x[None, :]
    return torch.stack([(2 * column + 1) / columns - 1, (2 * row + 1) / rows - 1], dim=-1)[None]


class RandSimilarityCropd(MapTransform, Randomizable):
    """Crop a random part of a 2D image, randomly scaled, turned and flipped.

    "Random resize, then random crop" as UniMatch has it, with rotation beside it; only the crop is resampled,
    never the whole image. The crop lies inside the image where it fits and is centred where it does not. Crops are
    plain tensors: the affine of a ``MetaTensor`` would say of them what is true of the whole image.

    Args:
        keys: images and labels ``(C, H, W)``; all are cropped alike.
        crop_size: ``(height, width)`` of the result.
        scale: range of the enlargement; ``(0.5, 2.0)`` is UniMatch's.
        rotation: greatest angle in radians, either way.
        stretch: greatest change of the aspect, wider or higher by this factor; 1 leaves it as it is.
        shift: where given, the crop's centre lies within so many pixels of the image's centre, for images whose subject
            stands in the middle; else the crop lies anywhere.
        elastic: standard deviation, in pixels of the image, of random displacements at 6 x 6 points of the crop with
            smooth ones in between; 0 for none.
        elastic_prob: probability of such a deformation.
        flip_prob: probability of a flip along each of ``flip_axes``.
        flip_axes: 0 flips up-down, 1 left-right.
        mode: ``"bilinear"`` or ``"nearest"``, one for all keys or one for each.
        ignore_index: where given, pixels outside the image get this value in nearest-mode keys, and the item a
            boolean ``"ignore"`` ``(1, H, W)`` that marks them. Otherwise they are 0.
        place: which crops of an iteration lie at one place of their images, so that a pasted region stands in the other
            image where it stood in its own: ``"own"``, every crop has its own place; ``"pair"``, a labelled crop and
            the unlabelled crops that SupMix pairs it with; ``"batch"``, all crops of a batch, for mixing among
            unlabelled or among labelled images. Crops at one place are scaled, turned and flipped alike; places
            correspond by the share of the room that the crop has in the image. It is
            :class:`monai_supmix.data.PairedLoader` that hands out the draws; alone, the transform draws as always.
        log_uniform: draw the logarithm of the enlargement uniformly, so that twice and half the size are as likely;
            else the enlargement itself, as UniMatch does.

    Raises:
        ValueError: when ``place`` is none of these; on a call, `InputError` where labels cannot hold ``ignore_index``.

    Example:
        >>> crop = RandSimilarityCropd(["image", "label"], (2, 2), mode=("bilinear", "nearest"))
        >>> item = {"image": torch.rand(3, 4, 4), "label": torch.ones(1, 4, 4, dtype=torch.uint8)}
        >>> result = crop.set_random_state(seed=0)(item)
        >>> tuple(result["image"].shape), result["label"].dtype
        ((3, 2, 2), torch.uint8)
    """

    def __init__(
        self,
        keys: KeysCollection,
        crop_size: Sequence[int],
        scale: tuple[float, float] = (1.0, 1.0),
        rotation: float = 0.0,
        stretch: float = 1.0,
        shift: float | None = None,
        elastic: float = 0.0,
        elastic_prob: float = 0.5,
        flip_prob: float = 0.5,
        flip_axes: Sequence[int] = (1,),
        mode: str | Sequence[str] = "bilinear",
        ignore_index: int | None = None,
        allow_missing_keys: bool = False,
        place: Literal["own", "pair", "batch"] = "own",
        log_uniform: bool = True,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if place not in ("own", "pair", "batch"):
            raise ValueError(f"place is 'own', 'pair' or 'batch', not {place!r}.")
        self.place = place
        self.crop_size, self.scale, self.log_uniform = tuple(crop_size), tuple(scale), log_uniform
        self.rotation = rotation
        self.stretch, self.shift, self.elastic, self.elastic_prob = stretch, shift, elastic, elastic_prob
        self.flip_prob, self.flip_axes = flip_prob, tuple(flip_axes)
        self.mode = ensure_tuple_rep(mode, len(self.keys))
        self.ignore_index = ignore_index
        self.similarity = Similarity((0.0, 0.0))

    def randomize(self, image_size: Sequence[int]) -> None:
        """Draw where the crop of an image of size ``(height, width)`` lies."""
        low, high = self.scale
        scale = (
            math.exp(self.R.uniform(math.log(low), math.log(high))) if self.log_uniform else self.R.uniform(low, high)
        )
        angle = self.R.uniform(-self.rotation, self.rotation)
        flip = [axis in self.flip_axes and self.R.uniform() < self.flip_prob for axis in (0, 1)]
        center = []
        for side, crop in zip(image_size, self.crop_size, strict=True):
            if self.shift is not None:
                center.append((side - 1) / 2 + self.R.uniform(-self.shift, self.shift))
                continue
            room = side - crop / scale
            start = round(self.R.uniform() * room) if room > 0 else room / 2
            center.append(start + crop / scale / 2 - 0.5)
        stretch = math.exp(self.R.uniform(-1, 1) * math.log(self.stretch)) if self.stretch != 1 else 1.0
        self.similarity = Similarity((center[0], center[1]), scale, angle, (flip[0], flip[1]), stretch)
        self.displacement: Tensor | None = None
        if self.elastic > 0 and self.R.uniform() < self.elastic_prob:
            coarse = torch.from_numpy(self.R.normal(0.0, self.elastic, (1, 2, 6, 6))).float()
            smooth = F.interpolate(coarse, self.crop_size, mode="bicubic", align_corners=True)
            self.displacement = smooth.permute(0, 2, 3, 1) * 2 / torch.tensor([image_size[1], image_size[0]])

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Crop all keys of an item with one draw."""
        item = dict(data)
        image_size = item[self.first_key(item)].shape[-2:]
        self.randomize(image_size)
        grid = similarity_grid(self.similarity, self.crop_size, image_size)
        if self.displacement is not None:
            grid = grid + self.displacement
        outside = (grid.abs() > 1).any(dim=-1) if self.ignore_index is not None else None
        for key, mode in self.key_iterator(item, self.mode):
            image = as_plain(torch.as_tensor(item[key]))
            crop = F.grid_sample(image[None].float(), grid, mode, "zeros", align_corners=False)[0]
            if outside is not None and mode == "nearest":
                _check_fits(self.ignore_index or 0, image.dtype)
                crop = crop.masked_fill(outside, self.ignore_index or 0)
            item[key] = crop if image.is_floating_point() else crop.to(image.dtype)
        if outside is not None:
            item["ignore"] = outside
        return item


def _check_fits(ignore_index: int, dtype: torch.dtype) -> None:
    """Raise `InputError` where labels of a type would hold another number in place of ``ignore_index``."""
    if dtype.is_floating_point:
        return
    low, high = (0, 1) if dtype is torch.bool else (torch.iinfo(dtype).min, torch.iinfo(dtype).max)
    if not low <= ignore_index <= high:
        held = f"{str(dtype).removeprefix('torch.')}, {low} to {high}"
        raise InputError("ignore_index", f"is {ignore_index}, which labels do not hold ({held})", "set it to 255")


RandSimilarityCropD = RandSimilarityCropDict = RandSimilarityCropd
