import csv
import json

import numpy as np
import pytest

from monai_supmix.errors import InputError
from monai_supmix.files import write_json
from monai_supmix.metrics import (
    dice,
    iou,
    measure_case,
    read_cases_csv,
    summarize,
    write_cases_csv,
)

NAMES = ["background", "ground_glass", "consolidation", "pleural_effusion"]


def make_cases(spacing=None, shape=(6, 7, 5)):
    generator = np.random.default_rng(0)
    cases = {}
    for i in range(3):
        prediction, truth = generator.integers(0, 3, (2, *shape))
        if i == 1:
            prediction[prediction == 2] = 0  # missed
        if i == 2:
            truth[truth == 2] = 0  # spurious
        cases[f"fälle/{i}"] = measure_case(prediction, truth, 4, spacing)
    return cases


def strict(text):
    return json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_metrics_json_keeps_the_contract(tmp_path):
    cases = make_cases()
    summary = summarize(cases, NAMES, checkpoint="O/model.pt", checkpoint_sha256="ab", notes=["größe"], n=3)
    write_json(summary, tmp_path / "metrics.json")
    content = strict((tmp_path / "metrics.json").read_text(encoding="utf-8"))
    counts = sum(case.counts for case in cases.values())
    assert list(content["classes"]) == NAMES
    assert content["classes"]["pleural_effusion"] is None
    for index in range(3):
        single = [d for case in cases.values() if not np.isnan(d := dice(case.counts)[index])]
        assert content["classes"][NAMES[index]] == {
            "iou": pytest.approx(iou(counts)[index]),
            "dice": pytest.approx(dice(counts)[index]),
            "case_dice": pytest.approx(np.mean(single)),
            "case_dice_sd": pytest.approx(np.std(single)),
        }
    means = [np.nanmean(dice(case.counts)[1:]) for case in cases.values()]
    assert content["mean_case_dice"] == pytest.approx(np.mean(means))
    assert content["mean_case_dice_sd"] == pytest.approx(np.std(means))
    assert content["mean_iou"] == pytest.approx(np.nanmean(iou(counts)))
    assert content["mean_dice"] == pytest.approx(np.nanmean(dice(counts)))
    assert content["num_images"] == 3
    assert content["checkpoint"] == "O/model.pt"
    assert (content["checkpoint_sha256"], content["notes"], content["n"]) == ("ab", ["größe"], 3)


def test_distances_and_volumes_are_summed_up_by_their_conventions(tmp_path):
    cases = make_cases(spacing=(1.0, 1.0, 5.0))
    summary = summarize(cases, NAMES)
    consolidation = summary["classes"]["consolidation"]
    distances = [case.distances[2] for case in cases.values()]
    assert [consolidation[k] for k in ("measured", "missed", "spurious", "absent")] == [1, 1, 1, 0]
    assert consolidation["hd95_mm"] == pytest.approx(distances[0].hd95_mm)
    assert consolidation["asd_mm"] == pytest.approx(distances[0].asd_mm)
    assert consolidation["true_ml"] == pytest.approx(sum(case.volumes_ml[2][0] for case in cases.values()))
    assert consolidation["predicted_ml"] == pytest.approx(sum(case.volumes_ml[2][1] for case in cases.values()))
    assert "hd95_mm" not in summary["classes"]["background"]
    write_json(summary, tmp_path / "metrics.json")
    strict((tmp_path / "metrics.json").read_text(encoding="utf-8"))


def test_a_case_that_lacks_a_class_takes_no_figure_of_it_from_the_others():
    cases = make_cases(spacing=(1.0, 1.0, 5.0))
    ones = np.ones((4, 4, 4), int)
    partly = {"partly": measure_case(0 * ones, ones, 4, (1, 1, 1), labelled_classes=[False, True, False, False])}
    whole, summary = (summarize(one, NAMES)["classes"] for one in (cases, cases | partly))
    assert summary["consolidation"] == whole["consolidation"] and "hd95_mm" in whole["consolidation"]
    assert summary["ground_glass"]["missed"] == whole["ground_glass"]["missed"] + 1
    assert "hd95_mm" not in summarize(cases | {"flat": make_cases()["fälle/0"]}, NAMES)["classes"]["consolidation"]


def test_class_that_was_never_measured_has_no_distance():
    truth = np.zeros((4, 4, 4), int)
    truth[1, 1, 1] = 1
    summary = summarize({"a": measure_case(truth * 0, truth, 2, (1, 1, 1))}, ["background", "lesion"])
    assert summary["classes"]["lesion"]["hd95_mm"] is None
    assert summary["classes"]["lesion"]["missed"] == 1
    assert summary["classes"]["lesion"]["iou"] == 0


def test_everything_ignored_gives_null_and_not_nan(tmp_path):
    truth = np.full((3, 3), 255)
    summary = summarize({"a": measure_case(truth * 0, truth, 2, None, 255)}, ["background", "vessel"])
    write_json(summary, tmp_path / "metrics.json")
    assert strict((tmp_path / "metrics.json").read_text(encoding="utf-8"))["mean_iou"] is None


def test_there_are_no_figures_without_a_case():
    with pytest.raises(ValueError, match="no case"):
        summarize({}, NAMES)


@pytest.mark.parametrize("spacing", [None, (1.0, 1.0, 5.0)])
def test_cases_csv_has_a_row_for_each_case(tmp_path, spacing):
    cases = make_cases(spacing)
    write_cases_csv(tmp_path / "cases.csv", cases, NAMES)
    with (tmp_path / "cases.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == list(cases)
    for row, case in zip(rows, cases.values(), strict=True):
        table = [[int(row[f"{name}_{what}"]) for what in ("tp", "fp", "fn")] for name in NAMES]
        assert np.array_equal(table, case.counts)
        assert float(row["consolidation_iou"]) == pytest.approx(iou(case.counts)[2])
        assert float(row["consolidation_dice"]) == pytest.approx(dice(case.counts)[2])
        assert row["pleural_effusion_iou"] == row["pleural_effusion_dice"] == ""
        if spacing is None:
            assert "consolidation_surface" not in row
    if spacing is not None:
        assert [row["consolidation_surface"] for row in rows] == ["measured", "missed", "spurious"]
        assert float(rows[0]["consolidation_hd95_mm"]) > 0
        assert rows[1]["consolidation_hd95_mm"] == ""
        assert 0 < float(rows[0]["consolidation_asd_mm"]) <= float(rows[0]["consolidation_hd95_mm"])
        assert float(rows[1]["consolidation_true_ml"]) > 0
        assert float(rows[1]["consolidation_predicted_ml"]) == 0
        assert "background_surface" not in rows[0]


def test_pictures_among_volumes_leave_their_cells_empty(tmp_path):
    cases = make_cases((1, 1, 1)) | {"picture": make_cases(shape=(5, 5))["fälle/0"]}
    write_cases_csv(tmp_path / "cases.csv", cases, NAMES)
    with (tmp_path / "cases.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file))[3]["consolidation_surface"] == ""
    assert "hd95_mm" not in summarize(cases, NAMES)["classes"]["consolidation"]


@pytest.mark.parametrize("kind", ["unknown spacing", "volumes", "pictures with a spacing", "pictures among volumes"])
def test_a_table_of_cases_has_all_that_a_summary_needs(kind, tmp_path):
    flat = make_cases((0.5, 0.5), shape=(6, 7))
    cases = {
        "unknown spacing": make_cases(),
        "volumes": make_cases((1, 1, 2.5)),
        "pictures with a spacing": flat,
        "pictures among volumes": make_cases((1, 1, 1)) | {"picture": make_cases(shape=(5, 5))["fälle/0"]},
    }[kind]
    write_cases_csv(tmp_path / "cases.csv", cases, NAMES, about={name: {"fold": 2} for name in cases})
    with (tmp_path / "cases.csv").open(newline="", encoding="utf-8") as file:
        assert [row["fold"] for row in csv.DictReader(file)] == ["2"] * len(cases)
    again = read_cases_csv(tmp_path / "cases.csv", NAMES)
    assert list(again) == list(cases)
    assert summarize(again, NAMES) == summarize(cases, NAMES)


def test_another_table_is_refused(tmp_path):
    write_cases_csv(tmp_path / "cases.csv", make_cases(), NAMES)
    with pytest.raises(InputError, match="is not a readable table of these classes"):
        read_cases_csv(tmp_path / "cases.csv", [*NAMES, "fifth"])
    with pytest.raises(InputError, match=r"none\.csv"):
        read_cases_csv(tmp_path / "none.csv", NAMES)
