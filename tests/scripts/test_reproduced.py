"""The committed tables are those of the committed cells, and these of the code as it stands."""

import pytest
import reproduce
from reproduction.experiment import read_experiment
from reproduction.store import Store
from reproduction.table import make_table

from tests.bundles.workflows import BUNDLES, NAMES

CELLS = BUNDLES.parent / "scripts" / "reproduced"


@pytest.mark.parametrize("folder", sorted(path.name for path in CELLS.iterdir()))
def test_no_cell_is_stale(folder, capsys):
    assert reproduce.main(["--check", "--out", str(CELLS / folder)]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("bundle", NAMES)
def test_documents_show_these_cells(bundle, tmp_path):
    experiment, finished = read_experiment(CELLS / bundle), Store(CELLS / bundle).all_finished()
    store = Store(tmp_path)
    store.prepare()
    store.write_results(experiment, finished)
    docs = BUNDLES / bundle / "docs"
    assert (docs / "results.csv").read_text() == (tmp_path / "results.csv").read_text()
    assert (docs / "table.md").read_text() == make_table(experiment, finished)
