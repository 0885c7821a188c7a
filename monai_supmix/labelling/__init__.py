"""What to label next: cases of the unlabelled pool, by how unsure a trained network is of them and how they differ."""

from monai_supmix.labelling.choice import Unit, choose, doubts, farthest_first
from monai_supmix.labelling.score import CaseScore, disagreement, signature
from monai_supmix.labelling.suggestion import suggest

__all__ = [
    "suggest",
    "choose",
    "doubts",
    "farthest_first",
    "Unit",
    "CaseScore",
    "disagreement",
    "signature",
]
