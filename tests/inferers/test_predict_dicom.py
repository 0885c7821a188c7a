"""DICOM results beside the masks of DICOM series: when they are written, kept, replaced and refused."""

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest

from monai_supmix.errors import InputError
from monai_supmix.imageio import dicom_seg, read_image, read_label
from monai_supmix.inferers import SliceVolumeInferer, one_case, predict_cases
from tests.imageio.dicom_series import edit, write_series
from tests.inferers.tiny import RULE, scan, tiny_network

RECORD = {"class_names": ["background", "a", "b"], "intensity": {"hu": RULE}}
AFFINE = np.diag([-0.7, -0.7, 2.5, 1.0])
TERMS = {"category": ["49755003", "SCT", "Morphologically Abnormal Structure"], "type": ["1", "99X", "Thing"]}


def run(inputs, output, dicom_seg=True, **arguments):
    inferer = SliceVolumeInferer(amp=False)
    return predict_cases(inputs, output, tiny_network(), RECORD, inferer, dicom_seg=dicom_seg, **arguments)


def files(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def data(tmp_path):
    folder = tmp_path / "data"
    write_series(folder / "p1" / "ct", scan(dtype="u2"), AFFINE)
    nib.save(nib.Nifti1Image(scan(), AFFINE), folder / "scan.nii.gz")
    return folder


@pytest.mark.parametrize("wanted", [True, "auto"])
def test_it_lies_beside_the_mask_of_a_series_alone(data, tmp_path, wanted):
    out = tmp_path / "out"
    summary = run(data, out, wanted, weights_sha256="abc", dicom_codes={"b": TERMS})
    names = ["p1/ct_seg.dcm", "p1/ct_seg.json", "p1/ct_seg.nii.gz", "scan_seg.json", "scan_seg.nii.gz"]
    assert files(out) == names and summary.dicom == [out / names[0]]
    records = [json.loads((out / name).read_text(encoding="utf-8")) for name in ("p1/ct_seg.json", "scan_seg.json")]
    assert [record.get("dicom_seg") for record in records] == [True, None]
    segmentation = pydicom.dcmread(out / names[0])
    mask = np.asarray(nib.load(out / "p1/ct_seg.nii.gz").dataobj)
    for number in (1, 2):
        frames = [part.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
                  for part in segmentation.PerFrameFunctionalGroupsSequence]  # fmt: skip
        assert segmentation.pixel_array[frames].sum() == (mask == number).sum() > 0
    assert segmentation.SegmentSequence[1].SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Thing"
    assert "weights_sha256=abc" in str(
        segmentation.SegmentSequence[0].SegmentationAlgorithmIdentificationSequence[0].AlgorithmParameters
    )
    assert len(run(data, out, wanted, weights_sha256="abc", dicom_codes={"b": TERMS}).skipped) == 2


def test_a_structure_set_too(data, tmp_path):
    out = tmp_path / "out"
    summary = run(data, out, rtstruct=True)
    assert [path.name for path in summary.dicom] == ["ct_seg.dcm", "ct_seg_rtstruct.dcm"]
    assert json.loads((out / "p1/ct_seg.json").read_text(encoding="utf-8"))["rtstruct"] is True
    image, mask = read_image(data / "p1/ct"), np.asarray(nib.load(out / "p1/ct_seg.nii.gz").dataobj)
    for path in summary.dicom:
        assert mask.any() and np.array_equal(read_label(path, image, 3, class_names=RECORD["class_names"]), mask)
    assert len(run(data, out, rtstruct=True).skipped) == len(run(data, out, False).skipped) == 2
    run(data, out, False, overwrite=True)
    assert [name for name in files(out) if name.endswith(".dcm")] == []
    with pytest.raises(InputError, match=r"made differently \(rtstruct\)"):
        run(data, out, False, rtstruct=True)
    beside = run(data, data, False, rtstruct=True)
    assert len(beside.dicom) == 1 and len(run(data, data, False, rtstruct=True).skipped) == 2


def test_none_by_default_and_a_mask_without_one_is_questioned(data, tmp_path):
    out = tmp_path / "out"
    run(data / "p1/ct", out, False)
    assert files(out) == ["ct_seg.json", "ct_seg.nii.gz"]
    with pytest.raises(InputError, match=r"made differently \(dicom_seg\): set overwrite to true"):
        run(data / "p1/ct", out)
    run(data / "p1/ct", out, overwrite=True)
    assert files(out)[0] == "ct_seg.dcm"
    assert run(data / "p1/ct", out, False).skipped
    run(data / "p1/ct", out, False, overwrite=True)
    assert files(out) == ["ct_seg.json", "ct_seg.nii.gz"], "no segmentation beside a mask that it does not equal"


def test_output_beside_the_input_can_be_repeated(data):
    first = run(data, data)
    assert len(first.written) == len(run(data, data).skipped) == 2
    assert len(run(data / "p1/ct", data / "p1/ct").dicom) == 1
    assert len(run(data / "p1/ct", data / "p1/ct", overwrite=True).dicom) == 1
    assert len(run(data, data, overwrite=True).dicom) == 1


def test_a_file_of_that_name_by_somebody_else_is_kept(data, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "ct_seg.dcm").write_bytes(b"by hand")
    with pytest.raises(InputError, match="exists without a record"):
        run(data / "p1/ct", out)
    run(data / "p1/ct", out, False)
    assert (out / "ct_seg.dcm").read_bytes() == b"by hand"


def test_a_series_without_frame_of_reference(data, tmp_path, monkeypatch):
    for file in (data / "p1/ct").iterdir():
        edit(file, FrameOfReferenceUID=None)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="no frame of reference"):
        run(data, out)
    assert not out.exists()
    summary = run(data, out, on_error="skip")
    assert [name for name, _ in summary.failed] == ["p1/ct"] and len(summary.written) == 1
    summary = run(data / "p1", tmp_path / "lenient", "auto")
    assert summary.dicom == [] and len(summary.written) == 1
    notes = json.loads((tmp_path / "lenient/ct_seg.json").read_text(encoding="utf-8"))["notes"]
    assert notes == ["no DICOM segmentation: its slices have no frame of reference, which a DICOM segmentation needs"]


def test_without_the_extra(data, tmp_path, monkeypatch):
    monkeypatch.setattr(dicom_seg, "_PACKAGES", ("no_such_package",))
    with pytest.raises(InputError, match=r"pip install 'monai-supmix\[dicom\]'"):
        run(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    summary = run(data, tmp_path / "out", "auto")
    assert summary.dicom == [] and len(summary.written) == 2 and "pip install" in summary.notes[-1]
    assert run(data / "scan.nii.gz", tmp_path / "other", "auto").notes == []
    assert run(data, tmp_path / "off", False).notes == []


def test_an_interruption_leaves_no_segmentation_that_passes_for_whole(data, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(one_case, "write_mask", stop)
    with pytest.raises(KeyboardInterrupt):
        run(data / "p1/ct", tmp_path / "out")
    monkeypatch.undo()
    assert len(run(data / "p1/ct", tmp_path / "out").dicom) == 1
