"""Measures of segmentation: overlap over a whole data set, surface distance and volume, and their tables."""

from monai_supmix.metrics.calibration import Calibration, calibrate
from monai_supmix.metrics.dataset import CaseMeasures, DatasetOverlap, measure_case
from monai_supmix.metrics.overlap import dice, iou, mean_present, overlap_counts
from monai_supmix.metrics.paired import Difference, class_differences, paired_bootstrap, paired_case_bootstrap
from monai_supmix.metrics.report_tables import read_cases_csv, summarize, write_cases_csv
from monai_supmix.metrics.surface import SurfaceDistance, surface_distances, volume_ml

__all__ = [
    "Calibration",
    "CaseMeasures",
    "DatasetOverlap",
    "Difference",
    "SurfaceDistance",
    "calibrate",
    "class_differences",
    "dice",
    "iou",
    "mean_present",
    "measure_case",
    "overlap_counts",
    "paired_bootstrap",
    "paired_case_bootstrap",
    "read_cases_csv",
    "summarize",
    "surface_distances",
    "volume_ml",
    "write_cases_csv",
]
