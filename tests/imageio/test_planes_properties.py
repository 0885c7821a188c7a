"""However a volume's voxels are stored, its planes are the same, and so is where a label is written."""

import nibabel as nib
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.orientations import io_orientation, ornt_transform

from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.planes import Planes

orientations = st.tuples(st.permutations(range(3)), st.tuples(*[st.sampled_from((-1, 1))] * 3)).map(
    lambda pair: np.array([[axis, sign] for axis, sign in zip(*pair, strict=True)], float)
)
angles = st.floats(-0.5, 0.5)
shapes = st.tuples(*[st.integers(2, 6)] * 3)


def oblique(spacing, angle, tilt):
    """An affine near the anatomical axes."""
    cos, sin, c, s = np.cos(angle), np.sin(angle), np.cos(tilt), np.sin(tilt)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    affine = np.eye(4)
    affine[:3, :3] = turn * spacing
    return affine


@settings(deadline=None, max_examples=60)
@given(
    shapes,
    orientations,
    angles,
    angles,
    st.tuples(*[st.floats(0.3, 5)] * 3),
    st.sampled_from(("axial", "coronal", "sagittal")),
)
def test_planes_and_labels_do_not_depend_on_how_voxels_are_stored(shape, orientation, angle, tilt, spacing, axis):
    volume = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    source = nib.Nifti1Image(volume, oblique(spacing, angle, tilt))
    stored = source.as_reoriented(orientation)
    one = CaseImage.from_array(volume, source.affine)
    other = CaseImage.from_array(np.asarray(stored.dataobj), stored.affine)
    planes, same = Planes(one, axis), Planes(other, axis)
    assert planes.shape == same.shape
    np.testing.assert_allclose(planes.spacing, same.spacing)
    for k in range(len(planes)):
        assert np.array_equal(planes[k], same[k])
    label = np.zeros(other.label_shape, np.uint8)
    same.view(label)[...] = planes.view(volume % 251)
    back = ornt_transform(io_orientation(stored.affine), io_orientation(source.affine))
    assert np.array_equal(nib.Nifti1Image(label, stored.affine).as_reoriented(back).dataobj, volume % 251)
