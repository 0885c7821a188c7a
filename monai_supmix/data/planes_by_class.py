"""Labelled planes drawn by class, so that a class that few planes show is seen as often as the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from monai_supmix.data.planes_loading import shows_foreground
from monai_supmix.errors import InputError


class PlanesByClass(Dataset):
    """The planes of all labelled cases once, and those of each foreground class once more.

    As ``items`` of the labelled :class:`monai_supmix.data.StreamLoader`, which draws its items equally often: with
    ``n`` foreground classes in the labels, a share of ``1 / (n + 1)`` of the samples shows any plane, and as
    many show each class, however rare it is (class-balanced sampling; Shen, Lin, Huang, ECCV 2016). Only the
    images are drawn differently: :class:`monai_supmix.data.RandPlane` takes one plane of the group drawn, and SupMix
    pastes from what it is given.

    Nothing is copied: the groups hold views of the cases' planes.

    Args:
        items: labelled cases as :class:`monai_supmix.data.LoadPlanes` gives them: ``image`` ``(Z, C_in, H, W)``,
            ``label`` ``(Z, 1, H, W)``, ``case``, and ``labelled_classes`` ``(Z, C)`` if only some may be labelled.
        num_classes: number of classes ``C``, background included. Other label values, such as those of ignored
            pixels, are not classes.
        background_classes: classes without a group of their own.

    Raises:
        ValueError: a case has no label.
        InputError: the cases are whole volumes, loaded for a network in 3D.

    Example:
        >>> label = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
        >>> label[3] = 2
        >>> case = {"image": torch.rand(4, 1, 2, 2), "label": label, "case": "a"}
        >>> groups = PlanesByClass([case], num_classes=3)
        >>> [(group["case"], len(group["image"])) for group in groups]
        [('all', 4), ('class 2', 1)]
    """

    def __init__(
        self, items: Sequence[Mapping[str, Any]] | Dataset, num_classes: int, background_classes: Sequence[int] = (0,)
    ) -> None:
        cases: list[Mapping[str, Any]] = [items[k] for k in range(len(items))]  # type: ignore[arg-type]
        for case in cases:
            if "label" not in case:
                raise ValueError(f"{case['case']} has no label: only labelled planes can be drawn by class.")
            if case["label"].ndim != 4 or case["label"].shape[1] != 1:
                problem = "draws planes by class, and these cases are loaded as whole volumes"
                raise InputError("PlanesByClass", problem, "load planes", code="planes-of-volumes")
        whole = torch.ones(num_classes, dtype=torch.bool)
        planes = [
            plane
            for case in cases
            for plane in zip(
                case["image"],
                case["label"],
                case.get("labelled_classes", whole.expand(len(case["image"]), -1)),
                strict=True,
            )
        ]
        self._groups = [_group("all", planes)]
        for c in range(num_classes):
            showing = [plane for plane in planes if bool((plane[1] == c).any())]
            if showing and c not in background_classes:
                self._groups.append(_group(f"class {c}", showing))

    def __len__(self) -> int:
        return len(self._groups)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """A group in the form of a case: its planes with their labels."""
        return self._groups[index]


def _group(name: str, planes: Sequence[tuple[torch.Tensor, ...]]) -> dict[str, Any]:
    images, labels, labelled = zip(*planes, strict=True)
    foreground = np.array([k for k, label in enumerate(labels) if bool(shows_foreground(label).any())], dtype=int)
    return {"image": images, "label": labels, "labelled_classes": labelled, "foreground": foreground, "case": name}
