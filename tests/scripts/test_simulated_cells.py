"""What the commands of simulated tables have in common: their options, their cells, and when a cell is made anew."""

import nibabel as nib
import numpy as np
import partly_labelled_table
import pytest
import scanner_gap_table
import suggestion_table
from simulated_cells import make_parser, run_table

from monai_supmix.datalists import Datalist
from monai_supmix.experiments.trial import Trial
from monai_supmix.files import make_directory, write_json
from monai_supmix.metrics import CaseMeasures, write_cases_csv
from monai_supmix.phantoms import write_chest_ct_phantom
from monai_supmix.report import HISTORY_NAME
from tests.scripts import made_up


@pytest.fixture
def trained(monkeypatch):
    """The hashes of the cells that are run, which takes no time here."""
    hashes = []

    def run(trial):
        hashes.append(trial.hash)
        datalist = Datalist.from_json(trial.folder / "datalist.json")
        cases = {item["case"]: CaseMeasures(np.ones((4, 3), np.int64)) for item in datalist.test}
        write_cases_csv(trial.folder / "cases.csv", cases, datalist.class_names)
        write_json({"rows": []}, trial.folder / HISTORY_NAME)
        write_json({"hash": trial.hash}, trial.folder / "trial.json")

    monkeypatch.setattr(Trial, "run", run)
    return hashes


@pytest.fixture(name="patients")
def seven_and_one(tmp_path):
    """Seven labelled patients and one of the test."""
    return made_up.patients(tmp_path, 7, 1)


def correct(path):
    """Change one voxel of a mask."""
    image = nib.load(path)
    label = np.asarray(image.dataobj).copy()
    label[0, 0, 0] = (label[0, 0, 0] + 1) % 4
    nib.save(nib.Nifti1Image(label, image.affine, image.header), path)


def runs_anew(run, mask, trained):
    """How many cells are run at first, when nothing has changed, and after a mask was corrected."""
    counts = []
    for change in (False, False, True):
        if change:
            correct(mask)
        before = len(trained)
        run()
        counts.append(len(trained) - before)
    return counts


def test_a_corrected_mask_is_trained_on_with_partly_labelled_volumes(patients, tmp_path, trained, monkeypatch):
    monkeypatch.setattr(partly_labelled_table, "read_datalist", lambda _: (patients, []))

    def run():
        list(partly_labelled_table.run(tmp_path, tmp_path / "out", seeds=1, iterations=1))

    assert runs_anew(run, patients.labeled[0]["label"], trained) == [3, 0, 3]
    assert runs_anew(run, patients.test[0]["label"], trained) == [0, 0, 3], "what is judged counts too"


def test_a_corrected_mask_is_trained_on_with_two_scanners(tmp_path, trained, monkeypatch):
    data = tmp_path / "data"
    write_chest_ct_phantom(data, num_labeled=4, num_unlabeled=1, num_test=1, size=(16, 16, 2))
    monkeypatch.setattr(scanner_gap_table, "write_data", lambda *_: data)

    def run():
        list(scanner_gap_table.run(tmp_path / "out", seeds=1, arms=["unimatch"], iterations=1))

    assert runs_anew(run, sorted(data.glob("labelsTr/*"))[0], trained) == [1, 0, 1]


def test_a_corrected_mask_is_trained_on_with_suggested_patients(patients, tmp_path, trained, monkeypatch):
    monkeypatch.setattr(suggestion_table, "read_datalist", lambda _: (patients, []))

    def suggest(bundle, options, count, folder):
        (folder / "labeled_list.txt").write_text("\n".join(item["case"] for item in patients.labeled), encoding="utf-8")

    monkeypatch.setattr(suggestion_table, "suggest", suggest)

    def run():
        list(suggestion_table.run(tmp_path, tmp_path / "out", repetitions=1, iterations=1))

    assert runs_anew(run, patients.labeled[0]["label"], trained) == [3, 0, 3]


def test_a_table_is_printed_after_each_cell_and_again_from_the_file(tmp_path, capsys):
    def table(cells):
        yield f"{len(cells)} cells, {cells[-1]['dice']}"

    def made():
        yield from ({"dice": 0.5}, {"dice": 0.75})

    parser = make_parser("about", "seeds", count=2, iterations=3, data="ACDC")
    out = make_directory(tmp_path / "out")
    arguments = parser.parse_args(["--data", "D", "--out", str(out)])
    run_table(parser, arguments, {"iterations": arguments.iterations}, "seeds", made(), table)
    assert capsys.readouterr().out == "1 cells, 0.5\n2 cells, 0.75\n"
    arguments = parser.parse_args(["--cells", str(out / "cells.json")])
    run_table(parser, arguments, {}, "seeds", iter(()), table)
    assert capsys.readouterr().out == "2 cells, 0.75\n"


@pytest.mark.parametrize("module", [partly_labelled_table, scanner_gap_table, suggestion_table])
def test_nothing_begins_without_the_folders(module, capsys):
    with pytest.raises(SystemExit):
        module.main([])
    needed = "--out" if module is scanner_gap_table else "--data and --out"
    assert f"error: give {needed}" in capsys.readouterr().err
