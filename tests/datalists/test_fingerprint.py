"""What a training sees is told by content, whatever files an image consists of."""

import nibabel as nib
import numpy as np
import pytest

from monai_supmix.datalists.datalist import Datalist
from monai_supmix.datalists.fingerprint import fingerprint


def told(path):
    item = {"image": str(path), "case": "a", "group": "a"}
    return fingerprint(Datalist([], [item], [], [], ["background", "x"]))["files"]["a"]["image"]


@pytest.mark.parametrize("named", [".hdr", ".img"])
@pytest.mark.parametrize("changed", [".hdr", ".img"])
def test_both_files_of_a_pair_count(named, changed, tmp_path):
    nib.save(nib.Nifti1Pair(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4)), tmp_path / "a.img")
    before = told(tmp_path / f"a{named}")
    content = bytearray((tmp_path / f"a{changed}").read_bytes())
    content[-1] ^= 1
    (tmp_path / f"a{changed}").write_bytes(content)
    assert told(tmp_path / f"a{named}") != before


@pytest.mark.parametrize("stem, voxels", [("a", "a.raw"), ("a", "other.raw"), ("c[1]", "c[1].raw"), ("a", "a.zraw")])
def test_the_voxels_that_a_metaimage_names_count(stem, voxels, tmp_path):
    header = f"NDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = {voxels}\n"
    (tmp_path / f"{stem}.mhd").write_text(header, encoding="utf-8")
    (tmp_path / voxels).write_bytes(b"1234")
    before = told(tmp_path / f"{stem}.mhd")
    (tmp_path / voxels).write_bytes(b"1235")
    assert told(tmp_path / f"{stem}.mhd") != before


def test_files_that_are_no_part_of_an_image_do_not_count(tmp_path):
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "1.dcm").write_bytes(b"1")
    (tmp_path / "a.png").write_bytes(b"1")
    before = told(tmp_path / "series"), told(tmp_path / "a.png")
    for name in ("series/.DS_Store", "a.txt", "a.img"):
        (tmp_path / name).write_bytes(b"x")
    assert (told(tmp_path / "series"), told(tmp_path / "a.png")) == before
