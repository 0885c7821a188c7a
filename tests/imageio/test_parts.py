"""The files that an image consists of are found whatever their names and the place of the voxels."""

import os
from pathlib import Path

import pytest

from monai_supmix.imageio.parts import files_of_image

HEADER = "ObjectType = Image\nNDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\n{key} = {voxels}\n"


@pytest.mark.parametrize("ending", [".mhd", ".mha"])
@pytest.mark.parametrize("voxels", ["a.raw", "voxels/ü 1.zraw"])
@pytest.mark.parametrize("key", ["ElementDataFile", "elementdatafile"])
def test_the_voxels_of_a_metaimage_lie_where_its_header_says(tmp_path, ending, voxels, key):
    header, data = tmp_path / f"a{ending}", tmp_path / voxels
    header.write_text(HEADER.format(key=key, voxels=voxels), encoding="utf-8")
    assert files_of_image(header) == [header], "its reader says what is missing"
    data.parent.mkdir(exist_ok=True)
    data.write_bytes(b"1234")
    assert files_of_image(header) == [header, data]


@pytest.mark.parametrize("names", [("a.hdr", "a.img"), ("A.HDR", "A.IMG"), ("a.b.hdr.gz", "a.b.img.gz")])
def test_both_files_of_a_pair_are_found_from_either(tmp_path, names):
    pair = {tmp_path / name for name in names}
    for path in pair:
        path.write_bytes(b"x")
    for path in pair:
        found = files_of_image(path)
        assert found[0] == path
        assert {os.path.normcase(file) for file in found} == {os.path.normcase(file) for file in pair}


@pytest.mark.parametrize("name", ["a.nii.gz", "a.png", "a.nrrd", "broken.mha", "missing.mhd", "missing.hdr"])
def test_other_images_are_their_file(tmp_path, name):
    if not name.startswith("missing"):
        (tmp_path / name).write_bytes(b"\xff\xfe")
    assert files_of_image(tmp_path / name) == [Path(tmp_path / name)]


def test_slices_of_a_pattern_come_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9):
        (tmp_path / f"a_slice_{number}.h5").write_bytes(b"x")
    assert [file.name for file in files_of_image(tmp_path / "a_slice_*.h5")] == ["a_slice_9.h5", "a_slice_10.h5"]
