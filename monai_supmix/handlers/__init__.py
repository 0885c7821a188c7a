"""Handlers for Ignite and MONAI engines: history, checkpoints, preemption."""

from monai_supmix.handlers.checkpoints import TrainingCheckpoint
from monai_supmix.handlers.history import TrainingHistory
from monai_supmix.handlers.preemption import PREEMPTED_STATUS, Preempted, Preemption

__all__ = ["TrainingCheckpoint", "TrainingHistory", "Preemption", "Preempted", "PREEMPTED_STATUS"]
