"""Region mixing, photometric and geometric augmentation, intensity rules."""

from monai_supmix.transforms.batch import BatchCompose
from monai_supmix.transforms.classmix import ClassMix
from monai_supmix.transforms.color_jitter import (
    RandColorJitter,
    RandColorJitterD,
    RandColorJitterd,
    RandColorJitterDict,
)
from monai_supmix.transforms.components import clean, keep_component
from monai_supmix.transforms.cutmix import CutMix
from monai_supmix.transforms.gamma import RandGamma, RandGammaD, RandGammad, RandGammaDict
from monai_supmix.transforms.gaussian_blur import (
    RandGaussianBlur,
    RandGaussianBlurD,
    RandGaussianBlurd,
    RandGaussianBlurDict,
)
from monai_supmix.transforms.gaussian_noise import RandNoise, RandNoiseD, RandNoised, RandNoiseDict
from monai_supmix.transforms.grayscale import RandGrayscale, RandGrayscaleD, RandGrayscaled, RandGrayscaleDict
from monai_supmix.transforms.intensity import (
    ApplyIntensityRuled,
    FieldOfViewScale,
    HUWindow,
    IntensityRule,
    PercentileScale,
    intensity_rule,
)
from monai_supmix.transforms.mixing import (
    Batch,
    Blended,
    Mixed,
    blend,
    class_index,
    class_mask,
    classes_present,
    derangement,
    draw_classes,
    inverse_frequency_weights,
    mix_regions,
    paste,
)
from monai_supmix.transforms.mixup import MixUp
from monai_supmix.transforms.region_mix import Mixing, RegionMix
from monai_supmix.transforms.similarity_crop import (
    RandSimilarityCropD,
    RandSimilarityCropd,
    RandSimilarityCropDict,
)
from monai_supmix.transforms.supmix import SupMix

__all__ = [
    "SupMix",
    "ClassMix",
    "CutMix",
    "MixUp",
    "Mixing",
    "RegionMix",
    "Batch",
    "Mixed",
    "Blended",
    "paste",
    "mix_regions",
    "blend",
    "class_index",
    "classes_present",
    "draw_classes",
    "class_mask",
    "derangement",
    "inverse_frequency_weights",
    "BatchCompose",
    "RandColorJitter",
    "RandColorJitterd",
    "RandColorJitterD",
    "RandColorJitterDict",
    "RandGrayscale",
    "RandGrayscaled",
    "RandGrayscaleD",
    "RandGrayscaleDict",
    "RandGaussianBlur",
    "RandGaussianBlurd",
    "RandGaussianBlurD",
    "RandGaussianBlurDict",
    "RandGamma",
    "RandGammad",
    "RandGammaD",
    "RandGammaDict",
    "RandNoise",
    "RandNoised",
    "RandNoiseD",
    "RandNoiseDict",
    "IntensityRule",
    "HUWindow",
    "PercentileScale",
    "FieldOfViewScale",
    "ApplyIntensityRuled",
    "intensity_rule",
    "RandSimilarityCropd",
    "RandSimilarityCropD",
    "RandSimilarityCropDict",
    "keep_component",
    "clean",
]
