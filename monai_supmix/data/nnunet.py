"""The former place of :mod:`monai_supmix.datalists.nnunet`, kept for programs that import from here."""

from monai_supmix.datalists.nnunet import nnunet_datalist

__all__ = ["nnunet_datalist"]
