"""A DICOM series gives the volume that its slices' positions tell, or an error without a patient's name."""

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    EncapsulatedPDFStorage,
    EnhancedCTImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    RawDataStorage,
    RLELossless,
    RTPlanStorage,
    XRayRadiationDoseSRStorage,
    generate_uid,
)

from monai_supmix.errors import InputError
from monai_supmix.imageio.dicom import list_dicom_files
from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers.inputs import find_inputs
from tests.imageio.dicom_series import PATIENT, PATIENT_ID, edit, write_series

TURN = nib.eulerangles.euler2mat(0.3, -0.2, 0.1)
AFFINE = nib.affines.from_matvec(TURN @ np.diag([-0.7, -0.8, 2.5]), (30, 40, -50))
VOLUME = np.random.default_rng(0).integers(0, 3000, (10, 9, 8))


def refused(folder, problem):
    with pytest.raises(InputError, match=problem) as error:
        read_image(folder)
    assert error.value.subject == str(folder)
    for secret in (PATIENT, PATIENT_ID, "1.2.826"):
        assert secret not in str(error.value)


def test_values_and_place(tmp_path):
    write_series(tmp_path / "ct", VOLUME, AFFINE)
    (tmp_path / "ct" / "notes.txt").write_text("not a slice", encoding="utf-8")
    image = read_image(tmp_path / "ct")
    assert image.kind == "dicom" and image.array.dtype == np.int16 and image.notes == ()
    assert np.array_equal(image.array, VOLUME - 1024)
    assert np.allclose(image.affine, AFFINE, atol=1e-5)
    assert image.spacing == pytest.approx((0.7, 0.8, 2.5))


def test_values_beyond_16_bit_and_fractions(tmp_path):
    write_series(tmp_path / "wide", VOLUME + 50000, AFFINE, inter=0)
    image = read_image(tmp_path / "wide")
    assert image.array.dtype == np.int32 and np.array_equal(image.array, VOLUME + 50000)
    slopes = [1.0, 0.25, 0.5, 1, 2, 1.5, 0.125, 1]
    write_series(tmp_path / "pet", VOLUME, AFFINE, slope=slopes, inter=0)
    image = read_image(tmp_path / "pet")
    assert image.array.dtype == np.float32 and np.allclose(image.array, VOLUME * slopes)


def test_files_without_ending_are_found_by_their_mark(tmp_path):
    for index, file in enumerate(write_series(tmp_path / "ct", VOLUME, AFFINE)):
        file.rename(file.with_name(f"IM{index}"))
    assert np.array_equal(read_image(tmp_path / "ct").array, VOLUME - 1024)


def test_tilted_gantry_keeps_its_shear(tmp_path):
    affine = AFFINE.copy()
    affine[:3, 2] += 0.8 * affine[:3, 1]
    write_series(tmp_path / "ct", VOLUME, affine)
    image = read_image(tmp_path / "ct")
    assert np.allclose(image.affine, affine, atol=1e-5)
    assert "tilted gantry" in image.notes[0]


def test_a_single_slice(tmp_path):
    write_series(tmp_path / "ct", VOLUME[..., :1], AFFINE)
    image = read_image(tmp_path / "ct")
    assert np.allclose(image.affine, AFFINE, atol=1e-5)
    assert image.notes == ("a single slice: thickness taken as 2.5 mm",)


def test_modality_and_inverted_grey_are_noted(tmp_path):
    for file in write_series(tmp_path / "mr", VOLUME, AFFINE):
        edit(file, Modality="MR", PhotometricInterpretation="MONOCHROME1")
    notes = " ".join(read_image(tmp_path / "mr").notes)
    assert "MR, not CT" in notes and "MONOCHROME1" in notes


def test_folder_without_dicom(tmp_path):
    (tmp_path / "notes.txt").write_text("hello", encoding="utf-8")
    refused(tmp_path, "holds no DICOM slices")


WITHOUT_PIXELS = {
    "state": GrayscaleSoftcopyPresentationStateStorage,
    "key": KeyObjectSelectionDocumentStorage,
    "dose": XRayRadiationDoseSRStorage,
    "pdf": EncapsulatedPDFStorage,
    "raw": RawDataStorage,
    "plan": RTPlanStorage,
}


def write_without_pixels(folder, names=tuple(WITHOUT_PIXELS)):
    """Objects of the same patient without pixels, as an archive exports them with a series."""
    folder.mkdir(exist_ok=True)
    for name in names:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = WITHOUT_PIXELS[name], generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = WITHOUT_PIXELS[name], meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.PatientName, data.PatientID = generate_uid(), PATIENT, PATIENT_ID
        data.save_as(folder / f"{PATIENT}.{name}", enforce_file_format=True)


def test_objects_without_pixels_are_left_out_with_a_note(tmp_path):
    write_series(tmp_path / "ct", VOLUME, AFFINE)
    write_without_pixels(tmp_path / "ct")
    image = read_image(tmp_path / "ct")
    assert np.array_equal(image.array, VOLUME - 1024) and len(image.files) == len(list_dicom_files(tmp_path / "ct"))
    (note,) = image.notes
    assert note.startswith("6 DICOM objects without pixels") and PATIENT not in note


def test_a_folder_of_objects_without_pixels_holds_no_slices(tmp_path):
    write_without_pixels(tmp_path / "reports", ["dose"])
    refused(tmp_path / "reports", "holds no DICOM slices, only 1 DICOM object without pixels")
    with pytest.raises(InputError, match="holds no image"):
        find_inputs(tmp_path / "reports")


@pytest.mark.parametrize("lost", [1, 4, 6])
def test_missing_slices(tmp_path, lost):
    write_series(tmp_path / "ct", VOLUME, AFFINE)[lost].unlink()
    refused(tmp_path / "ct", r"missing or unevenly placed \(steps of 2.5 to 5 mm\)")


def test_doubled_slices(tmp_path):
    file = write_series(tmp_path / "ct", VOLUME, AFFINE)[3]
    (tmp_path / "ct" / "copy.dcm").write_bytes(file.read_bytes())
    refused(tmp_path / "ct", "several slices at one position")


def test_all_slices_at_one_position(tmp_path):
    for file in write_series(tmp_path / "ct", VOLUME, AFFINE):
        edit(file, ImagePositionPatient=[0, 0, 0])
    refused(tmp_path / "ct", "several slices at one position")


def test_slice_shifted_in_its_plane(tmp_path):
    file = write_series(tmp_path / "ct", VOLUME, np.diag([-1.0, -1, 1, 1]))[3]
    edit(file, ImagePositionPatient=[5, 0, 3])
    refused(tmp_path / "ct", "unevenly placed")


def test_two_series(tmp_path):
    write_series(tmp_path / "ct", VOLUME, AFFINE)
    for file in write_series(tmp_path / "other", VOLUME, AFFINE):
        file.rename(tmp_path / "ct" / f"other{file.name}")
    refused(tmp_path / "ct", "holds 2 series in 16 files: put each series into its own sub-folder")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "differ in orientation"),
        ({"PixelSpacing": [0.5, 0.5]}, "differ in pixel spacing"),
        ({"Rows": 5, "PixelData": bytes(5 * 10 * 2)}, "differ in size"),
        ({"ImagePositionPatient": None}, "1 of 8 DICOM files are damaged, or are not images with a position"),
        ({"PixelSpacing": None}, "1 of 8 DICOM files"),
        ({"NumberOfFrames": "2", "PixelData": bytes(9 * 10 * 4)}, "several frames|1 of 8 DICOM files"),
        (
            {
                "SamplesPerPixel": 3,
                "PhotometricInterpretation": "RGB",
                "PlanarConfiguration": 0,
                "BitsAllocated": 8,
            }
            | {"BitsStored": 8, "HighBit": 7, "PixelData": bytes(9 * 10 * 3), "RescaleIntercept": "0"},
            "colour",
        ),
    ],
)
def test_a_slice_that_does_not_fit(tmp_path, changes, problem):
    edit(write_series(tmp_path / "ct", VOLUME, AFFINE)[2], **changes)
    refused(tmp_path / "ct", problem)


@pytest.mark.parametrize("keep", [0, 100, 400, -50])
def test_damaged_slice(tmp_path, keep):
    file = write_series(tmp_path / "ct", VOLUME, AFFINE)[0]
    file.write_bytes(file.read_bytes()[:keep])
    refused(tmp_path / "ct", "1 of 8 DICOM files|the voxels of 1. of 8 slices")


def test_a_single_file_is_sent_to_its_folder(tmp_path):
    file = write_series(tmp_path / "ct", VOLUME, AFFINE)[0]
    with pytest.raises(InputError, match="give the folder of its series"):
        read_image(file)


def test_every_slice_knows_its_file(tmp_path):
    write_series(tmp_path / "ct", VOLUME, AFFINE)
    image = read_image(tmp_path / "ct")
    for index, file in enumerate(image.files):
        assert np.array_equal(pydicom.dcmread(file).pixel_array.T, VOLUME[..., index])
    assert image.take_slice(3).files == image.files[3:4]


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("bits", "signed"), [(8, False), (12, False), (12, True), (16, False), (16, True)])
def test_stored_values_times_slope_plus_intercept(tmp_path, bits, signed, photometric, syntax):
    """Whatever the tag says about display, and whatever lies in the unused bits."""
    if syntax == RLELossless and bits == 8:
        pytest.skip("pydicom writes no such file")
    low = -(1 << bits - 1) if signed else 0
    stored = np.random.default_rng(bits).integers(low, low + (1 << bits), (10, 9, 3))
    for index, file in enumerate(sorted(write_series(tmp_path / "ct", VOLUME[..., :3], AFFINE, 2.0, -7.0))):
        place = int(np.argsort(np.random.default_rng(0).permutation(3))[index])
        data = pydicom.dcmread(file)
        data.BitsStored, data.HighBit, data.PixelRepresentation = bits, bits - 1, int(signed)
        data.PhotometricInterpretation = photometric
        values = stored[:, :, place].T & ((1 << bits) - 1)
        data.PixelData = (
            np.ascontiguousarray(values).astype(">u2" if syntax == ExplicitVRBigEndian else "<u2").tobytes()
        )
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
        if syntax == RLELossless:
            data.compress(RLELossless, encoding_plugin="pydicom")
        whole = pydicom.Dataset(data)  # forgets how it was encoded
        whole.file_meta = data.file_meta
        whole.save_as(file, enforce_file_format=True)
    image = read_image(tmp_path / "ct")
    assert np.array_equal(image.array, stored * 2 - 7)
    assert any("MONOCHROME1" in note for note in image.notes) == (photometric == "MONOCHROME1")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_files_without_ending_and_preamble(tmp_path, syntax):
    for index, file in enumerate(write_series(tmp_path / "ct", VOLUME, AFFINE)):
        data = pydicom.dcmread(file)
        bare = pydicom.Dataset(data)
        name = tmp_path / "ct" / f"IM{index}"
        little = syntax != ExplicitVRBigEndian
        if not little:
            bare.PixelData = np.frombuffer(bare.PixelData, "<u2").byteswap().tobytes()
        pydicom.dcmwrite(name, bare, implicit_vr=syntax == ImplicitVRLittleEndian, little_endian=little)
        file.unlink()
        assert name.read_bytes()[128:132] != b"DICM"
    assert np.array_equal(read_image(tmp_path / "ct").array, VOLUME - 1024)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"SOPClassUID": EnhancedCTImageStorage, "NumberOfFrames": "2", "PixelData": bytes(9 * 10 * 4)},
            "frames in one",
        ),
        ({"BitsStored": 12, "HighBit": 15}, "lowest bit"),
        ({"BitsStored": [12, 16]}, "which have no meaning"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour images|1 of 1 DICOM"),
        (
            {
                **dict.fromkeys(("PixelData", "BitsStored", "HighBit", "PixelRepresentation")),
                "BitsAllocated": 32,
                "FloatPixelData": bytes(9 * 10 * 4),
            },
            "floating-point pixels",
        ),
        ({"ModalityLUTSequence": pydicom.Sequence([pydicom.Dataset()])}, "modality table"),
    ],
)
def test_storages_that_are_refused_by_name(tmp_path, changes, problem):
    (file,) = write_series(tmp_path / "ct", VOLUME[..., :1], AFFINE)
    edit(file, **changes)
    if "NumberOfFrames" in changes:  # enhanced files have these for each frame
        edit(file, ImagePositionPatient=None, ImageOrientationPatient=None, PixelSpacing=None)
    refused(tmp_path / "ct", problem)
