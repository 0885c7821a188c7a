"""Many trainings of one bundle: cross-validation in folds, and methods compared on one's own data."""

from monai_supmix.experiments.comparison import compare
from monai_supmix.experiments.folds import run_folds
from monai_supmix.experiments.plan import Plan
from monai_supmix.experiments.results import Pair, Row, equal_time_steps, pair_up
from monai_supmix.experiments.trial import Trial
from monai_supmix.experiments.verdict import shortcomings, verdict

__all__ = [
    "Pair",
    "Plan",
    "Row",
    "Trial",
    "compare",
    "equal_time_steps",
    "pair_up",
    "run_folds",
    "shortcomings",
    "verdict",
]
