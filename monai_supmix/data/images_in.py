"""Which files of a data folder are images to predict, and not label maps beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from monai_supmix.data.chase import holds_chase


class ImageFolder(str):
    """The path of the folder of images inside a data folder, beside which other images may lie that are left out."""

    __slots__ = ()


def images_in(dataset_dir: str | Sequence[str]) -> str | list[str]:
    """Narrow a folder in a known layout down to its images; anything else stays as it is.

    Args:
        dataset_dir: what a user names: files, folders, patterns or datalists.

    Returns:
        of CHASE_DB1 the photographs; of the nnU-Net layout ``imagesTs`` (without it ``imagesTr``); ``images/`` where
        there is one, these as an `ImageFolder`; else what was given.

    Example:
        >>> images_in("scan.nii.gz")
        'scan.nii.gz'
    """
    if not isinstance(dataset_dir, (str, Path)) or not Path(dataset_dir).is_dir():
        return dataset_dir  # type: ignore[return-value]
    folder = Path(dataset_dir)
    if holds_chase(folder):
        return sorted(str(path) for path in folder.rglob("Image_*.jpg"))
    for name in ("imagesTs", "imagesTr", "images"):
        if (folder / name).is_dir():
            return ImageFolder(folder / name)
    return str(folder)
