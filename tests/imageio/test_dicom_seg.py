"""A DICOM segmentation lies over its series as the NIfTI mask does, read back with pydicom and geometry alone."""

import logging
import shutil
import subprocess

import highdicom
import nibabel as nib
import numpy as np
import pydicom
import pytest
from highdicom.color import CIELabColor
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_supmix.errors import InputError
from monai_supmix.imageio import dicom_seg
from monai_supmix.imageio.dicom import list_dicom_files
from monai_supmix.imageio.dicom_results import write_dicom
from monai_supmix.imageio.dicom_seg import DicomSegmentations
from monai_supmix.imageio.masks import write_mask
from monai_supmix.imageio.reading import read_image
from monai_supmix.palette import class_palette
from monai_supmix.version import __version__
from tests.imageio.dicom_series import PATIENT, PATIENT_ID, edit, write_series

CLASSES = ["background", "ground_glass", "vessel"]
CODES = {
    "ground_glass": {
        "category": ["49755003", "SCT", "Morphologically Abnormal Structure"],
        "type": ["1217294009", "SCT", "Ground glass lung opacity"],
    }
}
SHA = "0123456789abcdef" * 4
TURN = nib.eulerangles.euler2mat(0.3, -0.2, 0.1)
AFFINE = nib.affines.from_matvec(TURN @ np.diag([-0.7, -0.8, 2.5]), (30, 40, -50))
VOLUME = np.random.default_rng(0).integers(0, 3000, (10, 9, 8))


def series(folder, affine=AFFINE, volume=VOLUME):
    write_series(folder, volume, affine)
    return read_image(folder)


def random_mask(shape, seed=0):
    """Labels 0 to 2; of 1 and 2 there is none in the first and the last slice."""
    mask = np.random.default_rng(seed).integers(0, 3, shape).astype(np.uint8)
    mask[..., [0, -1]] = 0
    return mask


def write(mask, image, path, **arguments):
    segmentations = DicomSegmentations(True, CLASSES, CODES, SHA, **arguments)
    segmentations.check(image)
    made, notes = segmentations.make(mask, image)
    write_dicom(made, path)
    return pydicom.dcmread(path), notes


def put_back(data, mask):
    """The labels of a segmentation at the voxels of a NIfTI mask, by millimetres alone."""
    found = np.zeros(mask.shape, int)
    shared = data.SharedFunctionalGroupsSequence[0]
    x, y = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float).reshape(2, 3)
    apart_rows, apart_columns = (float(step) for step in shared.PixelMeasuresSequence[0].PixelSpacing)
    columns, rows = np.meshgrid(np.arange(data.Columns), np.arange(data.Rows))
    pixels = data.pixel_array.reshape(-1, data.Rows, data.Columns)
    for frame, groups in zip(pixels, data.PerFrameFunctionalGroupsSequence, strict=True):
        corner = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        lps = corner + columns[..., None] * x * apart_columns + rows[..., None] * y * apart_rows
        places = nib.affines.apply_affine(np.linalg.inv(mask.affine), lps * [-1, -1, 1])
        assert np.abs(places - places.round()).max() < 0.05
        number = groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        at = tuple(np.moveaxis(places.round().astype(int), -1, 0))
        assert not found[at][frame > 0].any(), "segments overlap"
        found[at] += number * frame
    return found


@settings(max_examples=12, deadline=None)
@given(
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.4, 6)] * 3),
    mirrored=st.tuples(*[st.booleans()] * 3),
    shear=st.sampled_from([0.0, 0.0, 0.4]),
    slices=st.integers(2, 6),
    seed=st.integers(0, 99),
)
def test_it_equals_the_nifti_mask_in_patient_coordinates(
    tmp_path_factory, angles, spacing, mirrored, shear, slices, seed
):
    """Oblique series, slices stored in any order and direction, and a tilted gantry."""
    folder = tmp_path_factory.mktemp("oblique")
    steps = np.where(mirrored, -1, 1) * spacing
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(*angles) @ np.diag(steps), (30, 40, -50))
    affine[:3, 2] += shear * affine[:3, 1]
    image = series(folder / "ct", affine, VOLUME[..., :slices])
    mask = random_mask(image.array.shape, seed)
    mask[2, 3, slices // 2] = 2
    write_mask(mask, image, folder / "ct_seg.nii.gz")
    data, notes = write(mask, image, folder / "ct_seg.dcm")
    assert notes == []
    nifti = nib.load(folder / "ct_seg.nii.gz")
    assert np.array_equal(put_back(data, nifti), np.asarray(nifti.dataobj))


def test_series_that_are_no_even_volume_stay_refused(tmp_path):
    write_series(tmp_path / "gap", VOLUME, AFFINE)[3].unlink()
    shifted = write_series(tmp_path / "shifted", VOLUME, np.diag([-1.0, -1, 1, 1]))[3]
    edit(shifted, ImagePositionPatient=[5, 0, 3])
    for name in ("gap", "shifted"):
        with pytest.raises(InputError, match="unevenly placed"):
            read_image(tmp_path / name)


def test_it_belongs_to_the_patient_study_and_frames_of_its_series(tmp_path):
    image = series(tmp_path / "ct")
    mask = random_mask(image.array.shape)
    data, _ = write(mask, image, tmp_path / "ct_seg.dcm")
    sources = [pydicom.dcmread(file) for file in image.files]
    first = sources[0]
    assert (data.PatientName, data.PatientID) == (PATIENT, PATIENT_ID) and data.Modality == "SEG"
    assert data.StudyInstanceUID == first.StudyInstanceUID
    assert data.FrameOfReferenceUID == first.FrameOfReferenceUID
    assert data.SeriesInstanceUID != first.SeriesInstanceUID
    uids = [source.SOPInstanceUID for source in sources]
    shown = {1: set(), 2: set()}
    for groups in data.PerFrameFunctionalGroupsSequence:
        source = groups.DerivationImageSequence[0].SourceImageSequence[0]
        index = uids.index(source.ReferencedSOPInstanceUID)
        assert groups.PlanePositionSequence[0].ImagePositionPatient == sources[index].ImagePositionPatient
        shown[groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber].add(index)
    for number, slices in shown.items():
        assert slices == set(np.flatnonzero((mask == number).any(axis=(0, 1))))
    volume = highdicom.seg.segread(tmp_path / "ct_seg.dcm").get_pixels_by_source_instance(
        uids, combine_segments=True, assert_missing_frames_are_empty=True
    )
    assert np.array_equal(volume.transpose(2, 1, 0), mask)


def test_segments_say_what_they_show_and_what_found_it(tmp_path):
    image = series(tmp_path / "ct")
    data, _ = write(random_mask(image.array.shape), image, tmp_path / "ct_seg.dcm")
    assert [(part.SegmentNumber, part.SegmentLabel) for part in data.SegmentSequence] == [
        (1, "ground_glass"),
        (2, "vessel"),
    ]
    meanings = [
        tuple(
            (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning)
            for code in (part.SegmentedPropertyCategoryCodeSequence[0], part.SegmentedPropertyTypeCodeSequence[0])
        )
        for part in data.SegmentSequence
    ]
    assert meanings[0] == tuple(map(tuple, CODES["ground_glass"].values()))
    assert meanings[1] == (("85756007", "SCT", "Tissue"),) * 2
    for part in data.SegmentSequence:
        algorithm = part.SegmentationAlgorithmIdentificationSequence[0]
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("monai-supmix", __version__)
        assert algorithm.AlgorithmParameters == f"weights_sha256={SHA}" and part.SegmentAlgorithmType == "AUTOMATIC"
    assert data.DeviceSerialNumber == SHA
    shown = [CIELabColor.from_dicom_value(part.RecommendedDisplayCIELabValue).to_rgb() for part in data.SegmentSequence]
    assert np.allclose(shown, class_palette()[1:3], atol=3)  # those of reports and overlays


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of Debian's dicom3tools")
@pytest.mark.parametrize("found", [True, False])
def test_a_validator_finds_no_error(tmp_path, found):
    image = series(tmp_path / "ct")
    write(random_mask(image.array.shape) * np.uint8(found), image, tmp_path / "ct_seg.dcm")
    told = subprocess.run(["dciodvfy", tmp_path / "ct_seg.dcm"], capture_output=True, text=True, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert "Segmentation" in lines and not [line for line in lines if line.startswith("Error")]


def test_no_class_found_gives_empty_frames_and_a_note(tmp_path):
    image = series(tmp_path / "ct")
    data, notes = write(np.zeros(image.array.shape, np.uint8), image, tmp_path / "ct_seg.dcm")
    assert notes == ["no class was found: the DICOM segmentation holds empty frames"]
    assert len(data.SegmentSequence) == 2 and not data.pixel_array.any() and data.NumberOfFrames == 2 * 8


def test_a_single_slice_and_one_class(tmp_path):
    image = series(tmp_path / "ct", volume=VOLUME[..., :1])
    mask = np.zeros(image.array.shape, np.uint8)
    mask[1:3, 4] = 1
    write_mask(mask, image, tmp_path / "ct_seg.nii.gz")
    segmentation, _ = DicomSegmentations(True, CLASSES[:2]).make(mask, image)
    data = pydicom.dcmread(write_dicom(segmentation, tmp_path / "ct_seg.dcm"))
    assert np.array_equal(data.pixel_array.T, mask[..., 0])


def test_anonymised_and_odd_headers(tmp_path):
    files = write_series(tmp_path / "ct", VOLUME, AFFINE)
    for file in files:
        edit(file, PatientName=None, PatientID=None, SliceThickness=None, PatientSex="unknown", SpacingBetweenSlices=9)
    turned = [round(float(number) + 2e-9, 9) for number in pydicom.dcmread(files[3]).ImageOrientationPatient]
    edit(files[3], ImageOrientationPatient=turned)
    image = read_image(tmp_path / "ct")
    data, _ = write(random_mask(image.array.shape), image, tmp_path / "ct_seg.dcm")
    assert (data.PatientName, data.PatientID, data.PatientSex) == ("", "", "")
    measures = data.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert [float(measures.SliceThickness), float(measures.SpacingBetweenSlices)] == pytest.approx([2.5, 2.5])


@pytest.mark.parametrize(
    ("charset", "name"),
    [("ISO_IR 100", "Müller^Jürgen"), ("ISO_IR_100", "Doe Jane"), ("ISO_IR 192", "山田^太郎"), (None, "X" * 70)],
)
def test_names_in_any_script_are_kept_and_told_to_nobody(tmp_path, charset, name, caplog, recwarn):
    for file in write_series(tmp_path / "ct", VOLUME, AFFINE):
        edit(file, **({"SpecificCharacterSet": charset} if charset else {}), PatientName=name)
    image = read_image(tmp_path / "ct")
    recwarn.clear()
    with caplog.at_level(logging.DEBUG):
        data, _ = write(random_mask(image.array.shape), image, tmp_path / "ct_seg.dcm")
    assert str(data.PatientName) == name
    assert name not in caplog.text and not [str(w.message) for w in recwarn if name in str(w.message)]


def damage(folder, how):
    files = write_series(folder, VOLUME, AFFINE)
    if how == "none":
        for file in files:
            edit(file, FrameOfReferenceUID=None)
    if how == "differ":
        edit(files[2], FrameOfReferenceUID="1.2.3")
    if how == "study":
        edit(files[2], StudyInstanceUID="1.2.3")
    if how == "same":
        for file in files:
            edit(file, SOPInstanceUID="1.2.3")
    if how == "birth":
        for file in files:
            edit(file, PatientBirthDate="unknown-4711")
    return read_image(folder)


@pytest.mark.parametrize(
    ("how", "problem"),
    [
        ("none", "have no frame of reference"),
        ("differ", "differ in their frame of reference"),
        ("study", "differ in their study"),
        ("same", "no identifiers of their own"),
        ("birth", "its headers do not make a DICOM segmentation"),
    ],
)
def test_series_that_make_no_segmentation(tmp_path, how, problem):
    image = damage(tmp_path / "ct", how)
    mask = random_mask(image.array.shape)
    with pytest.raises(InputError, match=problem) as error:
        DicomSegmentations(True, CLASSES).check(image)
    assert error.value.subject == str(tmp_path / "ct") and "dicom_seg" in error.value.remedy
    for secret in (PATIENT, PATIENT_ID, "4711", "1.2."):
        assert secret not in str(error.value)
    with pytest.raises(InputError, match=problem):
        DicomSegmentations(True, CLASSES).make(mask, image)
    lenient = DicomSegmentations("auto", CLASSES)
    lenient.check(image)
    made, notes = lenient.make(mask, image)
    assert made is None and notes[0].startswith("no DICOM segmentation: ") and problem in notes[0]


def test_other_images_have_none(tmp_path):
    nib.save(nib.Nifti1Image(VOLUME.astype(np.int16), AFFINE), tmp_path / "scan.nii.gz")
    image = read_image(tmp_path / "scan.nii.gz")
    segmentations = DicomSegmentations(True, CLASSES)
    segmentations.check(image)
    assert segmentations.make(np.zeros(image.array.shape, np.uint8), image) == (None, [])


def test_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    image = series(tmp_path / "ct")
    segmentation, _ = DicomSegmentations(True, CLASSES).make(random_mask(image.array.shape), image)

    def fail(file, **_):
        file.write(b"begun")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segmentation, "save_as", fail)
    with pytest.raises(InputError, match="the disk is full"):
        write_dicom(segmentation, tmp_path / "ct_seg.dcm")
    assert [path.name for path in tmp_path.iterdir()] == ["ct"]


def test_without_the_extra(monkeypatch):
    monkeypatch.setattr(dicom_seg, "_PACKAGES", ("highdicom", "no_such_package"))
    with pytest.raises(InputError, match=r"dicom_seg: takes .* not installed: pip install 'monai-supmix\[dicom\]'"):
        DicomSegmentations(True, CLASSES)
    auto = DicomSegmentations("auto", CLASSES)
    assert not auto.on and "not installed" in auto.notes[0]
    off = DicomSegmentations(False, CLASSES)
    assert not off.on and off.notes == []


@pytest.mark.parametrize("wanted", [None, "yes", 1, 0])
def test_wrong_wishes(wanted):
    with pytest.raises(InputError, match=r"dicom_seg: is .*: use true, false or 'auto'"):
        DicomSegmentations(wanted, CLASSES)


@pytest.mark.parametrize(
    "terms",
    ["60046008", {}, {"type": ["1", "SCT", "x"]}, {"category": "abc", "type": "abc"}, {"category": [1, 2, 3]}],
)
def test_wrong_codes(terms):
    with pytest.raises(InputError, match="dicom_codes: has no coded terms for 'vessel'"):
        DicomSegmentations(True, CLASSES, {"vessel": terms})


def test_a_segmentation_in_the_folder_of_its_series_is_no_slice_of_it(tmp_path):
    image = series(tmp_path / "ct")
    write(random_mask(image.array.shape), image, tmp_path / "ct" / "ct_seg.dcm")
    assert len(list_dicom_files(tmp_path / "ct")) == 8
    assert np.array_equal(read_image(tmp_path / "ct").array, image.array)
