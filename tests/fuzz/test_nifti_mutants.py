"""Damaged NIfTI files: 200 in the suite, thousands with ``python -m tests.fuzz.nifti_mutants``."""

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.imageio.case_image import CaseImage
from tests.fuzz import nifti_mutants
from tests.fuzz.nifti_reference import read_meaning, unpacked


def test_every_damaged_file_is_refused_or_read_for_what_it_says(tmp_path):
    outcomes, failures = nifti_mutants.fuzz(200, seed=0, folder=tmp_path)
    assert not failures, "\n".join(failures)
    assert {outcome for _, outcome in outcomes} == {"refused", "unharmed", "as its bytes say"}


def test_the_second_opinion_agrees_with_nibabel_on_undamaged_files(tmp_path):
    for original in nifti_mutants.originals(np.random.default_rng(0)):
        (tmp_path / original.name).write_bytes(original.data)
        image = nib.load(tmp_path / original.name)
        assert np.allclose(image.get_fdata(), original.values)
        assert np.allclose(image.affine, original.affine, atol=1e-4)
        assert not read_meaning(unpacked(original.data, original.name)).contradicts_itself


def test_a_reader_that_does_not_look_closely_is_found_out(tmp_path, monkeypatch):
    def careless(path):
        try:
            image = nib.load(path)
            return CaseImage.from_array(image.get_fdata(), image.affine, path)
        except Exception as error:
            raise nifti_mutants.InputError(path, str(error) or "?", "?") from error

    monkeypatch.setattr(nifti_mutants, "read_image", careless)
    _, failures = nifti_mutants.fuzz(200, seed=0, folder=tmp_path)
    assert any("which checksum or sizes rule out" in failure for failure in failures)
    assert any("no note tells" in failure for failure in failures)


@pytest.mark.parametrize("seed", [1, 2])
def test_mutants_are_replayed_by_their_seed(seed):
    made = []
    for _ in range(2):
        rng = np.random.default_rng(seed)
        files = list(nifti_mutants.originals(rng))
        made.append([nifti_mutants.mutate(file, rng) for file in files])
    assert made[0] == made[1]
