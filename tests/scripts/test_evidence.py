"""Finished cells as two files."""

import gzip

import numpy as np
import pytest
from reproduction.configuration import Configuration
from reproduction.evidence import Evidence

from monai_supmix.errors import InputError
from tests.scripts.cells import experiment
from tests.scripts.made_up import counts, finished

CELLS = [
    finished("supervised", counts((9, 1, 0), (8, 2, 0), (7, 3, 0), (6, 4, 0)), seed=seed, seconds=1.5 + seed)
    for seed in (0, 1)
] + [finished("supmix@7", counts((0, 0, 0), (1, 2, 3), (4, 5, 6), (7, 8, 9)), 5, seed=3, notes=["a, b"])]


def same(one, other):
    arrays = [each.__dict__["counts"] for each in (one, other)]
    return np.array_equal(*arrays) and all(
        getattr(one, name) == getattr(other, name)
        for name in ("cell", "configuration", "record", "class_names", "cases", "groups")
    )


@pytest.fixture
def evidence(tmp_path):
    found = Evidence(tmp_path)
    found.claim(experiment())
    for one in reversed(CELLS):
        found.add(experiment(), one)
    return found


def test_cells_come_back_in_the_order_of_the_tables(evidence):
    assert all(map(same, evidence.finished(), CELLS))
    assert len(evidence.finished()) == len(CELLS)
    assert evidence.experiment() == experiment()


def test_a_single_cell_comes_back(tmp_path):
    Evidence(tmp_path).add(experiment(), CELLS[0])
    assert same(Evidence(tmp_path).finished()[0], CELLS[0])


def test_figures_are_sums_of_counts(evidence):
    found = evidence.of(CELLS[0].cell).metrics
    assert found["classes"]["vessel"]["iou"] == 30 / 40
    assert found["num_images"] == 4
    assert evidence.of(CELLS[2].cell).metrics["classes"]["vessel"]["iou"] == 12 / (12 + 15 + 18)


def test_a_cell_takes_the_place_of_its_earlier_one(evidence):
    another = finished("supervised", counts(*[(1, 1, 1)] * 4), seed=1)
    evidence.add(experiment(), another)
    assert [same(one, other) for one, other in zip(evidence.finished(), CELLS, strict=True)] == [True, False, True]
    assert same(evidence.of(another.cell), another)


def test_a_cell_is_not_finished_while_its_counts_are_being_replaced(evidence, monkeypatch):
    monkeypatch.setattr(Evidence, "write", lambda *_: exec("raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        evidence.add(experiment(), finished("supervised", counts(*[(1, 1, 1)] * 4), seed=1))
    assert all(map(same, evidence.finished(), [CELLS[0], CELLS[2]]))


def test_the_same_cells_are_the_same_bytes(evidence, tmp_path):
    before = [path.read_bytes() for path in (evidence.settings, evidence.table)]
    evidence.add(experiment(), CELLS[1])
    assert [path.read_bytes() for path in (evidence.settings, evidence.table)] == before


def test_what_cells_share_is_written_once(tmp_path):
    evidence = Evidence(tmp_path)
    settings = {f"key{n}": n for n in range(100)}
    cells = [finished("supmix", counts(*[(1, 1, 1)] * 4), seed=seed) for seed in range(20)]
    for one in cells:
        one.__dict__["configuration"] = Configuration({**settings, "seed": one.cell.seed}, settings)
    evidence.write(experiment(), cells)
    assert evidence.settings.read_text(encoding="utf-8").count("key7") == 2 + 2 * 10  # key70 to key79
    assert evidence.settings.read_text(encoding="utf-8").count("\n") < 260
    assert all(map(same, evidence.finished(), cells))


@pytest.mark.parametrize("name", ["settings", "table"])
@pytest.mark.parametrize("break_it", [lambda data: data[: len(data) // 2], lambda data: b"", lambda _: b"{}\n"])
def test_damaged_files_are_named(evidence, name, break_it):
    path = getattr(evidence, name)
    path.write_bytes(break_it(path.read_bytes()))
    if name == "settings" and path.read_bytes() == b"{}\n":
        assert evidence.finished() == []
    else:
        with pytest.raises(InputError, match=r"experiment\.json"):
            evidence.finished()


def test_counts_without_a_cell_are_a_damage(evidence):
    lines = gzip.decompress(evidence.table.read_bytes()).decode().splitlines(keepends=True)
    evidence.table.write_bytes(gzip.compress("".join(lines[:-4]).encode()))
    with pytest.raises(InputError, match="has a damaged"):
        evidence.finished()


def test_a_folder_belongs_to_one_experiment(evidence):
    evidence.claim(experiment())
    with pytest.raises(InputError, match=r"another experiment \(tta was True, is False\): choose another --out"):
        evidence.claim(experiment(tta=False))
    assert len(evidence.finished()) == len(CELLS)
