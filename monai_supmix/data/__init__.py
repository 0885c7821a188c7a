"""Datalists, images on their own grid, and the streams of training samples."""

from monai_supmix.data.class_weights import inverse_frequency
from monai_supmix.data.paired import PairedLoader, paired_loader
from monai_supmix.data.planes_by_class import PlanesByClass
from monai_supmix.data.planes_loading import LoadPlanes, RandPlane, trained_on
from monai_supmix.data.streams import StreamLoader
from monai_supmix.data.volume_loading import LoadVolume, RandVolumeCrop
from monai_supmix.datalists.acdc import acdc_datalist
from monai_supmix.datalists.chase import chase_datalist
from monai_supmix.datalists.check import check_cases, usable_cases
from monai_supmix.datalists.covid import covid_datalist
from monai_supmix.datalists.datalist import Datalist, require_unlabeled
from monai_supmix.datalists.from_file import listed_datalist
from monai_supmix.datalists.given import given_datalist
from monai_supmix.datalists.image_folder import images_in
from monai_supmix.datalists.monitored import hidden_truth
from monai_supmix.datalists.nnunet import nnunet_datalist
from monai_supmix.datalists.pseudo_labels import with_pseudo_labels
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import Case, load_case
from monai_supmix.imageio.reading import read_image, read_label

__all__ = [
    "CaseImage",
    "Case",
    "load_case",
    "read_image",
    "read_label",
    "Datalist",
    "require_unlabeled",
    "with_pseudo_labels",
    "hidden_truth",
    "check_cases",
    "usable_cases",
    "images_in",
    "acdc_datalist",
    "chase_datalist",
    "covid_datalist",
    "nnunet_datalist",
    "listed_datalist",
    "given_datalist",
    "StreamLoader",
    "PairedLoader",
    "paired_loader",
    "LoadPlanes",
    "RandPlane",
    "PlanesByClass",
    "LoadVolume",
    "RandVolumeCrop",
    "trained_on",
    "inverse_frequency",
]
