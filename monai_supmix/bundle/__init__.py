"""What bundles are made of beside MONAI's parts: runs, their records, and their errors."""

from monai_supmix.bundle.attached import FollowSchedules
from monai_supmix.bundle.defaults import default_amp, default_device, default_num_workers, unlabeled_pool
from monai_supmix.bundle.distributed import (
    distribute,
    join_processes,
    shard,
    start_processes,
    stop_processes,
)
from monai_supmix.bundle.evaluation import EvaluationRun
from monai_supmix.bundle.prediction import PredictionRun
from monai_supmix.bundle.self_training import SelfTraining
from monai_supmix.bundle.tracking import tracking_store
from monai_supmix.bundle.trained import IntensityRules, Trained, load_trained, start_from
from monai_supmix.bundle.training import TrainingRun
from monai_supmix.config.error_lines import error_line
from monai_supmix.config.running import check_overrides
from monai_supmix.data.working_grid import with_margin
from monai_supmix.datalists.pseudo_labels import with_pseudo_labels
from monai_supmix.inferers.inputs import image_items
from monai_supmix.processes import rank, world_size

__all__ = [
    "default_amp",
    "default_device",
    "default_num_workers",
    "error_line",
    "check_overrides",
    "unlabeled_pool",
    "start_processes",
    "join_processes",
    "stop_processes",
    "distribute",
    "rank",
    "world_size",
    "shard",
    "tracking_store",
    "FollowSchedules",
    "TrainingRun",
    "SelfTraining",
    "with_margin",
    "with_pseudo_labels",
    "EvaluationRun",
    "PredictionRun",
    "image_items",
    "IntensityRules",
    "Trained",
    "load_trained",
    "start_from",
]
