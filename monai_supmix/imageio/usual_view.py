"""Pictures that lie on their side: recognise them and bring them to the usual view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

LYING = {"turns": 3, "mirror": 1}
"""What brings pictures whose rows and columns are exchanged to the usual view.

Looked up in the 8-bit packaging of the MedSeg slices: after three quarter turns and a swap of left and right the spine
is below, and liver and descending aorta are where radiologists expect them, left and right in the picture.
"""


def to_usual_view(array: np.ndarray, turns: int = 0, mirror: int = 0) -> np.ndarray:
    """Bring a picture to the usual view: quarter turns counter-clockwise, then left and right swapped.

    Args:
        array: ``(..., H, W)``, image or label map.
        turns: number of quarter turns (a datalist item's ``turns``).
        mirror: 1 to swap left and right after turning (a datalist item's ``mirror``).

    Returns:
        a view of the array, ``(..., H, W)`` or ``(..., W, H)``; what is written into it goes into the array.

    Example:
        >>> a = np.arange(6).reshape(2, 3)
        >>> bool((to_usual_view(a, turns=3, mirror=1) == a.T).all())
        True
    """
    turned = np.rot90(array, turns, axes=(-2, -1))
    return turned[..., ::-1] if mirror else turned


def lies_on_its_side(pictures: Sequence[np.ndarray]) -> bool:
    """Tell whether axial chest pictures have the spine on the right instead of below, over all of them.

    Along the middle of an axial slice the back (spine, great vessels) is brighter than the front, while right
    and left lung are alike. The axis with the larger difference is front to back. One picture is right in two
    of three cases, 16 together practically always.

    Args:
        pictures: grey pictures ``(H, W)`` of one packaging, any size and range.

    Returns:
        True if the brighter end is the right one, by more than top and bottom differ.

    Example:
        >>> chest = np.zeros((32, 32)); chest[26:, 12:20] = 200
        >>> lies_on_its_side([chest]), lies_on_its_side([chest.T])
        (False, True)
    """
    across, along = [], []
    for picture in pictures:
        height, width = picture.shape
        row = picture[2 * height // 5 : height - 2 * height // 5]
        column = picture[:, 2 * width // 5 : width - 2 * width // 5]
        across.append(float(row[:, -(width // 4) :].mean() - row[:, : width // 4].mean()))
        along.append(float(column[-(height // 4) :].mean() - column[: height // 4].mean()))
    return bool(pictures) and float(np.mean(across)) > abs(float(np.mean(along)))
