"""Datalists, images on their own grid, and the streams of training samples."""

from monai_supmix.data.case_image import CaseImage
from monai_supmix.data.cases import Case, load_case
from monai_supmix.data.chase import chase_datalist
from monai_supmix.data.check import check_cases, usable_cases
from monai_supmix.data.class_weights import inverse_frequency
from monai_supmix.data.covid import covid_datalist
from monai_supmix.data.datalist import Datalist, require_unlabeled
from monai_supmix.data.hidden_truth import hidden_truth
from monai_supmix.data.images import read_image, read_label
from monai_supmix.data.images_in import images_in
from monai_supmix.data.listed import listed_datalist
from monai_supmix.data.nnunet import nnunet_datalist
from monai_supmix.data.paired import PairedLoader
from monai_supmix.data.planes_by_class import PlanesByClass
from monai_supmix.data.planes_loading import LoadPlanes, RandPlane, trained_on
from monai_supmix.data.streams import StreamLoader
from monai_supmix.data.volume_loading import LoadVolume, RandVolumeCrop

__all__ = [
    "CaseImage",
    "Case",
    "load_case",
    "read_image",
    "read_label",
    "Datalist",
    "require_unlabeled",
    "hidden_truth",
    "check_cases",
    "usable_cases",
    "images_in",
    "chase_datalist",
    "covid_datalist",
    "nnunet_datalist",
    "listed_datalist",
    "StreamLoader",
    "PairedLoader",
    "LoadPlanes",
    "RandPlane",
    "PlanesByClass",
    "LoadVolume",
    "RandVolumeCrop",
    "trained_on",
    "inverse_frequency",
]
