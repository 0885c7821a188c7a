"""MONAI-SupMix: semi-supervised medical image segmentation with SupMix and SUFD."""

from monai_supmix.version import __version__

__all__ = ["__version__"]
