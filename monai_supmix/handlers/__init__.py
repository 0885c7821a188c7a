"""Handlers for Ignite and MONAI engines: history, progress, pseudo-labels, trackers, checkpoints, preemption."""

from monai_supmix.handlers.checkpoints import TrainingCheckpoint
from monai_supmix.handlers.follow import HistoryFollower
from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.handlers.mlflow_run import MLflowCurves, MLflowRun
from monai_supmix.handlers.preemption import PREEMPTED_STATUS, Preempted, Preemption
from monai_supmix.handlers.progress import TrainingProgress
from monai_supmix.handlers.pseudo_labels import PseudoLabelMonitor
from monai_supmix.handlers.tensorboard import TensorBoardCurves
from monai_supmix.handlers.watch import TrainingWatch

__all__ = [
    "TrainingCheckpoint",
    "TrainingHistory",
    "TrainingWatch",
    "TrainingProgress",
    "PseudoLabelMonitor",
    "HistoryFollower",
    "TensorBoardCurves",
    "MLflowRun",
    "MLflowCurves",
    "Preemption",
    "Preempted",
    "PREEMPTED_STATUS",
]
