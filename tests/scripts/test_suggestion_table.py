"""The table of suggested against random patients."""

from pathlib import Path

import pytest
import suggestion_table

from monai_supmix.listing import read_json

ROOT = Path(__file__).parents[2]
CELLS = ROOT / "scripts" / "simulated" / "acdc_suggest.json"


def repetition(seed, first, random, suggested):
    """Four volumes of two patients with one Dice for all, in percent."""
    volumes = [f"patient{patient}_frame{frame}" for patient in (1, 2) for frame in (1, 2)]
    arms = {"first": first, "random": random, "suggested": suggested}
    return {"seed": seed} | {arm: {"dice": {v: [dice / 100] * 3 for v in volumes}} for arm, dice in arms.items()}


def test_the_table_pairs_what_began_with_the_same_patients():
    rows = list(suggestion_table.table([repetition(0, 50, 60, 63), repetition(1, 40, 70, 71)]))
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows[2:]]
    assert cells[0] == ["0", "50.0", "60.0", "63.0", "+3.0"] and cells[1] == ["1", "40.0", "70.0", "71.0", "+1.0"]
    assert cells[2][1:4] == ["45.00 ± 7.07", "65.00 ± 7.07", "67.00 ± 5.66"]
    # all patients gain alike, so only the draw of repetitions counts: both of one, both of the other, or one of each
    assert cells[2][4] == "+2.00 [+1.00, +3.00]", "two repetitions are too few for a finding in bold"


@pytest.mark.skipif(not CELLS.exists(), reason="no simulation is committed")
def test_the_page_of_the_bundle_shows_these_cells():
    page = (ROOT / "bundles" / "acdc_supmix" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "\n".join(suggestion_table.table(read_json(CELLS)["repetitions"])) in page
