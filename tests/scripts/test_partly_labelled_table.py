"""What partly labelled volumes are worth: the sets that are compared, and the table."""

from pathlib import Path

import numpy as np
import partly_labelled_table
import pytest

from monai_supmix.imageio.cases import load_case
from monai_supmix.listing import read_json
from tests.scripts.made_up import CLASS_NAMES, patients

ROOT = Path(__file__).parents[2]
CELLS = ROOT / "scripts" / "simulated" / "acdc_partly_labelled.json"


@pytest.fixture
def whole(tmp_path):
    """Five patients with all three classes."""
    return patients(tmp_path, 5)


def test_three_patients_lack_another_class_each_and_only_one_set_says_so(whole, tmp_path):
    items = partly_labelled_table.write_masks(whole, tmp_path)
    assert items[:2] == whole.labeled[:2]
    for missing, (item, original) in enumerate(zip(items[2:], whole.labeled[2:], strict=True), 1):
        image, label = load_case({key: item[key] for key in ("case", "image", "label")}, 4)
        full_image, full = load_case(original, 4)
        assert np.array_equal(image.array, full_image.array)
        assert np.array_equal(label, np.where(full == missing, 0, full))
        assert item["labelled_classes"] == [name for value, name in enumerate(CLASS_NAMES) if value != missing]
    sets = {arm: partly_labelled_table.datalist_of(arm, items, whole).labeled for arm in partly_labelled_table.ARMS}
    assert [item["case"] for item in sets["left_out"]] == ["p0_1", "p1_1"]
    assert sets["partly_labelled"] == items
    assert [item["label"] for item in sets["taken_for_whole"]] == [item["label"] for item in items]
    assert not any("labelled_classes" in item for item in sets["taken_for_whole"])


def test_the_table_pairs_seeds_and_patients():
    volumes = [f"patient{patient}_frame{frame}" for patient in (1, 2) for frame in (1, 2)]
    seeds = [
        {"seed": seed, **{arm: {v: [0.5 + 0.1 * place] * 3 for v in volumes} for place, arm in enumerate(arms)}}
        for seed, arms in enumerate([list(partly_labelled_table.ARMS)] * 2)
    ]
    rows = [row.strip("|").split("|") for row in list(partly_labelled_table.table(seeds))[2:]]
    assert [row[1].strip() for row in rows] == ["50.00 ± 0.00", "60.00 ± 0.00", "70.00 ± 0.00"]
    assert rows[0][2].strip() == "" and rows[1][2].strip().strip("*").startswith("+10.00")


@pytest.mark.skipif(not CELLS.exists(), reason="no cells are committed")
def test_the_page_of_the_bundle_shows_these_cells():
    page = (ROOT / "bundles" / "acdc_supmix" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "\n".join(partly_labelled_table.table(read_json(CELLS)["seeds"])) in page
