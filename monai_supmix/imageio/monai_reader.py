"""MONAI's ``LoadImage`` with this package's own reading, so that other programs get the values that it predicts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from monai.data import ImageReader
from monai.utils import ensure_tuple

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.file_kinds import suffix_of
from monai_supmix.imageio.reading import read_image


class CaseReader(ImageReader):
    """Read every format of `read_image` for MONAI's transforms.

    Arrays have MONAI's order of axes: volumes ``(X, Y, Z)``, pictures ``(W, H)`` or ``(W, H, C)``. Values are those
    of the file, after its slope and intercept; the affine leads to RAS+ millimetres.

    Example:
        >>> import tempfile
        >>> from monai.transforms import LoadImage
        >>> from PIL import Image
        >>> path = tempfile.mkdtemp() + "/eye.png"
        >>> Image.new("RGB", (12, 8)).save(path)
        >>> LoadImage(reader=CaseReader, ensure_channel_first=True)(path).shape
        torch.Size([3, 12, 8])
    """

    def verify_suffix(self, filename: Any) -> bool:
        """Whether all names end as those of a known format do; folders do not."""
        return all(suffix_of(name) for name in ensure_tuple(filename))

    def read(self, data: Any, **_: Any) -> CaseImage:
        """Read one file or folder.

        Args:
            data: its path, or a sequence that holds one.

        Raises:
            ValueError: several files.
            InputError: the file cannot be read.
        """
        (path,) = ensure_tuple(data)
        return read_image(path)

    def get_data(self, img: CaseImage | Sequence[CaseImage]) -> tuple[np.ndarray, dict[str, Any]]:
        """Give the array and what MONAI's transforms know of it.

        Args:
            img: what `read` gave.

        Returns:
            the array, and ``affine``, ``spatial_shape``, ``original_channel_dim``, ``spacing_known``.
        """
        (image,) = ensure_tuple(img)
        array = image.values()
        channel_dim: float | int = float("nan")  # MONAI's word for none
        if image.is_picture:
            array = array.transpose(2, 1, 0)
            array, channel_dim = (array[..., 0], channel_dim) if array.shape[2] == 1 else (array, -1)
        affine = np.eye(4) if image.affine is None else image.affine
        return array, {
            "affine": affine.copy(),
            "original_affine": affine.copy(),
            "space": "RAS",
            "spatial_shape": np.array(image.label_shape[::-1] if image.is_picture else image.label_shape),
            "original_channel_dim": channel_dim,
            "spacing_known": int(image.spacing is not None or image.is_picture),
            "filename_or_obj": str(image.path),
        }
