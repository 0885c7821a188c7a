"""Masks of DICOM series as DICOM structure sets (RTSTRUCT), the contours that radiotherapy works with.

Written with pydicom, which this package needs anyway and which is well maintained. rt-utils is hardly maintained, would
bring OpenCV along, and joins the centres of border pixels, so that single pixels vanish. Inner contours are further
ones of the same slice, to be combined by exclusive or, as common readers do.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from monai_supmix.imageio.dicom_results import MAKER, MAY_BE_EMPTY, DicomResults
from monai_supmix.imageio.outlines import outline
from monai_supmix.version import __version__

_STUDY = "1.2.840.10008.3.1.2.3.1"  # the class by which structure sets refer to a study
_COPIED = (*MAY_BE_EMPTY, "StudyInstanceUID", "FrameOfReferenceUID")


class StructureSets(DicomResults):
    """Makes masks of DICOM series into structure sets: one region for each foreground class, numbered as in the mask.

    Contours run along the edges of voxels, so that they give back the mask exactly, single voxels and holes as well.

    Example:
        >>> StructureSets("auto", ["background", "lesion"]).on
        True
    """

    option, words, nothing_found = "rtstruct", "structure set", "holds no contour"

    def _build(self, mask: np.ndarray, headers: Sequence[Dataset]) -> Dataset:
        first = headers[0]
        now = datetime.now()
        data = Dataset()
        data.SpecificCharacterSet = "ISO_IR 192"  # holds the names of every patient, whatever theirs was
        for keyword in _COPIED:
            setattr(data, keyword, str(first[keyword].value or ""))
        data.PositionReferenceIndicator = str(first.get("PositionReferenceIndicator") or "")
        data.SOPClassUID, data.SOPInstanceUID = RTStructureSetStorage, generate_uid()
        data.Modality, data.SeriesInstanceUID = "RTSTRUCT", generate_uid()
        data.SeriesNumber = 2000 + max(0, int(first.get("SeriesNumber") or 0))
        data.SeriesDescription = f"{MAKER} structure set"
        data.InstanceNumber, data.OperatorsName = 1, ""
        data.Manufacturer, data.ManufacturerModelName = MAKER, "monai-supmix"
        data.SoftwareVersions, data.DeviceSerialNumber = __version__, self.serial_number()
        data.StructureSetLabel, data.ApprovalStatus = MAKER, "UNAPPROVED"
        data.StructureSetDate = data.InstanceCreationDate = now.strftime("%Y%m%d")
        data.StructureSetTime = data.InstanceCreationTime = now.strftime("%H%M%S")
        data.ReferencedFrameOfReferenceSequence = Items([_reference(headers)])
        regions = [self._region(mask, headers, number) for number in range(1, len(self.class_names))]
        data.StructureSetROISequence = Items([named for named, _, _ in regions])
        data.ROIContourSequence = Items([drawn for _, drawn, _ in regions])
        data.RTROIObservationsSequence = Items([observed for _, _, observed in regions])
        data.file_meta = FileMetaDataset()
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        # Explicit transfer syntaxes have no room for contours of more than 64 KiB.
        data.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        return data

    def _region(self, mask: np.ndarray, headers: Sequence[Dataset], number: int) -> tuple[Dataset, Dataset, Dataset]:
        """What a class is called, its contours, and what it is."""
        named, drawn, observed = Dataset(), Dataset(), Dataset()
        name = self.class_names[number]
        named.ROINumber, named.ROIName, named.ROIGenerationAlgorithm = number, name[:64], "AUTOMATIC"
        named.ReferencedFrameOfReferenceUID = headers[0].FrameOfReferenceUID
        drawn.ReferencedROINumber, drawn.ROIDisplayColor = number, self.colour(number)
        contours = [
            _contour(corners, header)
            for index, header in enumerate(headers)
            for corners in outline(mask[:, :, index] == number)
        ]
        if contours:
            drawn.ContourSequence = Items(contours)
        observed.ObservationNumber = observed.ReferencedROINumber = number
        observed.RTROIInterpretedType, observed.ROIInterpreter = "", ""
        if name in self.codes:
            code = Dataset()
            code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = self.codes[name]["type"]
            observed.RTROIIdentificationCodeSequence = Items([code])
        return named, drawn, observed


def _reference(headers: Sequence[Dataset]) -> Dataset:
    """The series that is contoured: its frame of reference, study and slices."""
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = headers[0].SeriesInstanceUID
    series.ContourImageSequence = Items([_slice(header) for header in headers])
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = _STUDY, headers[0].StudyInstanceUID
    study.RTReferencedSeriesSequence = Items([series])
    frame.FrameOfReferenceUID = headers[0].FrameOfReferenceUID
    frame.RTReferencedStudySequence = Items([study])
    return frame


def _slice(header: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    return item


def _contour(corners: np.ndarray, header: Dataset) -> Dataset:
    """An outline in pixels of a slice as a contour in patient coordinates."""
    directions = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
    rows_apart, columns_apart = (float(step) for step in header.PixelSpacing)
    points = np.array(header.ImagePositionPatient, float) + corners * (columns_apart, rows_apart) @ directions
    item = Dataset()
    item.ContourImageSequence = Items([_slice(header)])
    item.ContourGeometricType, item.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    item.ContourData = [f"{number:.10g}" for number in np.round(points, 6).ravel()]  # 16 characters at most
    return item
