"""A structure set belongs to its series and gives back the mask; segmentations do too, whatever the order of things."""

import shutil
import subprocess

import nibabel as nib
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_supmix.errors import InputError
from monai_supmix.imageio.dicom import list_dicom_files
from monai_supmix.imageio.dicom_results import write_dicom
from monai_supmix.imageio.dicom_seg import DicomSegmentations
from monai_supmix.imageio.reading import read_image, read_label
from monai_supmix.imageio.rtstruct import StructureSets
from monai_supmix.palette import class_palette
from tests.imageio.dicom_series import PATIENT, PATIENT_ID, edit, write_series

CLASSES = ["background", "ground_glass", "vessel"]
CODE = {"category": ["49755003", "SCT", "Morphologically Abnormal Structure"], "type": ["1", "99X", "Opacity"]}
AFFINE = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.3, -0.2, 0.1) @ np.diag([-0.7, -0.8, 2.5]), (30, 40, -50))
VOLUME = np.random.default_rng(0).integers(0, 3000, (12, 10, 8))
KINDS = {"SEG": DicomSegmentations, "RTSTRUCT": StructureSets}


def make_mask(shape, seed=0):
    """Two classes that touch, a ring with a hole, and a single voxel."""
    mask = np.zeros(shape, np.uint8)
    mask[1:5, 1:6, 0], mask[5:8, 2:6, 0] = 1, 2
    mask[2:4, 2:5, 0] = 0
    mask[9, 8, -1] = 2
    scattered = np.random.default_rng(seed).integers(0, 3, shape[:2])
    mask[..., shape[2] // 2] = scattered
    return mask


def write(kind, mask, image, path, codes=None):
    objects = KINDS[kind](True, CLASSES, codes, "abc")
    objects.check(image)
    made, notes = objects.make(mask, image)
    return write_dicom(made, path), notes


def shuffle_files(files, seed):
    """Other names, other instance numbers."""
    rng = np.random.default_rng(seed)
    for number, file in zip(rng.permutation(len(files)), files, strict=True):
        edit(file, InstanceNumber=int(number) + 1)
        file.rename(file.with_name(f"IM{rng.integers(10**9)}.dcm"))


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(sorted(KINDS)),
    angles=st.tuples(*[st.floats(-3, 3)] * 3),
    spacing=st.tuples(*[st.floats(0.05, 6)] * 3),
    mirrored=st.tuples(*[st.booleans()] * 3),
    shear=st.sampled_from([0.0, 0.4]),
    slices=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_the_mask_comes_back_whatever_the_order_of_files(
    tmp_path_factory, kind, angles, spacing, mirrored, shear, slices, seed
):
    """Oblique series, slices in any order and direction, and a tilted gantry."""
    folder = tmp_path_factory.mktemp("round")
    affine = nib.affines.from_matvec(
        nib.eulerangles.euler2mat(*angles) @ np.diag(np.where(mirrored, -1, 1) * spacing), (30, 40, -50)
    )
    affine[:3, 2] += shear * affine[:3, 1]
    files = write_series(folder / "ct", VOLUME[..., :slices], affine)
    image = read_image(folder / "ct")
    mask = make_mask(image.array.shape, seed)
    path, notes = write(kind, mask, image, folder / "label.dcm")
    assert notes == []
    shuffle_files(files, seed)
    again = read_image(folder / "ct")
    assert np.array_equal(again.array, image.array)
    assert np.array_equal(read_label(path, again, 3, class_names=CLASSES), mask)


def test_slices_a_little_off_the_even_grid_are_where_their_files_say(tmp_path):
    files = write_series(tmp_path / "ct", VOLUME, np.diag([-0.5, -0.5, 8.0, 1.0]))
    position = np.array(pydicom.dcmread(files[3]).ImagePositionPatient, float)
    edit(files[3], ImagePositionPatient=list(position + np.array([0.6, 0, 0.1])))  # more than a voxel aside
    image = read_image(tmp_path / "ct")
    mask = np.random.default_rng(0).integers(0, 3, image.array.shape).astype(np.uint8)
    for kind in KINDS:
        path, _ = write(kind, mask, image, tmp_path / "label.dcm")
        assert np.array_equal(read_label(path, image, 3, class_names=CLASSES), mask)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="needs dciodvfy of Debian's dicom3tools")
@pytest.mark.parametrize("found", [True, False])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_validator_finds_no_error(tmp_path, kind, found):
    write_series(tmp_path / "ct", VOLUME, AFFINE)
    image = read_image(tmp_path / "ct")
    mask = make_mask(image.array.shape) * np.uint8(found)
    path, _ = write(kind, mask, image, tmp_path / "label.dcm", {"vessel": CODE})
    told = subprocess.run(["dciodvfy", path], capture_output=True, text=True, check=False)
    lines = (told.stdout + told.stderr).splitlines()
    assert {"SEG": "Segmentation", "RTSTRUCT": "RTStructureSet"}[kind] in lines, lines
    assert not [line for line in lines if line.startswith("Error")], lines


def test_it_belongs_to_the_patient_study_and_slices_of_its_series(tmp_path):
    write_series(tmp_path / "ct", VOLUME, AFFINE)
    image = read_image(tmp_path / "ct")
    mask = make_mask(image.array.shape)
    data = pydicom.dcmread(write("RTSTRUCT", mask, image, tmp_path / "label.dcm", {"vessel": CODE})[0])
    sources = [pydicom.dcmread(file) for file in image.files]
    first = sources[0]
    assert (data.PatientName, data.PatientID, data.Modality) == (PATIENT, PATIENT_ID, "RTSTRUCT")
    assert data.StudyInstanceUID == first.StudyInstanceUID and data.SeriesInstanceUID != first.SeriesInstanceUID
    assert [(part.ROINumber, part.ROIName) for part in data.StructureSetROISequence] == [
        (1, "ground_glass"),
        (2, "vessel"),
    ]
    assert [part.ROIDisplayColor for part in data.ROIContourSequence] == class_palette()[1:3].tolist()
    assert data.RTROIObservationsSequence[1].RTROIIdentificationCodeSequence[0].CodeMeaning == "Opacity"
    assert data.DeviceSerialNumber == "abc"
    uids = [source.SOPInstanceUID for source in sources]
    for number, region in enumerate(data.ROIContourSequence, start=1):
        shown = set()
        for contour in region.ContourSequence:
            index = uids.index(contour.ContourImageSequence[0].ReferencedSOPInstanceUID)
            shown.add(index)
            points = np.array(contour.ContourData, float).reshape(-1, 3) * [-1, -1, 1]
            voxels = nib.affines.apply_affine(np.linalg.inv(image.affine), points)
            assert np.allclose(voxels[:, 2], index, atol=1e-3)
            assert np.allclose(voxels[:, :2] % 1, 0.5, atol=1e-3)  # along the edges of voxels
        assert shown == set(np.flatnonzero((mask == number).any(axis=(0, 1))))


def test_contours_of_more_than_64_kib(tmp_path):
    comb = np.zeros((1600, 4, 1), np.uint8)
    comb[:, 1], comb[::2, 2] = 1, 1
    write_series(tmp_path / "ct", comb.astype(np.int16), AFFINE)
    image = read_image(tmp_path / "ct")
    path, _ = write("RTSTRUCT", comb, image, tmp_path / "label.dcm")
    data = pydicom.dcmread(path)
    assert len("\\".join(map(str, data.ROIContourSequence[0].ContourSequence[0].ContourData))) > 2**16
    assert np.array_equal(read_label(path, image), comb)


@pytest.mark.parametrize("charset", ["ISO_IR 100", "ISO_IR 192"])
def test_a_name_in_any_script_and_an_anonymised_header(tmp_path, charset):
    for file in write_series(tmp_path / "ct", VOLUME, AFFINE):
        edit(file, SpecificCharacterSet=charset, PatientName="Müller^Jürgen", PatientID=None, PatientSex="unknown")
    image = read_image(tmp_path / "ct")
    data = pydicom.dcmread(write("RTSTRUCT", make_mask(image.array.shape), image, tmp_path / "label.dcm")[0])
    assert (str(data.PatientName), data.PatientID, data.PatientSex) == ("Müller^Jürgen", "", "")


def test_nothing_found_is_noted_and_other_images_have_none(tmp_path):
    write_series(tmp_path / "ct", VOLUME, AFFINE)
    image = read_image(tmp_path / "ct")
    path, notes = write("RTSTRUCT", np.zeros(image.array.shape, np.uint8), image, tmp_path / "ct" / "label.dcm")
    assert notes == ["no class was found: the structure set holds no contour"]
    assert not read_label(path, image, 3, class_names=CLASSES).any()
    assert len(list_dicom_files(tmp_path / "ct")) == 8, "no slice of the series beside which it lies"
    nib.save(nib.Nifti1Image(VOLUME.astype(np.int16), AFFINE), tmp_path / "scan.nii.gz")
    scan = read_image(tmp_path / "scan.nii.gz")
    assert StructureSets(True, CLASSES).make(np.zeros(scan.array.shape, np.uint8), scan) == (None, [])


def test_a_series_that_makes_none(tmp_path):
    for file in write_series(tmp_path / "ct", VOLUME, AFFINE):
        edit(file, FrameOfReferenceUID=None)
    image = read_image(tmp_path / "ct")
    with pytest.raises(InputError, match="no frame of reference, which a structure set needs: set rtstruct to false"):
        StructureSets(True, CLASSES).check(image)
    made, notes = StructureSets("auto", CLASSES).make(make_mask(image.array.shape), image)
    assert made is None and notes[0].startswith("no structure set: its slices have no frame of reference")
