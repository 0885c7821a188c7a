"""The former place of :mod:`monai_supmix.listing`, kept for programs that import from here."""

from monai_supmix.listing import read_json, read_names

__all__ = ["read_json", "read_names"]
