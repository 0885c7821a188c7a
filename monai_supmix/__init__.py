"""MONAI-SupMix: semi-supervised medical image segmentation with SupMix and SUFD.

The names that most people need, loaded when they are first used:

>>> import monai_supmix as ms
>>> mix = ms.SupMix(num_classes=2, prob=1.0)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from monai_supmix.version import __version__

if TYPE_CHECKING:
    from monai_supmix.cli.prediction import predict as predict
    from monai_supmix.config.find import find_bundle as find_bundle
    from monai_supmix.engines import SemiSupervisedTrainer as SemiSupervisedTrainer
    from monai_supmix.engines import StrongViews as StrongViews
    from monai_supmix.errors import InputError as InputError
    from monai_supmix.imageio import read_image as read_image
    from monai_supmix.imageio import read_label as read_label
    from monai_supmix.inferers import Inferer as Inferer
    from monai_supmix.inferers import SliceVolumeInferer as SliceVolumeInferer
    from monai_supmix.losses import ConsistencyLoss as ConsistencyLoss
    from monai_supmix.losses import SUFDLoss as SUFDLoss
    from monai_supmix.losses import SupervisedLoss as SupervisedLoss
    from monai_supmix.networks import CompactUNet as CompactUNet
    from monai_supmix.networks import EncoderDecoder as EncoderDecoder
    from monai_supmix.networks import FeatureDiscriminator as FeatureDiscriminator
    from monai_supmix.transforms import ClassMix as ClassMix
    from monai_supmix.transforms import CutMix as CutMix
    from monai_supmix.transforms import MixUp as MixUp
    from monai_supmix.transforms import RegionMix as RegionMix
    from monai_supmix.transforms import SupMix as SupMix

_HOMES = {
    "SupMix": "transforms",
    "ClassMix": "transforms",
    "CutMix": "transforms",
    "MixUp": "transforms",
    "RegionMix": "transforms",
    "SemiSupervisedTrainer": "engines",
    "StrongViews": "engines",
    "SupervisedLoss": "losses",
    "ConsistencyLoss": "losses",
    "SUFDLoss": "losses",
    "EncoderDecoder": "networks",
    "CompactUNet": "networks",
    "FeatureDiscriminator": "networks",
    "Inferer": "inferers",
    "SliceVolumeInferer": "inferers",
    "read_image": "imageio",
    "read_label": "imageio",
    "find_bundle": "config.find",
    "predict": "cli.prediction",
    "InputError": "errors",
}

__all__ = ["__version__", *_HOMES]  # noqa: PLE0604  # the names above


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
