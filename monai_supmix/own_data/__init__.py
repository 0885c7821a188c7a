"""A bundle for a user's own data: look at a folder, propose settings, write the bundle."""

from monai_supmix.own_data.proposal import BrokenCasesError, Proposal, propose
from monai_supmix.own_data.writing import check_absent, write_bundle

__all__ = ["BrokenCasesError", "Proposal", "propose", "check_absent", "write_bundle"]
