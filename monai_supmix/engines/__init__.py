"""The semi-supervised trainer, what may follow it, and the engine that evaluates whole cases."""

from monai_supmix.engines.batch_norm import RecalibrateBatchNorm
from monai_supmix.engines.case_evaluator import CaseEvaluator
from monai_supmix.engines.logit_adjustment import AdjustLogits
from monai_supmix.engines.moving_average import MovingAverage
from monai_supmix.engines.semi_supervised import SemiSupervisedTrainer
from monai_supmix.engines.step import ExtraTerm, Maps, Step
from monai_supmix.engines.views import StrongViews

__all__ = [
    "SemiSupervisedTrainer",
    "StrongViews",
    "MovingAverage",
    "ExtraTerm",
    "Step",
    "Maps",
    "CaseEvaluator",
    "RecalibrateBatchNorm",
    "AdjustLogits",
]
