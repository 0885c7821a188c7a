"""Many trainings of one bundle: cross-validation in folds, and methods compared on one's own data."""

from monai_supmix.experiments.comparison import compare
from monai_supmix.experiments.folds import run_folds
from monai_supmix.experiments.plan import Plan

__all__ = [
    "Plan",
    "compare",
    "run_folds",
]
