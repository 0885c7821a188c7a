"""Reports of trainings and evaluations: single HTML files that open anywhere and fetch nothing."""

from monai_supmix.report.evaluation import write_evaluation_report
from monai_supmix.report.gallery import CaseGallery
from monai_supmix.report.record import (
    HISTORY_NAME,
    command_line,
    read_history,
    training_record,
    write_history,
)
from monai_supmix.report.training import write_training_report

__all__ = [
    "write_training_report",
    "write_evaluation_report",
    "CaseGallery",
    "training_record",
    "write_history",
    "read_history",
    "command_line",
    "HISTORY_NAME",
]
