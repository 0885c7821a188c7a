"""How a file is read and written: one module a format, images on their own grid, their planes and label maps.

Each format goes through the library that gives its stored values and its grid back without loss:

* NIfTI through nibabel, which has typed headers and unscaled integers;
* NRRD and MetaImage through ITK for their geometry, while the voxels are read and their checksums verified here;
* DICOM series through ITK, which sorts the slices and brings its own decoders of compressed pixels;
* pictures through Pillow;
* DICOM segmentations are written by highdicom (extra ``dicom``), structure sets by pydicom; pydicom reads both.
"""

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.cases import Case, load_case
from monai_supmix.imageio.labels import read_label
from monai_supmix.imageio.masks import write_mask
from monai_supmix.imageio.monai_reader import CaseReader
from monai_supmix.imageio.planes import Planes
from monai_supmix.imageio.reading import read_image

__all__ = ["Case", "CaseImage", "CaseReader", "Planes", "load_case", "read_image", "read_label", "write_mask"]
