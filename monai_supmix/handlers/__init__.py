"""Handlers for Ignite and MONAI engines: history, progress, pseudo-labels, checkpoints, preemption."""

from monai_supmix.handlers.checkpoints import TrainingCheckpoint
from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.handlers.preemption import PREEMPTED_STATUS, Preempted, Preemption
from monai_supmix.handlers.progress import TrainingProgress
from monai_supmix.handlers.pseudo_labels import PseudoLabelMonitor
from monai_supmix.handlers.watch import TrainingWatch

__all__ = [
    "TrainingCheckpoint",
    "TrainingHistory",
    "TrainingWatch",
    "TrainingProgress",
    "PseudoLabelMonitor",
    "Preemption",
    "Preempted",
    "PREEMPTED_STATUS",
]
