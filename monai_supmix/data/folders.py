"""The former place of :mod:`monai_supmix.datalists.folders`, kept for programs that import from here."""

from monai_supmix.datalists.folders import pair_files

__all__ = ["pair_files"]
