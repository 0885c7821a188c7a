"""Damaged pictures, volumes and DICOM files: some in the suite, thousands with `tests.fuzz.file_mutants`."""

import pytest
from PIL import Image

from monai_supmix.imageio.case_image import CaseImage
from tests.fuzz import file_mutants


@pytest.mark.parametrize("kind", file_mutants.KINDS)
def test_every_damaged_file_is_refused_or_read_for_what_it_says(tmp_path, kind):
    outcomes, failures = file_mutants.fuzz(kind, 60, seed=1, folder=tmp_path)
    assert not failures, "\n".join(failures)
    assert {"refused", "unharmed"} <= {outcome for _, outcome in outcomes} | {"unharmed"}


@pytest.mark.slow
@pytest.mark.parametrize("kind", file_mutants.KINDS)
def test_a_thousand_damaged_files(tmp_path, kind):
    _, failures = file_mutants.fuzz(kind, 1000, seed=0, folder=tmp_path)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("kind", file_mutants.KINDS)
def test_the_second_opinion_agrees_on_undamaged_files(tmp_path, kind):
    for original in file_mutants.originals(kind, tmp_path):
        if original.meaning is not file_mutants.file_meanings.none:
            image = file_mutants.read(original, original.data, tmp_path)
            values = image.array.astype(float) * image.slope + image.inter
            assert file_mutants.by_meaning(original, file_mutants.Mutant("", original.data, ""), image, values)[0] != (
                "failure"
            )


def test_a_reader_that_does_not_look_closely_is_found_out(tmp_path, monkeypatch):
    def careless(path):
        try:
            with Image.open(path) as picture:
                array = file_mutants.np.array(picture)
            return CaseImage.from_array(array[None] if array.ndim == 2 else array.transpose(2, 0, 1), path=path)
        except Exception as error:
            raise file_mutants.InputError(path, str(error) or "?", "?") from error

    monkeypatch.setattr(file_mutants, "read_image", careless)
    _, failures = file_mutants.fuzz("TIFF", 200, seed=0, folder=tmp_path)
    assert failures
