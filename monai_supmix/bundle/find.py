"""The former place of :mod:`monai_supmix.config.find`, kept for programs that import from here."""

from monai_supmix.config.find import find_bundle

__all__ = ["find_bundle"]
