"""A DICOM series for tests, written slice by slice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

PATIENT = "Doe^Jane"
PATIENT_ID = "ID-4711"


def write_series(
    folder: Path,
    volume: np.ndarray,
    affine: np.ndarray,
    slope: float | Sequence[float] = 1.0,
    inter: float = -1024.0,
) -> list[Path]:
    """Write ``(columns, rows, slices)`` with an affine to RAS as one CT series of uint16 stored values.

    The files' names and instance numbers are in another order than the slices' positions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    series, study, frame = generate_uid(), generate_uid(), generate_uid()
    slopes = np.broadcast_to(slope, volume.shape[2])
    order = np.random.default_rng(0).permutation(volume.shape[2])
    files = []
    for index in range(volume.shape[2]):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.StudyInstanceUID, data.FrameOfReferenceUID = series, study, frame
        data.PatientName, data.PatientID, data.Modality = PATIENT, PATIENT_ID, "CT"
        data.InstanceNumber = int(order[index]) + 1
        data.Rows, data.Columns = volume.shape[1], volume.shape[0]
        data.PixelSpacing = [float(spacing[1]), float(spacing[0])]
        data.SliceThickness = float(spacing[2])
        directions = (lps[:3, :2] / spacing[:2]).T.ravel()
        data.ImageOrientationPatient = [round(float(number), 9) for number in directions]
        position = lps[:3, 3] + index * lps[:3, 2]
        data.ImagePositionPatient = [round(float(number), 6) for number in position]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        data.RescaleSlope, data.RescaleIntercept = str(float(slopes[index])), str(inter)
        data.PixelData = np.ascontiguousarray(volume[:, :, index].T.astype("<u2")).tobytes()
        files.append(folder / f"{PATIENT}.{order[index]:03d}.dcm")
        data.save_as(files[-1], enforce_file_format=True)
    return files


def edit(file: Path, **changes: object) -> None:
    """Set attributes of a written slice; None deletes."""
    data = pydicom.dcmread(file)
    for key, value in changes.items():
        if value is None:
            delattr(data, key)
        else:
            setattr(data, key, value)
    data.save_as(file)
