"""Which cases exist: folders and published data sets, splits by patient, checks and a survey of what they hold."""

from monai_supmix.datalists.acdc import acdc_datalist
from monai_supmix.datalists.chase import chase_datalist
from monai_supmix.datalists.check import check_cases, usable_cases
from monai_supmix.datalists.covid import covid_datalist
from monai_supmix.datalists.datalist import Datalist, require_unlabeled
from monai_supmix.datalists.folds import fold_datalists, split_groups
from monai_supmix.datalists.from_file import listed_datalist
from monai_supmix.datalists.image_folder import images_in
from monai_supmix.datalists.monitored import hidden_truth
from monai_supmix.datalists.nnunet import nnunet_datalist

__all__ = [
    "Datalist",
    "acdc_datalist",
    "chase_datalist",
    "check_cases",
    "covid_datalist",
    "fold_datalists",
    "hidden_truth",
    "images_in",
    "listed_datalist",
    "nnunet_datalist",
    "require_unlabeled",
    "split_groups",
    "usable_cases",
]
