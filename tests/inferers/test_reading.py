"""Cases are read in their order, ahead of time only where memory allows, and what cannot be read is no exception."""

import threading
from concurrent.futures import Future

import itk
import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers import reading
from monai_supmix.inferers.inputs import find_inputs
from monai_supmix.inferers.reading import decoded_bytes, read_cases
from tests.imageio.dicom_series import write_series
from tests.inferers.tiny import scan


@pytest.fixture
def folder(tmp_path):
    for name in ("a.nii.gz", "c.nii"):
        nib.save(nib.Nifti1Image(scan((40, 30, 20)), np.eye(4)), tmp_path / name)
    (tmp_path / "b.nii").write_bytes(b"hello")
    Image.fromarray(scan((20, 30), "u1")).save(tmp_path / "d.png")
    itk.imwrite(itk.image_from_array(scan()), str(tmp_path / "e.nrrd"), compression=True)
    write_series(tmp_path / "f", scan(dtype="u2"), np.eye(4))
    return tmp_path


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_the_order_and_the_errors_do_not_depend_on_reading_ahead(folder, ahead):
    cases, _ = find_inputs(folder)
    read = list(read_cases(cases, ahead))
    assert [case for case, _ in read] == cases
    for case, image in read:
        if case.path.name == "b.nii":
            assert isinstance(image, Exception) and "b.nii" in str(image)
        else:
            assert np.array_equal(image.array, read_image(case.path).array)


@pytest.mark.parametrize("memory", [0, 40 * 30 * 20 * 2 * 4, 40 * 30 * 20 * 2 * 4 + 4])
def test_the_next_case_is_read_meanwhile_if_it_takes_less_than_a_quarter_of_the_memory(folder, monkeypatch, memory):
    monkeypatch.setattr(reading, "available_memory", lambda: memory)
    begun = threading.Event()

    def read(path):
        if path.name == "c.nii":
            begun.set()
        return read_image(path)

    monkeypatch.setattr(reading, "read_image", read)
    cases, _ = find_inputs([folder / "a.nii.gz", folder / "c.nii"])
    cases = read_cases(cases, ahead=1)
    next(cases)
    expected = memory > 40 * 30 * 20 * 2 * 4
    assert begun.wait(30 if expected else 0) == expected
    next(cases)
    assert begun.is_set()


def test_the_estimate_is_exact_for_nifti_and_not_too_low_for_others(folder):
    for name in ("a.nii.gz", "c.nii"):
        assert decoded_bytes(folder / name) == 40 * 30 * 20 * 2
    for name in ("d.png", "e.nrrd", "f"):
        assert decoded_bytes(folder / name) >= read_image(folder / name).array.nbytes
    itk.imwrite(itk.image_from_array(scan()), str(folder / "g.mhd"))  # a small header beside large voxels
    nib.save(nib.Nifti1Pair(scan((40, 30, 20)), np.eye(4)), folder / "h.hdr")
    for name in ("g.mhd", "h.hdr", "h.img"):
        assert decoded_bytes(folder / name) >= read_image(folder / name).array.nbytes
    assert decoded_bytes(folder / "b.nii") == decoded_bytes(folder / "missing.mha") == 0


def test_so_many_are_read_at_once_as_there_are_readers_and_memory_for(folder, monkeypatch):
    cases = find_inputs(folder)[0] * 2
    together, begun, lock = threading.Barrier(3, timeout=60), [], threading.Lock()

    def read(path):
        with lock:
            begun.append(path)
            place = len(begun)
        if 1 < place <= 4:
            together.wait()  # comes back when three read at once
        return read_image(path)

    monkeypatch.setattr(reading, "read_image", read)
    found = read_cases(cases, ahead=3)
    assert [case for case, _ in found] == cases
    assert sorted(begun) == sorted(case.path for case in cases)

    small = [case for case in cases if case.path.name == "a.nii.gz"] * 8
    monkeypatch.setattr(reading, "available_memory", lambda: 4 * (2 * 40 * 30 * 20 * 2 + 1))  # for two of them
    submitted = []
    monkeypatch.setattr(
        reading.ThreadPoolExecutor, "submit", lambda pool, call, case: submitted.append(case) or _done(call(case))
    )
    found = read_cases(small, ahead=9)
    next(found)
    assert len(submitted) == 2


def _done(value):
    future = Future()
    future.set_result(value)
    return future
