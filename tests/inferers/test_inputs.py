"""What a user names becomes cases, each once, with a place for its result below the output folder."""

import hashlib
import json
import os
from pathlib import Path, PurePath

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from monai_supmix.data import images_in
from monai_supmix.errors import InputError
from monai_supmix.inferers.inputs import InputCase, find_inputs, set_view
from tests.imageio.dicom_series import write_series


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def outputs(inputs) -> list[str]:
    return [case.output(Path("O")).as_posix() for case in find_inputs(inputs)[0]]


def test_a_file(tmp_path):
    assert outputs(tmp_path / "a b.nii.gz") == ["O/a b_seg.nii.gz"]
    assert outputs(str(tmp_path / "x_seg.png")) == ["O/x_seg_seg.png"]  # named outright: meant


def test_a_folder_with_sub_folders(tmp_path):
    touch(tmp_path, "b.NII", "a.png", "p 1/ü.nii.gz", "p 1/deep/x.y.mha", "p2/a.JPG", "p2/notes.txt", "model")
    touch(
        tmp_path,
        "a_seg.png",
        "a_seg.json",
        "b_seg_prob_lung.nii.gz",
        ".hidden.png",
        ".cache/c.png",
        "._b.nii",
    )
    expected = ["a_seg.png", "b_seg.nii.gz", "p 1/deep/x.y_seg.nii.gz", "p 1/ü_seg.nii.gz", "p2/a_seg.png"]
    assert outputs(tmp_path) == [f"O/{name}" for name in expected]
    types, masks = find_inputs(tmp_path)[1]
    assert "(not a type that is read; 1 .txt, 1 without ending)" in types and "named like masks" in masks


def test_labels_beside_images_are_no_scans_wherever_they_lie(tmp_path):
    touch(tmp_path, "a/images/1.nii.gz", "a/labels/1.nii.gz", "a/labels/1.json", "b/imagesTr/2.png", "b/labelsTr/2.png")
    touch(tmp_path, "c/labels/3.nii.gz", "d/images/labels/4.png")
    cases, notes = find_inputs(tmp_path)
    assert [case.name for case in cases] == [
        "a/images/1.nii.gz",
        "b/imagesTr/2.png",
        "c/labels/3.nii.gz",
        "d/images/labels/4.png",
    ]
    assert notes == ["folders of labels beside those of their images are left out (2): a/labels, b/labelsTr"]
    assert outputs(tmp_path / "a/labels") == ["O/1_seg.nii.gz"], "named outright: meant"


@pytest.mark.parametrize("name", ["images", "imagesTr", "imagesTs"])
def test_images_beside_the_folder_of_images_are_told(name, tmp_path):
    touch(tmp_path, f"{name}/a.png", "labels/a.png", "labelsTr/a.nii.gz", "labelsTs/a.nii.gz", "dataset.json")
    touch(tmp_path, "a_seg.png", ".hidden.png")
    assert find_inputs(images_in(str(tmp_path)))[1] == []
    touch(tmp_path, "b.png", "more/c.nii.gz")
    write_series(tmp_path / "more/ct", np.zeros((3, 3, 2), int), np.eye(4))
    cases, notes = find_inputs(images_in(str(tmp_path)))
    assert [case.path for case in cases] == [tmp_path / name / "a.png"]
    assert len(notes) == 1 and f"only images in {name} are predicted, 3 beside it left out" in notes[0]
    assert find_inputs(tmp_path / name)[1] == []  # named outright: meant


def test_several_data_folders_are_narrowed_each_and_keep_their_names(tmp_path):
    for study in ("s1", "s2"):
        touch(tmp_path, f"{study}/imagesTr/a.nii.gz", f"{study}/labelsTr/a.nii.gz")
    touch(tmp_path, "plain/a.nii.gz", "b.png")
    named = [str(tmp_path / name) for name in ("s1", "s2", "plain", "b.png")]
    cases, _ = find_inputs(images_in(named))
    assert [case.output(Path("O")).as_posix() for case in cases] == [
        "O/b_seg.png", "O/plain/a_seg.nii.gz", "O/s1/a_seg.nii.gz", "O/s2/a_seg.nii.gz",
    ]  # fmt: skip


def test_dicom_folders_are_one_case(tmp_path, monkeypatch):
    for name in ("p1/ct", "p2"):
        write_series(tmp_path / name, np.zeros((3, 3, 2), int), np.eye(4))
    touch(tmp_path, "p2/extra.nii.gz", "p2/DICOMDIR")
    assert outputs(tmp_path) == ["O/p1/ct_seg.nii.gz", "O/p2_seg.nii.gz", "O/p2/extra_seg.nii.gz"]
    assert outputs(tmp_path / "p1/ct") == ["O/ct_seg.nii.gz"]
    assert outputs(tmp_path / "p?") == ["O/p2_seg.nii.gz"]
    monkeypatch.chdir(tmp_path / "p1/ct")
    assert outputs(".") == ["O/ct_seg.nii.gz"]


def test_an_image_in_one_file_is_told_by_its_bytes_and_what_the_system_says_of_it(tmp_path):
    for name in ("a.nii", "b.png", "c.mha", "d.mhd"):
        (tmp_path / name).write_bytes(name.encode())
        case, told = InputCase(tmp_path / name), (tmp_path / name).stat()
        assert case.sha256() == hashlib.sha256(name.encode()).hexdigest()
        stamp = {"files": 1, "modified_ns": told.st_mtime_ns, "inode": told.st_ino}
        assert case.stamp() == {**stamp, "bytes": told.st_size}


@pytest.mark.parametrize("named", ["a.mhd", "b.hdr", "b.img"])
def test_voxels_beside_their_header_count(tmp_path, named):
    header = "NDims = 2\nDimSize = 2 2\nElementType = MET_UCHAR\nElementDataFile = a.raw\n"
    (tmp_path / "a.mhd").write_text(header, encoding="utf-8")
    (tmp_path / "a.raw").write_bytes(b"1234")
    nib.save(nib.Nifti1Pair(np.zeros((2, 3, 4), np.int16), np.eye(4)), tmp_path / "b.img")
    voxels = tmp_path / {"a.mhd": "a.raw"}.get(named, "b.img")
    case = InputCase(tmp_path / named)
    content, stamp = case.sha256(), case.stamp()
    assert stamp["files"] == 2 and stamp["bytes"] > voxels.stat().st_size
    voxels.write_bytes(voxels.read_bytes()[:-1] + b"\1")
    assert case.sha256() != content
    times = voxels.stat()
    os.utime(voxels, ns=(times.st_atime_ns, stamp["modified_ns"] + 1))
    assert case.stamp() != stamp


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path / "data", "sub/a.png")
    touch(tmp_path / "elsewhere", "b.png")
    (tmp_path / "data/loop").symlink_to(tmp_path / "data")
    (tmp_path / "data/sub/up").symlink_to(tmp_path / "data/sub")
    (tmp_path / "data/other").symlink_to(tmp_path / "elsewhere")
    assert outputs(tmp_path / "data") == ["O/other/b_seg.png", "O/sub/a_seg.png"]


def test_patterns(tmp_path, monkeypatch):
    touch(tmp_path, "p1/a.nii.gz", "p1/a_seg.nii.gz", "p2/b.nii.gz", "p2/c.txt")
    assert outputs(tmp_path / "*/*") == ["O/p1/a_seg.nii.gz", "O/p2/b_seg.nii.gz"]
    assert outputs(str(tmp_path / "**/b*")) == ["O/b_seg.nii.gz"]
    monkeypatch.chdir(tmp_path)
    assert outputs("p1/*.nii.gz") == ["O/a_seg.nii.gz"]
    touch(tmp_path, "[1].png")
    assert outputs("[1].png") == ["O/[1]_seg.png"]  # a file of that name, not a pattern
    touch(tmp_path, "p[3]/d.nii.gz")
    assert outputs("p[3]/*.nii.gz") == ["O/d_seg.nii.gz"]  # a folder of that name


def test_datalists(tmp_path):
    items = [{"image": "p1/a.nii.gz", "slice": 0}, {"image": "p1/a.nii.gz", "slice": 1}]
    items += [{"image": str(tmp_path / "p2/b.png"), "turns": 3, "mirror": 1}, {"image": "p1/../p2/b.png"}]
    touch(tmp_path, "p1/a.nii.gz", "p2/b.png")
    path = tmp_path / "list.json"
    path.write_text(
        json.dumps({"class_names": ["x"], "notes": [], "test": items[:2], "labeled": items[2:]}), encoding="utf-8"
    )
    cases, _ = find_inputs(path)
    assert [case.output(Path("O")).as_posix() for case in cases] == ["O/p1/a_seg.nii.gz", "O/p2/b_seg.png"]
    assert (cases[1].turns, cases[1].mirror) == (3, 1)
    path.write_text(json.dumps(items[:1]), encoding="utf-8")
    assert outputs(path) == ["O/a_seg.nii.gz"]


def test_images_outside_the_datalists_folder_stay_inside_the_output(tmp_path):
    path = tmp_path / "lists/list.json"
    path.parent.mkdir()
    touch(tmp_path, "a.png")
    path.write_text(json.dumps([{"image": "../a.png"}, {"image": "../../b.png"}]), encoding="utf-8")
    root = tmp_path.name
    assert outputs(path) == ["O/b_seg.png", f"O/{root}/a_seg.png"]


def test_a_datalist_of_images_that_lie_elsewhere_is_told_from_a_missing_image(tmp_path):
    path = tmp_path / "list.json"
    path.write_text(json.dumps([{"image": "images/a.png"}, {"image": "images/b.png"}]), encoding="utf-8")
    with pytest.raises(InputError, match=r"list.json: names images that are not where it lies, such as images/a.png: "):
        find_inputs(path)
    touch(tmp_path, "images/a.png")
    assert outputs(path) == ["O/a_seg.png", "O/b_seg.png"]  # whoever reads b.png will tell


def test_photographs_beside_those_of_chase_are_predicted_and_masks_are_not(tmp_path):
    touch(tmp_path, "own.jpg", "a/Image_01L.jpg", "a/Image_01L_1stHO.png", "a/Image_01L_2ndHO.png", "b/patient5.jpg")
    cases, notes = find_inputs(images_in(str(tmp_path)))
    results = [case.output(Path("O")).as_posix() for case in cases]
    assert results == ["O/a/Image_01L_seg.png", "O/b/patient5_seg.png", "O/own_seg.png"]
    assert len(notes) == 1 and "(named like masks; 2 .png): Image_01L_1stHO.png, Image_01L_2ndHO.png" in notes[0]


def test_several_inputs(tmp_path):
    touch(tmp_path, "one/a.png", "two/a.png")
    assert outputs([tmp_path / "one", tmp_path / "two"]) == ["O/one/a_seg.png", "O/two/a_seg.png"]
    assert len(outputs([tmp_path / "one/a.png", tmp_path / "one" / ".." / "one" / "a.png"])) == 1


@pytest.mark.parametrize(
    "text", ["", "{", '{"test": []}', "[1]", '[{"label": "a"}]', '"a.png"', '{"a": {"image": "x"}}']
)
def test_wrong_datalists(tmp_path, text):
    (tmp_path / "list.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot be read as JSON|names no image"):
        find_inputs(tmp_path / "list.json")


def test_nothing_found(tmp_path):
    touch(tmp_path, "a.txt")
    for inputs in (tmp_path, tmp_path / "*.nii", []):
        with pytest.raises(InputError, match="holds no image"):
            find_inputs(inputs)


def test_names_for_records_hold_no_absolute_path():
    assert InputCase(Path(os.sep, "secret", "a.nii"), PurePath("p1")).name == "p1/a.nii"


def test_pictures_that_lie_on_their_side_are_found_and_turned(tmp_path):
    upright = np.zeros((32, 32), np.uint8)
    upright[26:, 12:20] = 200  # the spine below
    for name, picture in (("upright", upright), ("lying", upright.T)):
        for number in range(16):
            path = tmp_path / name / f"{number}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(np.ascontiguousarray(picture)).save(path)
        cases, notes = set_view(find_inputs(tmp_path / name)[0], "auto")
        assert {(case.turns, case.mirror) for case in cases} == ({(3, 1)} if name == "lying" else {(0, 0)})
        assert len(notes) == (name == "lying")
        few, notes = set_view(cases[:3], "upright")
        assert few == cases[:3] and not notes
    few, notes = set_view(find_inputs(tmp_path / "upright")[0][:15], "auto")
    assert not any(case.turns for case in few) and "too few pictures" in notes[0]
    assert set_view(few, "lying")[0][0].turns == 3
    with pytest.raises(InputError, match="view: is 'side'"):
        set_view(few, "side")
