"""What the two reports say, and that each is one file that needs no other."""

import re
from dataclasses import replace

import pytest

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.report import write_evaluation_report, write_training_report
from monai_supmix.report.evaluation import _MAX_ROWS
from monai_supmix.report.pictures import PlanePictures
from tests.report.examples import NAMES, evaluation, history, picture_case, rows, volume_case
from tests.report.pages import check_self_contained


def training_page(folder, **changes):
    path = folder / "report.html"
    write_training_report(path, history(**changes))
    return check_self_contained(path.read_text("utf-8"))


def evaluation_page(folder, cases, training=None, **kwargs):
    path = folder / "report.html"
    write_evaluation_report(path, *evaluation(cases, **kwargs), "evaluate --tta <b>", training)
    assert path.stat().st_size < 5_000_000
    return check_self_contained(path.read_text("utf-8"))


def test_a_training_report_says_what_was_run(tmp_path):
    text = training_page(tmp_path).text
    for words in (
        *("method supmix_sufd", "preset paper", "seed 7", "iterations 600", "torch 2.8", "research use only"),
        "python -m monai.bundle run --config_file \"['train.json','presets/paper.json']\"",
        "patients are unknown: each image is its own group",
        "data labelled: 1 image; unlabelled: 6 images of 3 patients; test: 1 image",
        "Cases: unlabelled (6) ct 2, ct 3, ct 4, ct 5, ct 6, ct 7",
        "SupMix prob 0.5",
    ):
        assert words in text, words
    assert re.search(r"labelled 1 1 unlabelled 6 3 validation 0 0 test 1 1", text)


def test_a_training_report_shows_every_loss_term_and_the_pseudo_labels(tmp_path):
    page = training_page(tmp_path)
    for words in (
        *("total", "supervised", "strong 1", "strong 2", "feature dropout", "generator", "discriminator"),
        *("of somebody", "in training 99.8 %", "pleural_effusion 1.0 %", "discriminator accuracy"),
        "mean 0.5821",
    ):
        assert words in page.text, words
    assert len(page.all("polyline")) == 25  # the total has a gap, all other curves are whole
    assert "nan" not in " ".join(line["points"] for line in page.all("polyline"))


def test_pseudo_labels_are_set_beside_the_hidden_truth(tmp_path):
    text = training_page(tmp_path).text
    for words in (
        *("precision 97.1 % confident pixels 97.0 %", "background 95.7 % ground_glass 91.4 % consolidation 87.1 %"),
        "At iteration 700 class precision recall share of pixels true share background 0.9571",
        "pleural_effusion 0.5000 \N{EN DASH} 0.0000 0.0100",
        "Training never sees this truth",
    ):
        assert words in text, words
    without = training_page(tmp_path, pseudo_label_rows=[]).text
    assert "Confident pixels" in without
    assert not re.search("hidden truth|precision|recall", without)
    supervised = [{"iteration": 1, "loss": 0.5}]
    assert "Pseudo-labels" not in training_page(tmp_path, rows=supervised, pseudo_label_rows=[]).text
    older = history()
    del older["pseudo_label_rows"]  # of a version that did not look
    write_training_report(tmp_path / "older.html", older)
    assert "Confident pixels" in (tmp_path / "older.html").read_text("utf-8")


def test_a_class_has_one_colour_in_all_charts(tmp_path):
    training_page(tmp_path)
    text = (tmp_path / "report.html").read_text("utf-8")
    colours = {}
    for kind, name in re.findall(r'<li><i class="(k\d|ink)"></i>(\w+) ', text):
        colours.setdefault(name, set()).add(kind)
    assert colours == {
        **{"mean": {"ink"}, "background": {"k0"}},
        **{name: {f"k{index}"} for index, name in enumerate(NAMES) if index},
    }


def test_the_end_of_the_burn_in_is_marked_where_curves_reach_it_and_axes_are_named(tmp_path):
    page = training_page(tmp_path)
    marks = page.all("path", **{"class": "mark"})
    assert len(marks) == page.text.count("end of burn-in") >= 9
    assert page.text.count("iteration loss") >= 3
    assert "at chance" in page.text and "healthy" not in page.text
    assert "end of burn-in" not in training_page(tmp_path, burn_in=0).text


def test_many_classes_have_colours_of_their_own_and_legends_only_those_in_view(tmp_path):
    names = ["background", *(f"organ {value}" for value in range(1, 42))]
    cases = {f"ct {n}": picture_case(n, (60, 60), classes=40) for n in range(1, 4)}
    page = evaluation_page(tmp_path, cases, names=names)
    text = (tmp_path / "report.html").read_text("utf-8")
    keys = re.findall(r'<ul class="keys">(.*?)</ul>', text)[1:]  # after that of the errors
    assert len(keys) == 3
    assert all(re.findall(r"</i>(.*?)</li>", key) == ["organ 1", "organ 39"] for key in keys)
    assert len(set(re.findall(r"background:(#\w+)", keys[0]))) == 2
    assert "41 classes beside background" in page.text
    assert "scrolls sideways" in page.text


@pytest.mark.parametrize("rows", [[], [{"iteration": 1, "epoch": 1, "loss": 0.5}]])
def test_short_trainings_have_reports_too(tmp_path, rows):
    page = training_page(
        tmp_path, rows=rows, validation_rows=[], pseudo_label_rows=[], settings={}, method="mine", datalist=None
    )
    assert "method mine" in page.text
    assert len(page.all("circle")) == len(rows)
    assert not page.all("polyline")


def test_people_and_folders_stay_out(tmp_path):
    write_training_report(tmp_path / "a.html", history())
    cases = {f"ct <{n}>": volume_case(n, size=(24, 20, 6)) for n in range(1, 3)}
    write_evaluation_report(tmp_path / "b.html", *evaluation(cases), "evaluate", history())
    for path in (tmp_path / "a.html", tmp_path / "b.html"):
        text = path.read_text("utf-8")
        assert "Anna" not in text
        assert "/secret" not in text
        assert "Bo Li" not in text
        assert "list.txt" in text


def test_names_are_text_not_markup(tmp_path):
    case = "<img src=x onerror=alert(1)>'\""
    page = evaluation_page(tmp_path, {case: picture_case(1, (40, 40))}, names=["background", "<b>&vessel"])
    assert case in page.text
    assert "<b>&vessel" in page.text
    assert all(attributes["src"].startswith("data:") for attributes in page.all("img"))
    assert not page.all("b", id="vessel")


def test_an_evaluation_report_has_figures_cases_and_pictures(tmp_path):
    cases = {f"ct {n}": volume_case(n, size=(60, 50, 16)) for n in range(1, 8)}
    page = evaluation_page(tmp_path, cases, history())
    summary, measures, _ = evaluation(cases)
    for name in NAMES:
        assert f"{name} {summary['classes'][name]['iou']:.4f}" in page.text
    assert f"{summary['mean_foreground_iou']:.4f} mean IoU of the foreground" in page.text
    assert f"{summary['mean_iou']:.4f} mean IoU with background" in page.text
    assert "7 test images" in page.text
    assert "HD95 [mm]" in page.text
    assert f"{measures['ct 3'].volumes_ml[1][0]:.4f}"[:4] in page.text
    order = re.findall(r"((?:Worst|Best) \d): (ct \d)", page.text)
    expected = [("Worst 1", "ct 7"), ("Worst 2", "ct 6"), ("Worst 3", "ct 5")]
    assert order == [*expected, ("Best 1", "ct 1"), ("Best 2", "ct 2"), ("Best 3", "ct 3")]
    assert len(page.all("article")) == 6
    assert len(page.all("input", type="range")) == 7  # one slider a case, and the strength of the colours
    assert "What was trained" in page.text
    assert page.text.count("patients are unknown") == 4  # wherever there are figures, and with both splits
    for words in (
        *("method supmix_sufd preset paper seed of the training 7 ", "evaluate --tta <b>", "weights model.pt"),
        *("data 7 images of 5 patients", "split test side; patients", "versions python 3.", "0.1 Settings"),
    ):
        assert words in page.text, words


def test_weights_of_an_unknown_training_are_called_so(tmp_path):
    page = evaluation_page(tmp_path, {"a": picture_case(1, (40, 40))}, names=["background", "vessel"])
    assert "trained by unknown: no history.json lies beside the weights" in page.text


def test_pictures_have_no_slider_and_absent_figures_are_dashes(tmp_path):
    names = ["background", "vessel", "bleeding"]
    page = evaluation_page(tmp_path, {f"p{n}": picture_case(n, (50, 60)) for n in (1, 2, 3)}, names=names)
    assert len(page.all("input", type="range")) == 1
    assert len(page.all("article")) == 3
    assert "bleeding \N{EN DASH} \N{EN DASH}" in page.text
    assert "HD95" not in page.text
    assert "What was trained" not in page.text
    assert page.all("div", style="aspect-ratio:60/50")


def test_without_foreground_there_is_a_sentence_instead_of_pictures(tmp_path):
    image, truth, _ = picture_case(1, (20, 20))
    page = evaluation_page(tmp_path, {"empty": (image, truth * 0, truth * 0)}, names=["background", "vessel"])
    assert "No case has anything but background" in page.text
    assert not page.all("article")


def test_whatever_the_pictures_weigh_the_page_stays_below_5_mb(tmp_path):
    cases = {f"p{n}": picture_case(n, (20, 20)) for n in range(1, 7)}
    summary, measures, gallery = evaluation(cases, names=["background", "vessel"])
    heavy = bytes(20_000)
    planes = tuple(PlanePictures(n, (320, 320), heavy, heavy, heavy, heavy) for n in range(24))
    for kept in (gallery._best, gallery._worst):
        kept[:] = [replace(case, planes=planes, num_planes=24, start=13) for case in kept]
    path = tmp_path / "report.html"
    training = history(rows=rows(20_000))
    write_evaluation_report(path, summary, measures, gallery, "evaluate", training)
    assert 3_000_000 < path.stat().st_size < 5_000_000
    assert len(check_self_contained(path.read_text("utf-8")).all("article")) == 6


def test_the_worst_of_very_many_cases_are_in_the_table(tmp_path):
    image, truth, prediction = picture_case(1, (8, 8))
    cases = {f"case {n}": (image, truth, truth) for n in range(_MAX_ROWS + 100)}
    cases["case 5"] = (image, truth, prediction)
    page = evaluation_page(tmp_path, cases, names=["background", "vessel"])
    assert len(page.all("tr")) == _MAX_ROWS + 1 + 2 + 2
    assert f"The worst {_MAX_ROWS} of {_MAX_ROWS + 100} cases" in page.text
    assert page.text.rindex("case 5 ") > page.text.index("cases.csv")


def test_colours_of_a_photograph_are_kept(tmp_path):
    image, truth, prediction = picture_case(1, (30, 30))
    photograph = CaseImage.from_array((image.array * 255).astype("uint8"))
    page = evaluation_page(tmp_path, {"a": (photograph, truth, prediction)}, names=["background", "vessel"])
    assert len(page.all("figure", **{"class": "tile tinted"})) == 3
