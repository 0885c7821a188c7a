"""Masks of DICOM series as DICOM segmentations, written with highdicom (the extra ``dicom``)."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np

from monai_supmix.imageio.dicom_results import MAKER, Code, DicomResults
from monai_supmix.version import __version__

if TYPE_CHECKING:
    from highdicom.seg import SegmentDescription
    from pydicom import Dataset

_PACKAGES = ("highdicom", "pydicom")
_TISSUE = ("85756007", "SCT", "Tissue")  # what DICOM's own examples say where nothing more is known


def has_highdicom() -> bool:
    """Whether the packages of the extra ``dicom`` are installed."""
    return all(importlib.util.find_spec(name) is not None for name in _PACKAGES)


class DicomSegmentations(DicomResults):
    """Makes masks of DICOM series into segmentations that any DICOM viewer lays over the series.

    One binary segment for each foreground class, numbered as in the mask, with the colour that reports give it; the
    frames of a segment are the slices that hold it, at the place and in the frame of reference of the series' own
    slices. Name and version of the package and the weights' hash are recorded as the algorithm.

    Args:
        wanted: see `DicomResults`, as all arguments; ``"auto"`` makes none without the extra.
        class_names: they label the segments.
        codes: what the segments show. Classes that are not named get the generic *tissue*.
        weights_sha256: identifies the weights.
    """

    option, words, nothing_found = "dicom_seg", "DICOM segmentation", "holds empty frames"

    def __init__(
        self,
        wanted: bool | Literal["auto"],
        class_names: Sequence[str],
        codes: Mapping[str, Mapping[str, Code]] | None = None,
        weights_sha256: str | Sequence[str] = "",
    ) -> None:
        missing = () if has_highdicom() else _PACKAGES
        super().__init__(wanted, class_names, codes, weights_sha256, missing)

    def _build(self, mask: np.ndarray, headers: Sequence[Dataset]) -> Dataset:
        import highdicom  # noqa: PLC0415  # takes a second to load and few users need it

        return highdicom.seg.Segmentation(
            source_images=headers,
            pixel_array=np.ascontiguousarray(mask.transpose(2, 1, 0)),
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=self._segments(),
            series_instance_uid=highdicom.UID(),
            series_number=1000 + max(0, int(headers[0].get("SeriesNumber") or 0)),
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer=MAKER,
            manufacturer_model_name="monai-supmix",
            software_versions=__version__,
            device_serial_number=self.serial_number(),
            omit_empty_frames=bool(mask.any()),
            series_description=f"{MAKER} segmentation",
            specific_character_set="ISO_IR 192",  # holds the names of every patient, whatever theirs was
        )

    def _segments(self) -> list[SegmentDescription]:
        import highdicom  # noqa: PLC0415
        from pydicom.sr.codedict import codes  # noqa: PLC0415

        algorithm = highdicom.AlgorithmIdentificationSequence(
            name="monai-supmix",
            family=codes.DCM.ArtificialIntelligence,
            version=__version__,
            source=MAKER,
            parameters={"weights_sha256": ", ".join(self.hashes)},
        )
        segments = []
        for number, name in enumerate(self.class_names[1:], start=1):
            terms = self.codes.get(name, {})
            segments.append(
                highdicom.seg.SegmentDescription(
                    segment_number=number,
                    segment_label=name[:64],
                    segmented_property_category=highdicom.sr.CodedConcept(*terms.get("category", _TISSUE)),
                    segmented_property_type=highdicom.sr.CodedConcept(*terms.get("type", _TISSUE)),
                    algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
                    algorithm_identification=algorithm,
                    display_color=highdicom.color.CIELabColor.from_rgb(*self.colour(number)),
                )
            )
        return segments
