"""A phantom of two scanners: which volumes the other one shows, how it shows them, and the table."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import scanner_gap_table

from monai_supmix.listing import read_json

ROOT = Path(__file__).parents[2]
CELLS = ROOT / "scripts" / "simulated" / "scanner_gap.json"


def test_the_other_scanner_has_less_contrast_a_softer_kernel_and_more_noise():
    image = np.full((64, 64, 4), -800, dtype=np.int16)
    image[32:] = 0
    found = scanner_gap_table.other_scanner(image, seed=0)
    assert found.dtype == np.int16 and found.shape == image.shape
    assert found[:28].mean() == pytest.approx(-600, abs=2) and found[36:].mean() == pytest.approx(0, abs=2)
    assert found[:28].std() == pytest.approx(45, rel=0.05)
    assert -450 < found[31].mean() < -330 and -270 < found[32].mean() < -150  # the edge is blurred
    assert np.array_equal(found, scanner_gap_table.other_scanner(image, seed=0))


def test_labelled_volumes_come_from_the_scanner_that_was_asked_for(tmp_path, monkeypatch):
    def write_small(folder, **options):
        return write(folder, **options, size=(16, 16, 2))

    write = scanner_gap_table.write_chest_ct_phantom
    monkeypatch.setattr(scanner_gap_table, "write_chest_ct_phantom", write_small)
    monkeypatch.setattr(scanner_gap_table, "other_scanner", lambda image, seed: np.full_like(image, 7))
    for labels, as_drawn in (("other", 4), ("test", 0)):
        folder = scanner_gap_table.write_data(tmp_path / labels, 0, labels)
        changed = {
            path.name: bool((np.asarray(nib.load(path).dataobj) == 7).all()) for path in folder.glob("images*/*")
        }
        assert len(changed) == 22 and sum(not found for found in changed.values()) == as_drawn
        labelled = {path.name.replace(".nii.gz", "_0000.nii.gz") for path in folder.glob("labelsTr/*")}
        assert all(changed[name] == (labels == "test") for name in labelled)


def test_what_all_are_compared_with_has_to_be_trained(capsys, tmp_path):
    with pytest.raises(SystemExit):
        scanner_gap_table.main(["--out", str(tmp_path), "--arms", "supervised"])
    assert "--arms needs unimatch" in capsys.readouterr().err


def test_every_arm_has_its_words_and_the_table_pairs_volumes():
    assert list(scanner_gap_table.ARMS) == list(scanner_gap_table.WORDS)
    arms = {arm: 0.1 * place for place, arm in enumerate(scanner_gap_table.ARMS)}
    seeds = [
        {
            "seed": seed,
            **{
                arm: {
                    "iou": {f"v{i}": [value, value] for i in range(3)},
                    "discriminator_accuracy": 0.5 if "softmax" in arm else None,
                }
                for arm, value in arms.items()
            },
        }
        for seed in range(2)
    ]
    rows = [row.strip("|").split("|") for row in scanner_gap_table.table(seeds)][2:]
    assert [row[1].strip() for row in rows] == [f"{100 * value:.2f} ± 0.00" for value in arms.values()]
    reference = arms["unimatch"]
    for row, (arm, value) in zip(rows, arms.items(), strict=True):
        assert (row[2].strip() == "") == (arm == "unimatch")
        assert arm == "unimatch" or f"{100 * (value - reference):+.2f}" in row[2]
        assert row[3].strip() == ("50 %" if "softmax" in arm else "")


@pytest.mark.skipif(not CELLS.exists(), reason="no cells are committed")
def test_the_page_of_the_bundle_shows_these_cells():
    page = (ROOT / "bundles" / "covid19_ct_supmix" / "docs" / "README.md").read_text(encoding="utf-8")
    assert "\n".join(scanner_gap_table.table(read_json(CELLS)["seeds"])) in page
