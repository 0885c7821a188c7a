"""Which files of a data folder are images to predict, and not label maps beside them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class ImageFolder(str):
    """The path of the folder of images inside a data folder, beside which other images may lie that are left out."""

    __slots__ = ()


def images_in(dataset_dir: str | Sequence[str]) -> str | list[str]:
    """Narrow folders in a known layout down to their images; anything else stays as it is.

    Args:
        dataset_dir: what a user names: a file, folder, pattern or datalist, or several of these.

    Returns:
        of the nnU-Net layout ``imagesTs`` (without it ``imagesTr``); ``images/`` where there is one, these as an
        `ImageFolder`; else what was given.

    Example:
        >>> images_in("scan.nii.gz")
        'scan.nii.gz'
        >>> images_in(["scan.nii.gz", "more/*.png"])
        ['scan.nii.gz', 'more/*.png']
    """
    if isinstance(dataset_dir, (str, Path)):
        return _narrow(dataset_dir)
    return [_narrow(entry) for entry in dataset_dir]


def _narrow(entry: str | Path) -> str:
    folder = Path(entry)
    for name in ("imagesTs", "imagesTr", "images"):
        if (folder / name).is_dir():
            return ImageFolder(folder / name)
    return str(entry)
