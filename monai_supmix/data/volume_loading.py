"""Training volumes for 3D networks: a case on the working grid, and random boxes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import RandCropByPosNegLabeld, Randomizable, RandSpatialCropd, SpatialPadd, Transform

from monai_supmix.data.case_loading import CaseLoading
from monai_supmix.data.planes_loading import shows_foreground
from monai_supmix.data.working_grid import resize_across, resize_planes, working_volume_shape
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Axis, Planes
from monai_supmix.transforms.intensity import IntensityRule


def volume_grid(image: CaseImage, axis: Axis, working: Mapping[str, Any] | None) -> tuple[Planes, tuple[int, int, int]]:
    """The planes of a volume and its shape ``(D, H, W)`` on the working grid.

    Raises:
        InputError: the image is a picture or a single slice, or the working grid does not suit it.
    """
    planes = Planes(image, axis)
    if image.is_picture or len(planes) == 1:
        kind = "picture" if image.is_picture else "single slice"
        remedy = "give volumes, or use a configuration that works plane by plane"
        raise InputError(image.path, f"is a {kind}, and this network works on volumes", remedy)
    steps = None if planes.spacing is None or planes.step is None else (planes.step, *planes.spacing)
    return planes, working_volume_shape((len(planes), *planes.shape), steps, working, image.path)


def working_volume(
    planes: Planes, rule: IntensityRule, params: dict[str, Any], shape: tuple[int, int, int]
) -> torch.Tensor:
    """Bring a volume to the working grid, plane by plane, so that no float copy of the whole is made.

    Args:
        planes: its planes.
        rule: maps raw values to [0, 1].
        params: of the rule, fitted to the whole volume.
        shape: ``(D, H, W)`` of the working grid.

    Returns:
        float32 ``(C, D, H, W)`` in [0, 1].
    """
    scaled = (torch.from_numpy(rule.apply(planes[k], params)) for k in range(len(planes)))
    resized = torch.stack([resize_planes(plane[None], shape[1:])[0] for plane in scaled], dim=1)
    return resize_across(resized, shape[0])


class LoadVolume(CaseLoading):
    """Read a datalist's item into a volume that is ready for augmentation, for example in a ``CacheDataset``.

    What :class:`monai_supmix.data.LoadPlanes` is to 2D networks: the same view (planes from feet to head, rows from
    front to back, columns from right to left), intensity rules and data types.

    Args:
        intensity: gives the rule that maps an image's raw values to [0, 1].
        num_classes: label values must be below it; 255 at most.
        working: the working grid, see :func:`monai_supmix.data.working_grid.working_volume_shape`.
        axis: direction of the planes.

    The result holds ``image`` float16 ``(C, D, H, W)``, ``case``, and of the file's own planes ``plane_shape``
    ``(H, W)`` and ``spacing`` (millimetres). Where there is a label it also holds ``label`` uint8 ``(1, D, H, W)`` and
    ``labelled_classes``, bool ``(num_classes,)``, see :func:`monai_supmix.imageio.partly.labelled_mask`.

    Raises:
        InputError: there are more classes; when called, for a file that cannot be read or does not fit its label, or is
            not a volume.

    Example:
        >>> import tempfile
        >>> import nibabel
        >>> from monai_supmix.transforms import HUWindow
        >>> path = tempfile.mkdtemp() + "/ct.nii.gz"
        >>> nibabel.save(nibabel.Nifti1Image(np.full((8, 6, 4), -500, np.int16), np.diag([-1, -1, 5, 1])), path)
        >>> item = LoadVolume(lambda image: HUWindow(), num_classes=2)({"image": path, "case": "ct"})
        >>> item["image"].shape, item["image"].unique(), item["spacing"]
        (torch.Size([1, 4, 6, 8]), tensor([0.5000], dtype=torch.float16), (1.0, 1.0))
    """

    def fits(self, image: CaseImage) -> tuple[Planes, tuple[int, int, int]]:
        """Check that an image can be loaded, see `volume_grid`."""
        return volume_grid(image, self.axis, self.working)

    _grid = fits

    def _to_grid(
        self, planes: Planes, rule: IntensityRule, params: dict[str, Any], shape: tuple[int, int, int]
    ) -> torch.Tensor:
        return working_volume(planes, rule, params, shape).half()

    def _label_to_grid(
        self, values: torch.Tensor, labelled: torch.Tensor, shape: tuple[int, int, int]
    ) -> dict[str, Any]:
        label = resize_across(resize_planes(values, shape[1:]).movedim(0, 1), shape[0])
        return {"label": label, "labelled_classes": labelled}

    def samples(self, loaded: Mapping[str, Any], most: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole volume of a loaded case with its label, as a batch of one.

        Args:
            loaded: what a call has made of an item with a label.
            most: at least 1.

        Returns:
            image ``(1, C, D, H, W)`` and label ``(1, 1, D, H, W)``.
        """
        return loaded["image"][None], loaded["label"][None]


class RandVolumeCrop(Randomizable, Transform):
    """Crop a random box from a volume loaded by :class:`LoadVolume`.

    MONAI's ``RandCropByPosNegLabeld`` where there is a label, ``RandSpatialCropd`` where there is none, behind one
    call that serves both streams. A volume that is smaller than the box is padded with 0, which is air or background.

    Args:
        crop_size: ``(D, H, W)`` of the box.
        foreground_prob: probability that the box lies around a voxel of a class other than 0, where there is a label;
            in most boxes of a volume nothing of a rare finding is seen.

    Example:
        >>> item = {"image": torch.rand(1, 8, 16, 16), "case": "a", "spacing": (1.0, 1.0)}
        >>> box = RandVolumeCrop((4, 8, 32)).set_random_state(seed=0)(item)
        >>> tuple(box["image"].shape), sorted(box)
        ((1, 4, 8, 32), ['case', 'image'])
    """

    def __init__(self, crop_size: Sequence[int], foreground_prob: float = 0.5) -> None:
        keys = ("image", "label")
        self.crop_size, self.foreground_prob = tuple(crop_size), foreground_prob
        self._pad = SpatialPadd(keys, self.crop_size, allow_missing_keys=True)
        self._around = RandCropByPosNegLabeld(
            keys, "foreground", self.crop_size, pos=foreground_prob, neg=1 - foreground_prob
        )
        self._anywhere = RandSpatialCropd("image", self.crop_size, random_size=False)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> RandVolumeCrop:
        """Set the random state of both croppers, from which all draws come."""
        super().set_random_state(seed, state)
        self._around.set_random_state(state=self.R)
        self._anywhere.set_random_state(state=self.R)
        return self

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Crop image and label of an item alike."""
        item = self._pad({key: data[key] for key in ("image", "label") if key in data})
        if "label" not in item:
            return {"image": self._anywhere(item)["image"], "case": data["case"]}
        box = self._around({**item, "foreground": shows_foreground(item["label"])})[0]
        kept = {key: data[key] for key in ("labelled_classes", "case") if key in data}
        return {"image": box["image"], "label": box["label"], **kept}
