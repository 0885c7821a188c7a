"""The semi-supervised trainer and the engine that evaluates whole cases."""

from monai_supmix.engines.case_evaluator import CaseEvaluator
from monai_supmix.engines.semi_supervised import SemiSupervisedTrainer
from monai_supmix.engines.views import StrongViews

__all__ = ["SemiSupervisedTrainer", "StrongViews", "CaseEvaluator"]
