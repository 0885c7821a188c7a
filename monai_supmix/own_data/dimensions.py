"""Whether volumes are segmented plane by plane or as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from monai_supmix.listing import counted
from monai_supmix.own_data.choice import Choice
from monai_supmix.own_data.facts import View

VOLUME_PRESET = "volume3d"
_THICK = 2.5  # planes that lie so many pixels apart, or more, show little of each other
_FEW = 24  # planes of a volume


def propose_dimensions(views: Sequence[View] | None, has_gpu: bool | None = None) -> tuple[str | None, Choice]:
    """Propose a network for planes or one for volumes.

    Args:
        views: the axial planes of all volumes; ``None`` where a volume has none.
        has_gpu: whether training has a GPU; by default whether there is one.

    Returns:
        the preset to train with, ``None`` for the bundle's own network for planes, and the reason.

    Example:
        >>> propose_dimensions([View(80, (256, 256), (1.0, 1.0), 1.0)], has_gpu=True)[0]
        'volume3d'
        >>> propose_dimensions([View(80, (256, 256), (1.0, 1.0), 5.0)], has_gpu=True)[1].why
        'planes lie 5 mm apart, 5 times the side of a pixel: one shows little of the next'
        >>> propose_dimensions([View(200, (256, 12), (1.0, 8.0), 1.0)], has_gpu=True)[1].why  # sagittal planes
        'planes lie 8 mm apart, 8 times the side of a pixel: one shows little of the next'
    """
    if views is None:
        return _planes("not all volumes have axial planes, which the network for volumes takes")
    voxels = [(view.step, *view.spacing) for view in views if view.step is not None and view.spacing is not None]
    pixel, *_, step = sorted(float(size) for size in np.median(voxels, axis=0))  # along whichever axis planes are thick
    planes = int(np.median([view.planes for view in views]))
    if step >= _THICK * pixel:
        times = f"{step / pixel:.2g} times the side of a pixel"
        return _planes(f"planes lie {step:.3g} mm apart, {times}: one shows little of the next")
    if planes < _FEW:
        return _planes(f"volumes have {counted(planes, 'plane')}, too few for a network for volumes")
    close = f"planes lie {step:.3g} mm apart, with pixels of {pixel:.3g} mm: structures go on from one to the next"
    if not (torch.cuda.is_available() if has_gpu is None else has_gpu):
        return _planes(f"{close}, but a network for volumes ({_OPTION}) takes long without a GPU")
    return VOLUME_PRESET, Choice("2D or 3D", f"3D, volumes in blocks ({_OPTION})", close)


_OPTION = f"--preset {VOLUME_PRESET}"


def _planes(why: str) -> tuple[None, Choice]:
    return None, Choice("2D or 3D", "2D, plane by plane", why)
