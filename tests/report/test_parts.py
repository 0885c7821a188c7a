"""Tables, curves, records, pictures: the parts of a report."""

import base64
import io
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.handlers.overlays import ERROR_COLOURS, class_colours
from monai_supmix.imageio.planes import Planes
from monai_supmix.report import CaseGallery, command_line, read_history, write_history
from monai_supmix.report.charts import chart
from monai_supmix.report.curves import line_chart, nice_ticks
from monai_supmix.report.gallery import choose_planes, file_name, within_budget
from monai_supmix.report.markup import settings_list, table
from monai_supmix.report.pictures import draw_outline, draw_plane
from tests.report.examples import NAMES, SETTINGS, Unit, history, picture_case, volume_case
from tests.report.pages import Page


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_enclose_the_range_in_equal_steps(low, extent):
    high = low + max(extent, 1e-4 * abs(low))
    ticks = nice_ticks(low, high)
    steps = np.diff(ticks)
    slack = 1e-6 * max(abs(low), abs(high), 1e-6)
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 8
    assert steps == pytest.approx(steps[0], rel=1e-2)


def test_curves_lie_within_the_drawing_and_meet_their_values():
    points = [(x, math.sin(x / 50)) for x in range(0, 1000)]
    page = Page(line_chart("a <b>", {"one": points, "two": [(0, 0.5), (999, 0.25)]}))
    lines = [[tuple(map(float, p.split(","))) for p in a["points"].split()] for a in page.all("polyline")]
    assert len(lines[0]) <= 240
    for line in lines:
        assert all(46 <= x <= 370 and 8 <= y <= 176 for x, y in line)
    grid = {float(a["d"].split()[1].split("H")[0]) for a in page.all("path")}
    assert lines[1][0][1] in grid  # 0.5 is on a grid line
    assert "two 0.2500" in page.text
    assert "a <b>" in page.text


@pytest.mark.parametrize("value", [0.0, 0.5, 1e-9, 1e9])
def test_constant_curves_are_drawn(value):
    page = Page(line_chart("t", {"a": [(1, value), (2, value)]}))
    ((_, y), (_, other)) = (map(float, p.split(",")) for p in page.all("polyline")[0]["points"].split())
    assert 8 <= y == other <= 176


def test_gaps_and_single_points():
    chart = line_chart("t", {"a": [(1, 1.0), (2, None), (3, 2.0), (4, math.nan), (5, 1.0), (6, 1.0)]})
    page = Page(chart)
    assert (len(page.all("circle")), len(page.all("polyline"))) == (2, 1)
    assert line_chart("t", {"a": [(1, None)]}) == ""


def test_cells_hold_what_they_sort_by():
    page = Page(table(["case", "IoU"], [["a<", 1 / 3], ["b", None]], footer=["all", 2], bars=["IoU"]))
    cells = page.all("td")
    assert float(cells[3]["data-value"]) == 1 / 3
    assert cells[3]["style"] == "--share:33.3%"
    assert cells[5]["class"] == "number none"
    assert page.text == "case IoU all 2 a< 0.3333 b \N{EN DASH}"


def test_the_numbers_of_a_column_have_equal_decimals():
    rows = [["a", 210.46, 17.3, 0.5, 3], ["b", 5.1527, 20.25, 0.03451, 12], ["c", None, 12.0, 0.0, 0]]
    text = Page(table(["class", "HD95", "true", "IoU", "n"], rows, footer=["mean", 9.0, 16.5, 0.25, 15])).text
    shown = "mean 9.00 16.5 0.2500 15 a 210.46 17.3 0.5000 3 b 5.15 20.2 0.0345 12 c \N{EN DASH} 12.0 0.0000 0"
    assert text.endswith(f" n {shown}")


@pytest.mark.parametrize(("prefer", "shown"), [("largest", range(28, 40)), ("smallest", range(12))])
def test_a_chart_of_many_classes_draws_those_that_matter(prefer, shown):
    names = {f"share_{index}": f"organ {index:02d}" for index in range(41)}
    rows = [
        {"iteration": n, **{key: (index if n == 2 else 41 - index) for index, key in enumerate(names)}} for n in (1, 2)
    ]
    rows[1]["share_40"] = rows[0]["share_40"] = None
    page = Page(chart("Shares", rows, names, prefer=prefer, caption="of all"))
    assert len(page.all("polyline")) == 12
    assert [name for name in names.values() if name in page.text] == [f"organ {index:02d}" for index in shown]
    assert f"of all; the 12 {prefer} of 40" in page.text
    few = dict(list(names.items())[:12])
    assert "largest" not in chart("Shares", rows, few)


def test_settings_are_told_without_folders():
    text = settings_list(SETTINGS | {"windows": r"C:\people\Anna\x.csv"})
    page = Page(text)
    assert "mixing SupMix" in page.text and "RandGamma" in page.text
    assert "distribute" not in page.text and "num_classes" not in page.text and "run" not in page.text
    assert "windows x.csv" in page.text
    assert "test_list list.txt" in page.text
    assert settings_list([]) == settings_list(None) == "none"
    assert settings_list([True, 0.5, "a"]) == "yes, 0.5, a"


def test_a_history_survives_its_file(tmp_path):
    record = history()
    write_history(tmp_path / "history.json", record)
    text = (tmp_path / "history.json").read_text("utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == read_history(tmp_path / "history.json") == record
    assert record["rows"][19]["loss"] is None  # was NaN
    assert "Anna_Meier/1" not in text
    assert "Bo Li" not in text


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"format": 1, "method": "supmix"}'])
def test_what_is_no_history_is_told(tmp_path, text):
    (tmp_path / "history.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        read_history(tmp_path / "history.json")


def test_the_command_can_be_typed(monkeypatch):
    monkeypatch.setattr("sys.orig_argv", ["/x/bin/python", "-m", "monai.bundle", "run", "--a", "b c", "['x']"])
    assert command_line() == "python -m monai.bundle run --a 'b c' \"['x']\""
    script = ["/x/bin/python", "/x/bin/monai-supmix", "run", "chase"]
    monkeypatch.setattr("sys.orig_argv", script)
    monkeypatch.setattr("sys.argv", script[1:])
    assert command_line() == "monai-supmix run chase"


def pixels(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA"))


def test_drawn_classes_and_errors_have_their_colours_on_nothing():
    truth = np.array([[0, 1, 2, 0], [3, 3, 0, 0]], np.uint8)
    prediction = np.array([[0, 1, 0, 2], [3, 1, 0, 0]], np.uint8)
    drawn = draw_plane(np.full((1, 2, 4), 0.5), truth, prediction, longest=99)
    assert drawn.size == (2, 4)
    for labels, content in ((truth, drawn.truth), (prediction, drawn.prediction)):
        seen = pixels(content)
        assert np.array_equal(seen[..., 3] > 0, labels > 0)
        assert np.array_equal(seen[labels > 0, :3], class_colours(labels)[labels > 0])
    errors = pixels(drawn.errors)
    assert tuple(errors[0, 1, :3]) == ERROR_COLOURS["found"]
    assert tuple(errors[0, 2, :3]) == ERROR_COLOURS["missed"]
    assert tuple(errors[0, 3, :3]) == ERROR_COLOURS["spurious"]
    assert tuple(errors[1, 1, :3]) == ERROR_COLOURS["wrong class"]
    assert errors[1, 2, 3] == 0
    assert np.abs(pixels(drawn.image)[..., 0].astype(int) - 128).max() < 4


def test_outlines_of_noise_are_drawn():
    """Such pictures are longer as files than as pixels."""
    rng = np.random.default_rng(0)
    drawn = draw_outline(rng.random((3, 320, 320)), rng.integers(0, 6, (320, 320)), longest=320)
    assert Image.open(io.BytesIO(drawn)).size == (320, 320)


def test_a_plane_full_of_one_class_is_opaque_and_an_empty_one_is_nothing():
    full, empty = np.ones((5, 5), np.uint8), np.zeros((5, 5), np.uint8)
    drawn = draw_plane(np.zeros((3, 5, 5)), full, empty, longest=3)
    assert (pixels(drawn.truth)[..., 3] == 255).all()
    assert (pixels(drawn.prediction)[..., 3] == 0).all()
    assert drawn.size == (3, 3)


def gallery_of(cases, names=NAMES, **settings):
    gallery = CaseGallery(names, lambda image: Unit(), **settings)
    for case, parts in cases.items():
        gallery.add(case, *parts)
    return gallery


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_and_the_worst_are_kept_in_whatever_order_they_come(count, seed):
    numbers = np.random.default_rng(seed).permutation(np.arange(1, count + 1)).tolist()
    gallery = gallery_of({f"p{n}": picture_case(n, (24, 24)) for n in numbers}, ["background", "line"])
    worst, best = [c.case for c in gallery.worst], [c.case for c in gallery.best]
    assert worst == [f"p{n}" for n in range(count, 0, -1)][: min(3, count // 2)]
    assert best == [f"p{n}" for n in range(1, count + 1)][: min(3, count - len(worst))]
    assert len(gallery._best) <= 3
    assert len(gallery._worst) <= 3


@pytest.mark.parametrize("count", [2, 5, 9])
def test_equal_cases_are_not_both_the_best_and_the_worst(count):
    same = picture_case(1, (24, 24))
    gallery = gallery_of({f"p{n}": same for n in range(count)}, ["background", "line"])
    shown = [case.case for case in (*gallery.worst, *gallery.best)]
    assert len(shown) == len(set(shown)) == min(6, count)


def test_of_a_partly_labelled_case_only_what_its_truth_tells_is_judged_and_drawn():
    truth, prediction = np.zeros((24, 24), np.uint8), np.zeros((24, 24), np.uint8)
    truth[:8, :8] = prediction[:8, :8] = 1
    whole, _, _ = picture_case(1, (24, 24))
    alone = gallery_of({"a": (whole, truth, prediction)}, ["background", "line", "other"]).best[0]
    prediction[12:, 12:] = 2  # not labelled: nobody knows
    truth[:, 20:] = 255
    known = (np.array([False, True, False]), 255)
    partly = gallery_of({"a": (whole, truth, prediction, *known)}, ["background", "line", "other"]).best[0]
    assert partly.score == alone.score == 1
    assert partly.planes == alone.planes
    assert np.array_equal(partly.overview, alone.overview)


def test_slices_are_those_with_something_to_see_in_the_usual_view():
    image, truth, prediction = volume_case(2, size=(40, 30, 60))
    prediction[:, :, 40:] = 0
    (case,) = gallery_of({"a": (image, truth, prediction)}).best
    shown = [plane.index for plane in case.planes]
    seen = np.flatnonzero((truth > 0).any((0, 1)) | (prediction > 0).any((0, 1)))
    assert len(shown) == 24
    assert set(shown) <= set(seen)
    assert (shown[0], shown[-1]) == (seen[0], seen[-1])
    assert case.num_planes == 60
    top = case.planes[case.start]
    assert top.size == (30, 40)  # 0.8 mm either way; rows from front to back
    assert np.array_equal(
        pixels(top.truth)[..., 3] > 0,
        truth[:, :, top.index].T > 0,  # the affine's x and y run to left and back: the radiological view
    )


@pytest.mark.parametrize(("axis", "along"), [("axial", 2), ("coronal", 1), ("sagittal", 0)])
def test_planes_are_those_of_the_axis_and_a_single_slice_that_way_is_drawn(axis, along):
    image, truth, prediction = volume_case(1, size=(18, 20, 16))
    image = type(image).from_array(image.array, np.diag([-1.0, -1.0, 1.0, 1.0]))
    (case,) = gallery_of({"a": (image, truth, prediction)}, axis=axis).best
    assert case.num_planes == truth.shape[along]
    for plane in case.planes:
        seen = Planes(image, axis).view(truth)[plane.index]
        assert np.array_equal(pixels(plane.truth)[..., 3] > 0, seen > 0)
    parts = [np.take(array, [9], axis=along) for array in (image.array, truth, prediction)]
    single = type(image).from_array(parts[0], image.affine)
    (case,) = gallery_of({"a": (single, *parts[1:])}, axis=axis).best
    assert case.num_planes == 1


def test_true_proportions_of_flat_voxels():
    image, truth, prediction = volume_case(1, size=(40, 30, 8))
    image = type(image).from_array(image.array, np.diag([1.0, 2.0, 1.0, 1.0]))
    (case,) = gallery_of({"a": (image, truth, prediction)}).best
    assert case.planes[0].size == (40, 27)


@given(st.lists(st.booleans(), min_size=1, max_size=200), st.integers(1, 30))
def test_chosen_planes(has_foreground, most):
    chosen = choose_planes(has_foreground, most)
    where = np.flatnonzero(has_foreground)
    assert len(chosen) == max(1, min(most, len(where)))
    assert chosen == sorted(set(chosen))
    assert all(has_foreground[i] for i in chosen) or not len(where)


def test_the_budget_is_kept_and_the_first_view_with_it():
    gallery = gallery_of({f"v{n}": volume_case(n, size=(40, 40, 30)) for n in (1, 2)})
    cases = [*gallery.worst, *gallery.best]
    whole = sum(case.num_bytes for case in cases)
    for budget in (whole, whole // 2, whole // 7, 1):
        kept = within_budget(cases, budget)
        assert [case.case for case in kept] == [case.case for case in cases]
        small = sum(case.num_bytes for case in kept) <= budget
        assert small or all(len(case.planes) == 1 for case in kept)
        for case, was in zip(kept, cases, strict=True):
            assert case.planes[case.start] is was.planes[was.start]


def test_overviews_are_written_for_the_ends(tmp_path):
    gallery = gallery_of({f"p/{n}": picture_case(n, (24, 24)) for n in range(1, 8)}, ["background", "line"])
    paths = gallery.save_overviews(tmp_path / "overlays")
    assert {p.name for p in paths} == {f"p%2F{n}.png" for n in (1, 2, 6, 7)}
    assert set((tmp_path / "overlays").iterdir()) == set(paths)
    others = {f"p/{n}": picture_case(8 - n, (24, 24)) for n in range(1, 8)} | {"p/8": picture_case(8, (24, 24))}
    (tmp_path / "overlays" / "mine.png").touch()
    again = gallery_of(others, ["background", "line"]).save_overviews(tmp_path / "overlays")
    assert set(again) != set(paths)
    assert {path for path in (tmp_path / "overlays").iterdir() if path.name != "mine.png"} == set(again)
    assert gallery_of({}).save_overviews(tmp_path / "none") == []
    assert not (tmp_path / "none").exists()


@given(st.text(), st.text())
def test_different_cases_have_different_files(one, other):
    names = file_name(one), file_name(other)
    assert (names[0] == names[1]) == (one == other)
    assert not set("".join(names)) & set('/\\:*?"<>|\0')


def test_pictures_in_the_page_are_the_pictures_drawn():
    plane = draw_plane(np.zeros((1, 4, 4)), np.eye(4, dtype=np.uint8), np.eye(4, dtype=np.uint8), 4)
    assert base64.b64decode(base64.b64encode(plane.truth)) == plane.truth
    assert plane.num_bytes == sum(len(c) for c in (plane.image, plane.truth, plane.prediction, plane.errors))
