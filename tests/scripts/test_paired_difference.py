"""Cells of two folders against each other: the figures that a table of one folder has."""

import json
import shutil

import numpy as np
import paired_difference
import pytest

from monai_supmix.metrics import Difference
from tests.bundles.workflows import BUNDLES

FOLDER = BUNDLES.parent / "scripts" / "reproduced" / "acdc_supmix"


@pytest.mark.parametrize("count", [3, 7])
def test_two_methods_of_a_table_differ_as_it_says(count, capsys):
    pair = [f"{FOLDER}:{method}" for method in ("self_training", "supervised@6500")]
    assert paired_difference.main([*pair, "--num-labeled", str(count)]) == 0
    *means, difference = (line.rpartition(": ")[2] for line in capsys.readouterr().out.splitlines())
    table = (BUNDLES / "acdc_supmix/docs/table.md").read_text(encoding="utf-8")
    by_volume = table[table.index("## Dice by volume") : table.index("## Paired")].splitlines()
    for method, mean in zip(("self_training", "supervised@6500"), means, strict=True):
        row = next(line for line in by_volume if line.startswith(f"| {count} | {method} |"))  # of the figures, first
        assert row.endswith(f"| {mean} |")
    (row,) = [line for line in by_volume if line.startswith(f"| {count} | self_training | supervised@6500 |")]
    assert difference.partition(" (seeds")[0] in row


def test_iou_differs_as_the_table_says(capsys):
    folder = FOLDER.parent / "chase_supmix"
    pair = [f"{folder}:{method}" for method in ("supmix_sufd", "supervised")]
    assert paired_difference.main([*pair, "--num-labeled", "2", "--iou"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, means, told = line.removesuffix(" (seeds 0, 1, 2)").split(": ")
    table = (BUNDLES / "chase_supmix/docs/table.md").read_text(encoding="utf-8").splitlines()
    (row,) = [line for line in table if line.startswith("| 2 |") and "SupMix+SUFD | Supervised |" in line]
    assert name == "vessel" and told in row
    (row,) = [line for line in table if line.startswith("| 2 (1/8) | vessel | 64")]
    assert all(f"| {mean} |" in row for mean in means.split(" against "))


def test_a_class_that_no_test_image_shows_has_no_figure():
    seen, false = [[9, 0, 0], [4, 0, 0], [0, 0, 0]], [[9, 0, 0], [4, 0, 0], [0, 5, 0]]
    figures = paired_difference.by_class(np.array([[seen], [false]]), ["background", "a", "b"])
    assert figures == {"a": [100, 100], "b": [], "foreground": [100, 100]}


def test_cells_of_other_draws_are_no_pairs(tmp_path, capsys):
    folder = FOLDER.parent / "covid19_ct_supmix_logit_adjustment"
    shutil.copytree(folder, tmp_path / "one_draw")
    cells = json.loads((tmp_path / "one_draw/experiment.json").read_text(encoding="utf-8"))
    for cell in cells["cells"]:
        cell["record"] |= {"labeled": cells["cells"][0]["record"]["labeled"], "labeled_seed": 0}
    (tmp_path / "one_draw/experiment.json").write_text(json.dumps(cells), encoding="utf-8")
    pair = [f"{path}:supervised" for path in (tmp_path / "one_draw", folder)]
    assert paired_difference.main([*pair, "--num-labeled", "6", "--iou"]) == 2
    assert "saw different labelled images" in capsys.readouterr().err


def test_one_seed_and_one_patient_have_a_reason_instead_of_an_interval(monkeypatch, capsys):
    monkeypatch.setattr(
        paired_difference, "paired_case_bootstrap", lambda *_: Difference(0.01, float("nan"), float("nan"))
    )
    pair = [f"{FOLDER}:{method}" for method in ("self_training", "supervised@6500")]
    assert paired_difference.main([*pair, "--num-labeled", "3"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("difference: +1.00 (seeds ") and "without an interval is of one seed" in last


@pytest.mark.parametrize(
    ("theirs", "told"),
    [
        (f"{FOLDER}:unimatch", "there is no finished cell of unimatch with 3 labelled: it has"),
        ("nowhere:supervised", "nowhere:supervised: there is no finished cell of supervised"),
        (f"{FOLDER.parent / 'chase_supmix'}:supervised", "with 3 labelled: it has"),
    ],
)
def test_what_is_not_there_is_one_line(theirs, told, capsys):
    assert paired_difference.main([f"{FOLDER}:self_training", theirs, "--num-labeled", "3"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert told in line
