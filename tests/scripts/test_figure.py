"""The figure: which cases and which part of them, and outlines exactly around what is wrong."""

import numpy as np
from PIL import Image
from reproduction.figure import ShownCase, _edges, choose_cases, detail, draw, save

from tests.scripts.made_up import counts, finished


def test_cases_are_neither_the_best_nor_the_worst():
    cells = [finished("supmix", counts((9, 1, 0), (8, 2, 0), (7, 3, 0), (6, 4, 0)))]
    assert choose_cases(cells) == ["11R", "12L"]
    cells = [finished("supmix", counts((0, 0, 0), (8, 2, 0), (0, 0, 0), (0, 0, 0)))]
    assert choose_cases(cells) == ["11R"]


def test_edges_enclose_exactly_the_mask():
    mask = np.zeros((6, 7), bool)
    mask[1:3, 2:5] = mask[4, 0] = mask[5, 6] = True
    starts, ends = _edges(mask)
    assert np.abs(starts - ends).sum(axis=1).tolist() == [1] * len(starts)
    crossings = np.zeros(mask.shape, int)  # a ray to the left of each pixel crosses the outline an odd number of times
    for start, end in zip(starts, ends, strict=True):
        if start[1] == end[1]:  # an edge down a column
            crossings[int(start[0] + 0.5), int(np.ceil(start[1])) :] += 1
    assert np.array_equal(crossings % 2 == 1, mask)


def shown(size=(80, 100)):
    truth = np.zeros(size, np.uint8)
    truth[10:30, 10:30] = 1
    good, poor = truth.copy(), truth.copy()
    poor[60:70, 80:90] = 1
    return ShownCase("a", np.full((1, *size), 0.5), truth, {"Supervised": poor, "SupMix": good})


def test_the_part_where_methods_differ_is_enlarged():
    rows, columns = detail(shown())
    assert rows.start <= 60 and rows.stop >= 70
    assert columns.start <= 80 and columns.stop >= 90
    assert rows.stop - rows.start == columns.stop - columns.start == 25


def test_every_method_has_its_column_and_only_wrong_pixels_are_outlined(tmp_path):
    figure = draw([shown()], ["background", "vessel"], "2 labelled")
    axes = np.array(figure.axes).reshape(2, 4)
    assert [axis.get_title() for axis in axes[0]] == ["Input", "Truth", "Supervised", "SupMix"]
    outlined = [[np.isfinite(line.get_xdata()).sum() for line in axis.lines] for axis in axes[1]]
    assert outlined == [[], [], [0, 80, 0], [0, 0, 0]]  # both ends of 40 edges around 10 x 10 spurious pixels
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "vessel", "outlined: missed", "outlined: spurious"
    ]  # fmt: skip
    save(figure, tmp_path)
    with Image.open(tmp_path / "figure.png") as picture:
        assert picture.size[0] > 800
    names = ("figure.png", "figure.pdf")
    first = [(tmp_path / name).read_bytes() for name in names]
    save(draw([shown()], ["background", "vessel"], "2 labelled"), tmp_path)
    assert [(tmp_path / name).read_bytes() for name in names] == first
