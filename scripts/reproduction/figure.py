"""`figure.png` and `figure.pdf`: input, truth and each method, as in the paper's Figure 3.

Each case has two rows: the whole image, and the part in which the methods differ most, enlarged, with every
wrong region outlined. Colours are those of Okabe and Ito, which colour-blind people can distinguish.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from PIL import Image
from scipy.ndimage import uniform_filter

from monai_supmix.data import CaseImage, load_case
from monai_supmix.files import atomic_write
from monai_supmix.handlers.overlays import CLASS_COLOURS, overlay_labels, to_rgb
from monai_supmix.imageio.planes import Planes
from monai_supmix.metrics import iou, mean_present
from monai_supmix.palette import ERROR_COLOURS
from monai_supmix.report.gallery import brightness
from monai_supmix.transforms.intensity import IntensityRule
from reproduction.evidence import Finished
from reproduction.store import PREDICTIONS, Store
from reproduction.table import title

_NUM_CASES = 2
_DETAIL = 0.25  # side of the enlarged part, as a share of the image's
_TILE, _TILE_PIXELS, _DPI = 1.9, 400, 120  # inches, and pixels of what is shown in them
_OUTLINES = {name: to_hex(np.divide(ERROR_COLOURS[name], 255)) for name in ("missed", "spurious", "wrong class")}

_ON_ANY_GROUND = [withStroke(linewidth=1.5, foreground="black")]  # bright lines, seen on bright images too


@dataclass(frozen=True)
class ShownCase:
    """A case with all that is shown of it.

    Args:
        name: the case.
        image: ``(C, H, W)`` in [0, 1].
        truth: true classes, ``(H, W)``.
        predictions: predicted classes by method, ``(H, W)`` each.
    """

    name: str
    image: np.ndarray
    truth: np.ndarray
    predictions: Mapping[str, np.ndarray]


def figure_cells(finished: Sequence[Finished], store: Store) -> list[Finished]:
    """The cells that a figure shows: all methods of one seed with the fewest labelled images.

    Args:
        finished: cells in the order of the tables.
        store: their folder.

    Returns:
        cells of the seed that most methods were run with, the smallest if there are several; none where the
        label maps of one are not at hand, for they stay where a cell was run.
    """
    if not finished:
        return []
    count = min(one.cell.num_labeled for one in finished)
    cells = [one for one in finished if one.cell.num_labeled == count]
    seeds = [one.cell.seed for one in cells]
    seed = min(seeds, key=lambda candidate: (-seeds.count(candidate), candidate))
    cells = [one for one in cells if one.cell.seed == seed]
    at_hand = all((store.run_folder(one.cell, one.configuration) / PREDICTIONS).exists() for one in cells)
    return cells if at_hand else []


def choose_cases(cells: Sequence[Finished], num_cases: int = _NUM_CASES) -> list[str]:
    """Choose the cases at evenly spaced ranks of the foreground IoU, averaged over methods.

    Two of them are neither the best nor the worst but a third from either end, so that nobody picks by eye.

    Args:
        cells: the cells to show, tested on the same images.
        num_cases: how many to choose.

    Returns:
        names of cases, the better ones first; cases without foreground are passed over.
    """
    scores = np.stack([mean_present(iou(one.counts)[:, 1:]) for one in cells])
    mean = mean_present(scores.T)
    ranked = sorted(np.flatnonzero(~np.isnan(mean)), key=lambda index: -mean[index])
    places = np.unique(np.rint(np.linspace(-0.5, len(ranked) - 0.5, num_cases + 2)[1:-1]).astype(int))
    return [cells[0].cases[ranked[place]] for place in places if 0 <= place < len(ranked)]


def load_cases(
    cells: Sequence[Finished],
    store: Store,
    items: Sequence[Mapping[str, Any]],
    intensity: Callable[[CaseImage], IntensityRule],
) -> list[ShownCase]:
    """Read the chosen cases and what was predicted of them.

    Args:
        cells: the cells to show.
        store: their folder.
        items: test items of the datalist.
        intensity: gives the rule that maps an image's raw values to [0, 1].

    Returns:
        the plane with most foreground of each case, in the usual view.
    """
    by_name = {item["case"]: item for item in items}
    chosen = [name for name in choose_cases(cells) if name in by_name]
    predicted: dict[str, dict[str, np.ndarray]] = {}
    for one in cells:
        with np.load(store.run_folder(one.cell, one.configuration) / PREDICTIONS) as maps:
            predicted[title(one.cell.method)] = {name: maps[name] for name in chosen}
    shown = []
    for name in chosen:
        image, truth = load_case(by_name[name], len(cells[0].class_names))
        assert truth is not None  # test items have a label
        planes = Planes(image)
        true = planes.view(truth)
        index = int(np.argmax([np.count_nonzero(plane) for plane in true]))
        maps_here = {method: np.ascontiguousarray(planes.view(maps[name])[index]) for method, maps in predicted.items()}
        picture = brightness(image, intensity)(planes[index])
        shown.append(ShownCase(name, picture, np.ascontiguousarray(true[index]), maps_here))
    return shown


def detail(case: ShownCase) -> tuple[slice, slice]:
    """Where the methods differ most: the square in which the number of wrong pixels varies most between them.

    Args:
        case: the case.

    Returns:
        rows and columns.
    """
    height, width = case.truth.shape
    side = max(1, min(round(_DETAIL * max(height, width)), height, width))
    wrong = np.stack([prediction != case.truth for prediction in case.predictions.values()]).astype(np.float32)
    density = np.stack([uniform_filter(plane, side, mode="constant") for plane in wrong])
    spread = density.std(axis=0) if len(density) > 1 else density[0]
    half = side // 2
    inside = spread[half : height - side + half + 1, half : width - side + half + 1]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return slice(int(row), int(row) + side), slice(int(column), int(column) + side)


def draw(cases: Sequence[ShownCase], class_names: Sequence[str], caption: str) -> Figure:
    """Draw the figure.

    Args:
        cases: what to show, with the same methods each.
        class_names: names of the classes, background first.
        caption: a line above.

    Returns:
        the figure.
    """
    methods = list(cases[0].predictions)
    columns = ["Input", "Truth", *methods]
    heights = [height for case in cases for height in (case.truth.shape[0] / case.truth.shape[1], 1.0)]
    size = (_TILE * len(columns), _TILE * sum(heights) + 1.1)
    figure = Figure(figsize=size, layout="compressed")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2 * len(cases), len(columns), squeeze=False, height_ratios=heights)
    for column, name in enumerate(columns):
        axes[0, column].set_title(name, fontsize=9)
    for number, case in enumerate(cases):
        height, width = case.truth.shape
        rows, columns_shown = detail(case)
        whole, enlarged = axes[2 * number], axes[2 * number + 1]
        whole[0].set_ylabel(case.name, fontsize=8)
        enlarged[0].set_ylabel("enlarged", fontsize=8)
        labels = [None, case.truth, *case.predictions.values()]
        for axis, closer, label in zip(whole, enlarged, labels, strict=True):
            picture = to_rgb(case.image) if label is None else overlay_labels(case.image, label)
            axis.imshow(_smaller(picture), extent=(-0.5, width - 0.5, height - 0.5, -0.5))
            corner = (columns_shown.start - 0.5, rows.start - 0.5)
            side = rows.stop - rows.start
            axis.add_patch(Rectangle(corner, side, side, fill=False, edgecolor="white", linewidth=0.8))
            closer.imshow(picture[rows, columns_shown], interpolation="nearest")
            if label is not None and label is not case.truth:
                _outline(closer, case.truth[rows, columns_shown], label[rows, columns_shown])
    for axis in axes.flat:
        axis.set_xticks([])
        axis.set_yticks([])
        for spine in axis.spines.values():
            spine.set_visible(False)
    present = {int(value) for case in cases for value in np.unique([case.truth, *case.predictions.values()])}
    handles: list[Any] = [
        Patch(color=CLASS_COLOURS[1 + (value - 1) % (len(CLASS_COLOURS) - 1)] / 255, label=class_names[value])
        for value in sorted(present - {0})
    ]
    outlines = list(_OUTLINES.items())[: 3 if len(class_names) > 2 else 2]
    handles += [Line2D([], [], color=colour, linewidth=2, label=f"outlined: {name}") for name, colour in outlines]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=min(len(columns) - 1, len(handles)),
        fontsize=9,
        frameon=False,
    )
    figure.suptitle(caption, fontsize=10)
    return figure


def _smaller(picture: np.ndarray) -> np.ndarray:
    """A picture of about as many pixels as a tile shows, so that the files stay small."""
    small = Image.fromarray(picture)
    small.thumbnail((_TILE_PIXELS, _TILE_PIXELS), Image.Resampling.LANCZOS)
    return np.asarray(small)


def _outline(axis: Axes, truth: np.ndarray, prediction: np.ndarray) -> None:
    """Outline what is wrong, along the edges of pixels."""
    wrong = {
        "missed": (truth > 0) & (prediction == 0),
        "spurious": (truth == 0) & (prediction > 0),
        "wrong class": (truth > 0) & (prediction > 0) & (truth != prediction),
    }
    for name, mask in wrong.items():
        starts, ends = _edges(mask)
        lines = np.full((len(starts) * 3, 2), np.nan)  # NaN lifts the pen
        lines[0::3], lines[1::3] = starts, ends
        axis.plot(lines[:, 1], lines[:, 0], color=_OUTLINES[name], linewidth=0.8, path_effects=_ON_ANY_GROUND)


def _edges(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Start and end, ``(row, column)``, of every edge between a pixel inside and one outside."""
    padded = np.pad(mask, 1)
    across = np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1]) - 0.5  # edges that lie along a row
    down = np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1]) - 0.5
    starts = np.concatenate([across, down])
    ends = np.concatenate([across + np.array([0, 1]), down + np.array([1, 0])])
    return starts, ends


def save(figure: Figure, out: Path) -> None:
    """Write ``figure.png`` and ``figure.pdf``, in which outlines and letters are vectors.

    Args:
        figure: what `draw` made.
        out: the folder.

    Raises:
        InputError: the system refuses to write.
    """
    # The same bytes each time, so that version control sees a change only where there is one.
    for ending, about in (("png", {"Software": None}), ("pdf", {"CreationDate": None})):
        with atomic_write(out / f"figure.{ending}") as file:
            figure.savefig(file, format=ending, dpi=_DPI, metadata=about)
