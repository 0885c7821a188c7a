"""The tables: every figure in its place, the paper's never taken for ours."""

import re

import pytest
from reproduction import paper
from reproduction.experiment import Experiment
from reproduction.table import make_table

from tests.scripts.made_up import counts, finished

CHASE = Experiment("chase_supmix")


def vessel(value):
    """Counts with this IoU of vessels, in hundredths."""
    return counts(*[(value, 100 - value, 0)] * 4)


def rows(page, *start):
    """Cells of the rows that begin with these."""
    found = [[part.strip() for part in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return [row for row in found if row[: len(start)] == list(start)]


@pytest.fixture
def page():
    cells = [finished("supervised", vessel(60 + seed), seed=seed) for seed in (0, 1, 2)]
    cells += [finished("supervised@1500", vessel(62), seed=0)]
    cells += [finished("supmix_sufd", vessel(65 + seed), seed=seed) for seed in (0, 1, 2)]
    cells += [finished("supmix_sufd", vessel(70), 5, seed=0)]
    return make_table(CHASE, cells)


def test_rows_are_counts_and_classes_columns_methods_and_then_the_papers(page):
    (head, *_) = rows(page, "labelled", "class")
    assert head[2:5] == ["Supervised", "Supervised (1500 steps)", "SupMix+SUFD"]
    assert head[5:] == [f"*paper: {name}*" for name in ("Supervised", "FixMatch", "UniMatch", "SupMix+SUFD")]
    (row,) = rows(page, "2 (1/8)", "vessel")[:1]
    assert row[2:5] == ["61.00 ± 1.00", "62.00", "66.00 ± 1.00"]
    assert row[5:] == ["*1.86 ± 2.54*", "*38.54 ± 2.86*", "*55.61 ± 0.81*", "*58.91 ± 0.31*"]
    (row,) = rows(page, "5 (1/4)", "vessel")[:1]
    assert row[2:5] == ["-", "-", "70.00"]
    assert [row[1] for row in rows(page, "2 (1/8)")[:3]] == ["background", "vessel", "mean"]
    assert "(Supervised (1500 steps) with 2 labelled: 1; SupMix+SUFD with 5 labelled: 1)" in page


def test_the_papers_figures_are_marked_as_another_split_and_network(page):
    assert "another split of the data, another network" in page
    for figure in (figure for row in paper.IOU["chase_supmix"].values() for figure in row):
        assert page.count(figure) == page.count(f"*{figure}*")


def test_the_ablation_has_ours_above_the_papers(page):
    ours = rows(page, "2 (1/8)", "vessel", "here")[0]
    theirs = rows(page, "", "", "*paper*")[0]
    assert ours[3:] == ["-", "-", "-", "-", "66.00 ± 1.00"]
    assert theirs[3:] == ["*55.61*", "*56.78*", "*57.57*", "*55.95*", "*58.91*"]


def test_differences_stand_with_their_intervals(page):
    (row,) = rows(page, "2", "SupMix+SUFD", "Supervised")
    assert row[3:] == ["0, 1, 2", "**+5.00 [+5.00, +5.00]**"]
    (row,) = rows(page, "2", "SupMix+SUFD", "Supervised (1500 steps)")
    assert row[3:] == ["0", "**+3.00 [+3.00, +3.00]**"]


def test_commands_run_exactly_these_cells(page):
    found = re.findall(r"^scripts/reproduce.py --bundle chase_supmix --data DATA (.*) --out OUT$", page, re.M)
    assert found == [
        "--methods supervised supmix_sufd --num-labeled 2 --seeds 0 1 2",
        "--methods supervised@1500 --num-labeled 2 --seeds 0",
        "--methods supmix_sufd --num-labeled 5 --seeds 0",
    ]


def test_settings_of_the_experiment_are_told():
    experiment = Experiment("chase_supmix", "paper", 7, vary_draw=True, tta=False, overrides={"optimizer#lr": "0.1"})
    page = make_table(experiment, [finished("unimatch", vessel(50))])
    assert "Preset `paper`, 7 iterations, `optimizer#lr=0.1`." in page
    assert "no test-time flips" in page
    assert "--preset paper --max-iterations 7 --vary-draw --no-tta '--optimizer#lr' 0.1 --methods unimatch" in page


def test_a_class_absent_everywhere_has_no_figure():
    names = ("background", "ground_glass", "consolidation", "pleural_effusion")
    cases = [[(90, 1, 1), (5, 1, 1), (0, 3, 4), (0, 0, 0)]] * 4
    page = make_table(Experiment("covid19_ct_supmix"), [finished("supmix", cases, 6, class_names=names)])
    assert rows(page, "6 (1/8)", "pleural_effusion")[0][2] == "-"
    assert rows(page, "6 (1/8)", "consolidation")[0][2] == "0.00"
    assert "of the 100 slices that MedSeg publishes" in page


def test_other_labelled_counts_have_no_figure_of_the_paper():
    page = make_table(CHASE, [finished("supmix", vessel(50), 3)])
    assert "paper" not in page


def test_without_cells_there_is_a_page_that_says_so():
    assert "No cell is finished yet" in make_table(CHASE, [])


def test_the_papers_means_are_those_of_its_classes():
    """A check of the transcription: in every column the mean is that of the classes, to rounding."""
    for bundle, table in paper.IOU.items():
        for (setting, name), means in table.items():
            if name == "mean":
                classes = [row for (other, one), row in table.items() if other == setting and one != "mean"]
                for column, mean in enumerate(means):
                    values = [float(row[column].split(" ")[0]) for row in classes]
                    assert float(mean.split(" ")[0]) == pytest.approx(sum(values) / len(values), abs=0.011), bundle
    for bundle, table in paper.ABLATION.items():
        for place, figures in table.items():
            known = paper.IOU[bundle][place]
            assert [figures[0], figures[-1]] == [known[2].split(" ")[0], known[3].split(" ")[0]]


def test_dice_by_volume_stands_beside_where_the_field_reports_it():
    def of(value, **kwargs):
        return finished(counts=counts(*[(value, 100 - value, 0)] * 2, *[(value - 20, 120 - value, 0)] * 2), **kwargs)

    cells = [of(60, method="supervised", seed=seed) for seed in (0, 1)]
    cells += [of(70, method="self_training", seed=seed) for seed in (0, 1)]
    page = make_table(Experiment("acdc_supmix"), cells)
    mean = 100 * (2 * 60 / 160 + 2 * 40 / 140) / 2
    assert rows(page, "2", "supervised") == [["2", "supervised", f"{mean:.2f} ± 0.00", f"{mean:.2f} ± 0.00"]]
    gain = 50 * (2 * 70 / 170 + 2 * 50 / 150) - mean
    ((*_, told),) = rows(page, "2", "self_training", "supervised")
    assert told.startswith(f"**+{gain:.2f} [")
    assert "Dice by volume" not in make_table(CHASE, cells)


def test_one_patient_with_one_seed_has_no_interval():
    about = {"groups": dict.fromkeys(("11L", "11R", "12L", "12R"), "11")}
    for seeds, told in (((0,), 1), ((0, 1), 0)):
        cells = [finished(name, vessel(60), seed=seed, **about) for name in ("supervised", "supmix") for seed in seeds]
        page = make_table(CHASE, cells)
        (*_, row) = rows(page, "2")
        assert (row[-1] == "+0.00") == (page.count("without an interval") == 1) == bool(told), row
