"""The committed evidence: small, and what the tables of the documents show."""

import pytest
import reproduce
from reproduction.evidence import Evidence
from reproduction.store import Store
from reproduction.table import make_table

from tests.bundles.workflows import BUNDLES, SHIPPED

REPRODUCED = BUNDLES.parent / "scripts" / "reproduced"
FOLDERS = sorted(path.name for path in REPRODUCED.iterdir())


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_check_reports_and_never_fails(folder, capsys):
    assert reproduce.main(["--check", "--out", str(REPRODUCED / folder)]) == 0
    assert f"of {len(Evidence(REPRODUCED / folder).finished())} cells" in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.parametrize("bundle", SHIPPED)
def test_documents_show_these_cells(bundle, tmp_path):
    evidence = Evidence(REPRODUCED / bundle)
    experiment, finished = evidence.experiment(), evidence.finished()
    Store(tmp_path).write_results(experiment, finished)
    docs = BUNDLES / bundle / "docs"
    assert (docs / "results.csv").read_text(encoding="utf-8") == (tmp_path / "results.csv").read_text(encoding="utf-8")
    assert (docs / "table.md").read_text(encoding="utf-8") == make_table(experiment, finished)


@pytest.mark.parametrize("bundle", SHIPPED)
def test_evidence_is_small(bundle):
    files = [path for folder in REPRODUCED.glob(f"{bundle}*") for path in folder.iterdir()]
    assert {path.name for path in files} == {"experiment.json", "cases.csv.gz"}
    assert sum(path.stat().st_size for path in files) < 300_000
    assert sum(path.read_bytes().count(b"\n") for path in files) < 3_000
