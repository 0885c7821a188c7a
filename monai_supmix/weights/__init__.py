"""Files of trained weights and the record that is stored with them."""

from monai_supmix.weights.files import (
    default_weights,
    install_weights,
    load_into,
    load_weights,
    require_classes,
    save_weights,
    unwrap,
)
from monai_supmix.weights.record import current_versions, record_problem

__all__ = [
    "current_versions",
    "default_weights",
    "install_weights",
    "load_into",
    "load_weights",
    "record_problem",
    "require_classes",
    "save_weights",
    "unwrap",
]
