"""The former place of :mod:`monai_supmix.config.overrides`, kept for programs that import from here."""

from monai_supmix.config.overrides import read_overrides
from monai_supmix.config.running import check_overrides

__all__ = ["check_overrides", "read_overrides"]
