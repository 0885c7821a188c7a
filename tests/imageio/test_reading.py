"""Every kind of file finds its reader, and what is not an image gets a message that helps."""

import numpy as np
import pytest
from PIL import Image

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.reading import read_image, read_label


@pytest.mark.parametrize("read", [read_image, read_label])
@pytest.mark.parametrize(
    "suffix", [".nii", ".nii.gz", ".nrrd", ".mha", ".mhd", ".mgz", ".png", ".jpg", ".tif", ".bmp", ".gif", ".webp"]
)
def test_missing_empty_and_foreign_content(tmp_path, suffix, read):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(InputError, match="does not exist"):
        read(path)
    path.touch()
    with pytest.raises(InputError, match="0 bytes"):
        read(path)
    for content in (b"x", b"x" * 1000, bytes(1000), bytes(range(256)) * 4):
        path.write_bytes(content)
        with pytest.raises(InputError) as error:
            read(path)
        assert error.value.subject == str(path)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a.hdr", "no .img file beside it"),
        ("a.img.gz", "no .hdr file beside it"),
        ("a.npy", "holds an image of a type that is not read"),
        ("a.dcm", "single DICOM file: give the folder"),
        ("a.docx", "unknown type"),
        ("nii", "unknown type"),
    ],
)
def test_unsupported_files(tmp_path, name, problem):
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(InputError, match=problem):
        read_image(tmp_path / name)


def test_broken_links_and_folders(tmp_path):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "gone.nii.gz")
    with pytest.raises(InputError, match="does not exist"):
        read_image(tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="is a folder"):
        read_label(tmp_path)


def test_text_paths(tmp_path):
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(tmp_path / "a.png")
    assert read_image(str(tmp_path / "a.png")).path == tmp_path / "a.png"


def test_arrays_must_have_three_dimensions():
    with pytest.raises(ValueError, match="3 dimensions"):
        CaseImage.from_array(np.zeros((2, 3)))
