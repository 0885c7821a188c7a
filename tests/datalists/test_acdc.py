"""ACDC in both of its layouts: the field's patients on the field's sides, on made-up files and on the real ones."""

import os
from pathlib import Path

import numpy as np
import pytest

from monai_supmix.datalists.acdc import ACDC_CLASSES, TEST, TRAINING, VALIDATION, acdc_datalist
from monai_supmix.datalists.check import check_sides
from monai_supmix.datalists.datalist import Datalist
from monai_supmix.errors import InputError
from monai_supmix.imageio import load_case
from tests.datalists.acdc_files import write_publishers, write_ssl4mis

SUPMIX_DATA = os.environ.get("SUPMIX_DATA")


def patients(items):
    return list(dict.fromkeys(int(item["group"].removeprefix("patient")) for item in items))


def test_the_lists_divide_100_patients():
    assert [len(numbers) for numbers in (TRAINING, VALIDATION, TEST)] == [70, 10, 20]
    assert sorted((*TRAINING, *VALIDATION, *TEST)) == list(range(1, 101))


@pytest.fixture
def publishers(tmp_path):
    return write_publishers(tmp_path, (*TRAINING[:8], 74, 76, *VALIDATION[:3], *TEST[:2], 101, 150), same=(74, 76))


def test_the_publishers_layout(publishers):
    datalist = acdc_datalist(publishers, num_val_patients=3)
    assert [item["case"] for item in datalist.labeled] == [
        f"patient{number}_frame{frame}" for number in ("099", "038", "050") for frame in ("01", "08")
    ]
    assert {item["phase"] for item in datalist.labeled} == {"ED", "ES"}
    assert patients(datalist.unlabeled) == [*TRAINING[3:8], 74]
    assert not any("label" in item for item in datalist.unlabeled)
    assert patients(datalist.validation) == list(VALIDATION[:3])
    assert patients(datalist.test) == list(TEST[:2])
    assert datalist.class_names == list(ACDC_CLASSES)
    told = "\n".join(datalist.notes)
    assert "patient076 holds the same images as patient074 with other labels: it is left out" in told
    assert "2 patients outside of the field's lists" in told
    assert "17 files of" in told and "patient001_4d.nii.gz" not in told
    assert check_sides(datalist, 4) == []
    assert load_case(datalist.test[0], 4).image.spacing == (1.5, 1.5, 10.0)


def test_budgets_are_patients_by_the_fields_order_or_by_a_seed(publishers, tmp_path):
    assert patients(acdc_datalist(publishers, num_labeled=7).labeled) == list(TRAINING[:7])
    drawn = [patients(acdc_datalist(publishers, num_labeled=n, labeled_seed=4).labeled) for n in (2, 5)]
    assert drawn[1][:2] == drawn[0] and drawn[1] != list(TRAINING[:5])
    assert patients(acdc_datalist(publishers, labeled_list=["patient058", "patient021_frame01"]).labeled) == [58, 21]
    assert len(acdc_datalist(publishers, num_labeled=None).labeled) == 18
    with pytest.raises(InputError, match="num_labeled: is 10, and 9 training patients have labels: give a number"):
        acdc_datalist(publishers, num_labeled=10)
    with pytest.raises(InputError, match="num_val_patients: is 4, and 3 patients"):
        acdc_datalist(publishers, num_val_patients=4)


def test_a_datalist_file_counts_patients(publishers, tmp_path):
    datalist = acdc_datalist(publishers)
    datalist.to_json(tmp_path / "list.json")
    assert (
        acdc_datalist(tmp_path / "list.json", num_labeled=3) == datalist == Datalist.from_json(tmp_path / "list.json")
    )
    with pytest.raises(InputError, match=r"num_labeled: is 7, but .* holds 3 labelled patients"):
        acdc_datalist(tmp_path / "list.json", num_labeled=7)


def test_patients_that_differ_both_stay_whatever_else_is_wrong_with_them(tmp_path):
    root = write_publishers(tmp_path, (99, 74, 76))
    (root / "training" / "patient076" / "patient076_frame01.nii.gz").write_bytes(b"damaged")
    datalist = acdc_datalist(root, num_labeled=1)
    assert patients(datalist.unlabeled) == [74, 76]
    assert not any("same images" in note for note in datalist.notes)


def test_mistakes_are_told(publishers, tmp_path):
    with pytest.raises(InputError, match="holds no ACDC in a known layout: give patientNNN/"):
        acdc_datalist(publishers / "training" / "patient099")
    info = publishers / "training" / "patient099" / "Info.cfg"
    info.write_text("ED: one\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"Info.cfg: does not name the frames ED and ES"):
        acdc_datalist(publishers)
    info.write_text("ED: 1\nES: 9\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"patient099_frame09.nii.gz: does not exist"):
        acdc_datalist(publishers)
    with pytest.raises(InputError, match="holds none of the 70 training patients"):
        acdc_datalist(write_publishers(tmp_path / "other", (101, 102)))


def test_training_slices_are_volumes(tmp_path):
    h5py = pytest.importorskip("h5py", reason="h5py is not installed (extra hdf5)")
    write_ssl4mis(tmp_path, (*TRAINING[:4], VALIDATION[0], TEST[0]))
    datalist = acdc_datalist(tmp_path, num_labeled=3, num_val_patients=1)
    assert patients(datalist.labeled) == list(TRAINING[:3]) and len(datalist.labeled) == 3
    assert patients(datalist.unlabeled) == [TRAINING[3]]
    assert {load_case(item, 4).image.array.shape for item in (*datalist.labeled, *datalist.test)} == {(5, 4, 11)}
    with h5py.File(tmp_path / "data" / "patient099_frame01.h5", "w") as file:
        file["image"] = np.zeros((2, 3, 4))
    with pytest.raises(InputError, match="holds patient099_frame01 as a volume and as slices"):
        acdc_datalist(tmp_path)


@pytest.mark.skipif(SUPMIX_DATA is None, reason="SUPMIX_DATA is not set")
def test_the_real_packaging_gives_the_published_budgets():
    pytest.importorskip("h5py", reason="h5py is not installed (extra hdf5)")
    root = Path(SUPMIX_DATA) / "ACDC_SSL"
    published = [line for line in (root / "train_slices.list").read_text(encoding="utf-8").splitlines() if line]
    for count, num_slices in ((3, 68), (7, 136), (14, 256)):
        datalist = acdc_datalist(root, num_labeled=count, num_val_patients=10)
        named = list(dict.fromkeys(name.split("_slice_")[0] for name in published[:num_slices]))
        assert sorted(item["case"] for item in datalist.labeled) == sorted(named)
    assert [len(getattr(datalist, side)) for side in ("unlabeled", "validation", "test")] == [110, 20, 40]
    for numbers, name in ((VALIDATION, "val"), (TEST, "test"), (TRAINING, "train")):
        lines = (root / f"{name}.list").read_text(encoding="utf-8").split()
        assert list(dict.fromkeys(int(line[7:10]) for line in lines)) == list(numbers)
    assert any(note.startswith("patient076 holds the same images as patient074") for note in datalist.notes)
