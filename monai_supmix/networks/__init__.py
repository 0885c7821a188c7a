"""Networks that decode images once more under feature dropout, and the discriminator of Eq. 12."""

from monai_supmix.networks.discriminator import FeatureDiscriminator, frozen
from monai_supmix.networks.encoder_decoder import EncoderDecoder
from monai_supmix.networks.ensemble import Ensemble
from monai_supmix.networks.feature_dropout import append_last, drop_channels
from monai_supmix.networks.folding import folded
from monai_supmix.networks.hooked import HookedNetwork
from monai_supmix.networks.learning_rates import parameter_groups
from monai_supmix.networks.pretrained import PACKAGED, PackagedWeights
from monai_supmix.networks.protocol import TrainingNetwork
from monai_supmix.networks.unet import CompactUNet

__all__ = [
    "TrainingNetwork",
    "EncoderDecoder",
    "CompactUNet",
    "HookedNetwork",
    "Ensemble",
    "FeatureDiscriminator",
    "frozen",
    "folded",
    "append_last",
    "drop_channels",
    "parameter_groups",
    "PACKAGED",
    "PackagedWeights",
]
