"""Grey pictures that were saved in colour, as most published collections of slices are."""

from __future__ import annotations

from dataclasses import replace

from monai_supmix.imageio.case_image import CaseImage


def is_grey_in_colour(image: CaseImage) -> bool:
    """Whether this is a colour picture whose three channels are equal, so that nothing is lost in grey.

    Example:
        >>> import numpy as np
        >>> is_grey_in_colour(CaseImage.from_array(np.ones((3, 4, 4), np.uint8)))
        True
    """
    return image.is_picture and image.channels == 3 and bool((image.array == image.array[:1]).all())


def fit_channels(image: CaseImage, channels: int | None) -> CaseImage:
    """Read a grey picture that was saved in colour as grey, where a network takes one channel.

    Args:
        image: any image.
        channels: what the network takes; ``None`` if that is not known.

    Returns:
        the image with one channel and a note, or as it is.
    """
    if channels != 1 or not is_grey_in_colour(image):
        return image
    note = "saved in colour with three equal channels: read as grey"
    return replace(image, array=image.array[:1], notes=(*image.notes, note))
