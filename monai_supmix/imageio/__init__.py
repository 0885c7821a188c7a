"""How a file is read and written: one module a format, images on their own grid, their planes and label maps."""

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import Case, load_case
from monai_supmix.imageio.labels import read_label
from monai_supmix.imageio.masks import write_mask
from monai_supmix.imageio.planes import Planes
from monai_supmix.imageio.reading import read_image

__all__ = ["Case", "CaseImage", "Planes", "load_case", "read_image", "read_label", "write_mask"]
