"""Phantoms: small made-up data sets in the layouts of the real ones, for tests and first steps."""

from monai_supmix.phantoms.chest_ct import write_chest_ct_phantom
from monai_supmix.phantoms.fundus import write_fundus_phantom

__all__ = ["write_chest_ct_phantom", "write_fundus_phantom"]
