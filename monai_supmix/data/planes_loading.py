"""Training images: every plane of a case on the network's working grid, decoded once and kept small."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import Randomizable, Transform

from monai_supmix.data.case_loading import CaseLoading
from monai_supmix.data.intensity_fitting import fit_intensity
from monai_supmix.data.working_grid import to_working_grid, working_shape
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.partly import IGNORED
from monai_supmix.imageio.planes import Planes
from monai_supmix.transforms.intensity import IntensityRule


class LoadPlanes(CaseLoading):
    """Read a datalist's item into planes that are ready for augmentation, for example in a ``CacheDataset``.

    Pictures have one plane, volumes many. Intensities are mapped to [0, 1] by a rule fitted to the whole image,
    planes resized to the working grid, images kept as float16 (finer than 8-bit pictures and than 1 HU in a window
    of 1500) and labels as uint8, so that many volumes fit into memory.

    Args:
        intensity: gives the rule that maps an image's raw values to [0, 1].
        num_classes: label values must be below it; 255 at most.
        working: the working grid, see :func:`monai_supmix.data.working_grid.working_shape`.
        axis: direction of the planes of a volume.

    The result holds ``image`` ``(Z, C, H, W)``, ``case``, and of the file's own planes ``plane_shape`` ``(H, W)``
    and ``spacing`` (millimetres, ``None`` for pictures). Where there is a label it also holds ``label``
    ``(Z, 1, H, W)``, ``foreground`` (the numbers of the planes that show a class other than 0) and
    ``labelled_classes``, bool ``(Z, num_classes)``, see :func:`monai_supmix.imageio.partly.labelled_mask`.

    Raises:
        InputError: there are more classes; when called, for a file that cannot be read or does not fit its label.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> from monai_supmix.transforms import PercentileScale
        >>> folder = tempfile.mkdtemp()
        >>> Image.new("RGB", (12, 8)).save(f"{folder}/image.png")
        >>> Image.new("L", (12, 8), 1).save(f"{folder}/label.png")
        >>> load = LoadPlanes(lambda image: PercentileScale(), num_classes=2, working={"scale": 0.5})
        >>> item = load({"image": f"{folder}/image.png", "label": f"{folder}/label.png", "case": "eye"})
        >>> item["image"].shape, item["label"].shape, item["foreground"], item["plane_shape"]
        (torch.Size([1, 3, 4, 6]), torch.Size([1, 1, 4, 6]), array([0]), (8, 12))
    """

    def fits(self, image: CaseImage) -> None:
        """Check that an image can be loaded.

        Raises:
            InputError: the intensity rule does not apply to it.
        """
        fit_intensity(image, self.intensity(image))

    def _grid(self, image: CaseImage) -> tuple[Planes, tuple[int, int]]:
        planes = Planes(image, self.axis)
        return planes, working_shape(planes.shape, planes.spacing, self.working, image.path)

    def _to_grid(
        self, planes: Planes, rule: IntensityRule, params: dict[str, Any], shape: tuple[int, int]
    ) -> torch.Tensor:
        scaled = (torch.from_numpy(rule.apply(planes[k], params)) for k in range(len(planes)))
        return torch.stack([to_working_grid(plane[None], shape, self.working)[0].half() for plane in scaled])

    def _label_to_grid(self, values: torch.Tensor, labelled: torch.Tensor, shape: tuple[int, int]) -> dict[str, Any]:
        label = to_working_grid(values, shape, self.working)
        foreground = np.flatnonzero(shows_foreground(label).flatten(1).any(dim=1).numpy())
        return {"label": label, "foreground": foreground, "labelled_classes": labelled.expand(len(values), -1)}

    def samples(self, loaded: Mapping[str, Any], most: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Some planes of a loaded case with its label, evenly spaced, always the same.

        Args:
            loaded: what a call has made of an item with a label.
            most: how many at most.

        Returns:
            images ``(N, C, H, W)`` and labels ``(N, 1, H, W)``, copies that hold no other plane in memory.
        """
        chosen = evenly_spaced(len(loaded["image"]), most)
        return loaded["image"][chosen], loaded["label"][chosen]


class RandPlane(Randomizable, Transform):
    """Take one random plane of a case loaded by :class:`LoadPlanes`.

    Args:
        foreground_prob: probability that the plane is drawn among those with foreground in their label, where there
            is a label; most planes of a volume show none of a rare finding.

    Example:
        >>> item = {"image": torch.rand(5, 1, 8, 8), "foreground": np.array([3]), "case": "a"}
        >>> plane = RandPlane(foreground_prob=1.0).set_random_state(seed=0)(item)
        >>> torch.equal(plane["image"], item["image"][3]), sorted(plane)
        (True, ['case', 'image'])
    """

    def __init__(self, foreground_prob: float = 0.5) -> None:
        self.foreground_prob = foreground_prob

    def randomize(self, data: Mapping[str, Any]) -> None:
        """Draw the number of a plane, of all or of those with foreground."""
        num_planes, foreground = len(data["image"]), data.get("foreground", np.arange(0))
        use_foreground = self.R.uniform() < self.foreground_prob and len(foreground) > 0
        self.index = int(self.R.choice(foreground) if use_foreground else self.R.randint(num_planes))

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """Take the plane from every tensor of an item."""
        self.randomize(data)
        planes = {key: data[key][self.index] for key in ("image", "label", "labelled_classes") if key in data}
        return {**planes, "case": data["case"]}


def evenly_spaced(count: int, most: int) -> torch.Tensor:
    """Numbers of evenly spaced planes, always the same ones.

    Args:
        count: how many planes there are.
        most: how many numbers at most.

    Example:
        >>> evenly_spaced(9, 3), evenly_spaced(2, 3)
        (tensor([1, 4, 7]), tensor([0, 1]))
    """
    chosen = min(most, count)
    return ((torch.arange(chosen) + 0.5) * count / chosen).long()


def shows_foreground(label: torch.Tensor) -> torch.Tensor:
    """Where a label map shows a class other than the background: ignored pixels show none.

    Args:
        label: uint8 of any shape.

    Returns:
        bool, of the same shape.

    Example:
        >>> shows_foreground(torch.tensor([0, 1, 255], dtype=torch.uint8))
        tensor([False,  True, False])
    """
    return (label != 0) & (label != IGNORED)


def trained_on(items: Iterable[Mapping[str, Any]]) -> dict[str, list[float] | None]:
    """What a later image is compared with, to warn when it is far from all that training has seen.

    Args:
        items: what :class:`LoadPlanes` made of the training images.

    Returns:
        smallest and largest ``size`` of a plane in pixels, ``spacing`` in mm and ``field_of_view`` in mm; ``None``
        where no image has a spacing.

    Example:
        >>> trained_on([{"plane_shape": (4, 8), "spacing": None}, {"plane_shape": (6, 6), "spacing": (0.5, 0.5)}])
        {'size': [4, 8], 'spacing': [0.5, 0.5], 'field_of_view': [3.0, 3.0]}
    """
    values: dict[str, list[float]] = {"size": [], "spacing": [], "field_of_view": []}
    for item in items:
        values["size"] += item["plane_shape"]
        if item["spacing"] is not None:
            values["spacing"] += item["spacing"]
            values["field_of_view"] += np.multiply(item["plane_shape"], item["spacing"]).tolist()
    return {name: [min(numbers), max(numbers)] if numbers else None for name, numbers in values.items()}
