"""Files of trained weights, the record that is stored with them, and weights of other programs."""

from monai_supmix.weights.foreign import configured_note, configured_record
from monai_supmix.weights.label_values import other_label_values
from monai_supmix.weights.matching import load_into, load_matching, match_names, unwrap
from monai_supmix.weights.places import default_weights, install_weights, part_of_more, record_run, require_classes
from monai_supmix.weights.reading import WeightsFile, load_weights, read_weights
from monai_supmix.weights.record import current_versions, record_problem
from monai_supmix.weights.several import common_record, weight_files
from monai_supmix.weights.writing import save_weights

__all__ = [
    "WeightsFile",
    "common_record",
    "configured_note",
    "configured_record",
    "current_versions",
    "default_weights",
    "install_weights",
    "load_into",
    "load_matching",
    "load_weights",
    "match_names",
    "other_label_values",
    "read_weights",
    "record_problem",
    "part_of_more",
    "record_run",
    "require_classes",
    "save_weights",
    "unwrap",
    "weight_files",
]
