"""Where in some planes classes compete: the part of the working grid that has to be seen on the planes' own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from torch import Tensor

_MARGIN = 1e-4  # far above what rounding adds to an interpolated probability

Window = tuple[slice, slice]
"""Rows and columns of a plane."""


@dataclass(frozen=True)
class Competition:
    """Classes, and the window in which any but the first of them can win.

    Args:
        classes: ascending numbers, 0 first.
        working: the window on the working grid.
        native: the same window on the planes' own grid.
    """

    classes: Sequence[int]
    working: Window
    native: Window

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the window on the native grid."""
        rows, columns = self.native
        return rows.stop - rows.start, columns.stop - columns.start


def competition(
    probabilities: Tensor, native: tuple[int, int], working: Mapping[str, Any] | None = None
) -> Competition | None:
    """Find classes that can be the most probable one somewhere, now or after linear interpolation, and where.

    A class that is less probable than the background at some pixels stays so between them, for interpolated values are
    means of their neighbours: it need not be interpolated there. Resizing the window of the working grid to that of
    the native grid gives what resizing whole planes gives, but at the window's edges, where the background wins.

    Args:
        probabilities: ``(B, K, h, w)`` on the host, none of them NaN.
        native: ``(H, W)`` of the planes.
        working: the working grid; of one that is the middle of planes only the classes are told.

    Returns:
        ``None`` where the background wins everywhere.

    Example:
        >>> import torch
        >>> probabilities = torch.zeros(1, 3, 8, 8)
        >>> probabilities[:, 0] = 1
        >>> competition(probabilities, (16, 16)) is None
        True
        >>> probabilities[:, 2, 0, 4] = 1
        >>> rivalry = competition(probabilities, (16, 16))
        >>> rivalry.classes, rivalry.native
        ([0, 2], (slice(0, 8, None), slice(2, 16, None)))
    """
    lead = probabilities[:, 1:] - probabilities[:, :1]
    rivals = (lead.amax(dim=(0, 2, 3)) > -_MARGIN).nonzero().flatten() + 1
    if not len(rivals):
        return None
    whole = replace(everywhere(probabilities, native), classes=[0, *rivals.tolist()])
    if "center" in (working or {}):
        return whole
    possible = lead.amax(dim=(0, 1)) > -_MARGIN
    rows = _window(possible.any(dim=1), native[0])
    columns = _window(possible.any(dim=0), native[1])
    return replace(whole, working=(rows[0], columns[0]), native=(rows[1], columns[1]))


def everywhere(probabilities: Tensor, native: tuple[int, int]) -> Competition:
    """All classes, in whole planes; for `competition`."""
    height, width = probabilities.shape[2:]
    whole = (slice(0, height), slice(0, width))
    return Competition(range(probabilities.shape[1]), whole, (slice(0, native[0]), slice(0, native[1])))


def _window(possible: Tensor, native: int) -> tuple[slice, slice]:
    """The part of a side that holds all that is possible, with its surroundings, on the working and the native grid.

    It consists of whole blocks, the smallest that both grids have, so that pixels keep their places.
    """
    places = possible.nonzero().flatten()
    side, count = len(possible), gcd(len(possible), native)
    reach = 2 + 2 * side // native  # as far as smoothing reaches when the native grid is the coarser one
    first = max(0, int(places[0]) - reach) * count // side
    last = min(side - 1, int(places[-1]) + reach) * count // side + 1
    return slice(first * side // count, last * side // count), slice(first * native // count, last * native // count)
