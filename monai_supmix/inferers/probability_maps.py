"""Probability maps beside a mask, uint8 in units of 1/255."""

from __future__ import annotations

import contextlib
import glob
import secrets
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.masks import write_mask
from monai_supmix.naming import plain_names


class ProbabilityMaps:
    """The maps of one case: filled on the disk while it is predicted, written when its mask is replaced.

    Args:
        image: the image.
        mask_path: where its mask goes; the maps lie beside it.
        class_names: names of the classes, background first.

    Attributes:
        array: uint8 ``(classes, *image.label_shape)`` to be filled, in a temporary file that `close` removes.
    """

    def __init__(self, image: CaseImage, mask_path: Path, class_names: Sequence[str]) -> None:
        self.mask_path, self.class_names = mask_path, class_names
        temporary = mask_path.with_name(f".{mask_path.name[-50:]}.{secrets.token_hex(6)}.prob")
        shape = (*image.label_shape, len(class_names))
        self._remove = weakref.finalize(self, _remove, temporary)  # also where nobody writes them
        self.array: np.ndarray = np.moveaxis(np.memmap(temporary, np.uint8, "w+", shape=shape, order="F"), -1, 0)

    def write(self, image: CaseImage) -> None:
        """Write the map of each foreground class; of the image only its geometry is needed."""
        for path, values in zip(map_paths(self.mask_path, self.class_names), self.array[1:], strict=True):
            write_mask(values, image, path, slope=1 / 255)

    def close(self) -> None:
        """Give the room on the disk back; twice does no harm."""
        self.array = np.empty(0, np.uint8)
        self._remove()


def _remove(temporary: Path) -> None:
    with contextlib.suppress(OSError):  # Windows keeps it as long as an error's traceback knows the array
        temporary.unlink(missing_ok=True)


def remove_maps(mask_path: Path) -> None:
    """Remove the maps of a mask that is replaced, of whatever classes."""
    stem = mask_path.name.removesuffix(_suffix(mask_path))
    for old in mask_path.parent.glob(f"{glob.escape(stem)}_prob_*"):
        old.unlink()


def map_paths(mask_path: Path, class_names: Sequence[str]) -> list[Path]:
    """Where the maps of the foreground classes lie.

    Example:
        >>> [path.name for path in map_paths(Path("a_seg.nii.gz"), ["background", "ground glass", "vessel"])]
        ['a_seg_prob_ground_glass.nii.gz', 'a_seg_prob_vessel.nii.gz']
    """
    suffix = _suffix(mask_path)
    stem = mask_path.name.removesuffix(suffix)
    return [mask_path.with_name(f"{stem}{infix}{suffix}") for infix in map_infixes(class_names)]


def map_infixes(class_names: Sequence[str]) -> list[str]:
    """What the names of the foreground classes' probability maps have before their ending.

    Example:
        >>> map_infixes(["background", "ground glass", "vessel"])
        ['_prob_ground_glass', '_prob_vessel']
    """
    return [f"_prob_{name}" for name in plain_names(class_names, others="-")[1:]]


def _suffix(mask_path: Path) -> str:
    return ".png" if mask_path.suffix == ".png" else ".nii.gz"
