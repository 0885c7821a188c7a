"""Inference on whole images: plane by plane, or window by window in 3D, on the image's own grid, in little memory."""

from monai_supmix.inferers.collecting import collect
from monai_supmix.inferers.flips import class_probabilities
from monai_supmix.inferers.predict import predict_cases
from monai_supmix.inferers.protocol import Inferer
from monai_supmix.inferers.runtime import OpenVINONetwork, in_runtime
from monai_supmix.inferers.slice_volume import SliceVolumeInferer, predict_planes
from monai_supmix.inferers.suitability import choose_intensity, suitability_warnings
from monai_supmix.inferers.summary import PredictionSummary
from monai_supmix.inferers.tensors import LabelMapd
from monai_supmix.inferers.volume import VolumeInferer

__all__ = [
    "Inferer",
    "SliceVolumeInferer",
    "VolumeInferer",
    "LabelMapd",
    "predict_planes",
    "in_runtime",
    "OpenVINONetwork",
    "class_probabilities",
    "predict_cases",
    "PredictionSummary",
    "collect",
    "choose_intensity",
    "suitability_warnings",
]
