"""The working grid "center": the middle of each plane in its own pixels, and background around it."""

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from monai_supmix.data import LoadVolume
from monai_supmix.data.working_grid import from_working_grid, to_working_grid, working_shape
from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.inferers import SliceVolumeInferer
from monai_supmix.inferers.suitability import edge_warnings
from monai_supmix.transforms import HUWindow

SIZES = [(10, 12), (7, 9), (4, 6), (3, 13), (5, 5)]


@pytest.mark.parametrize("native", SIZES)
@pytest.mark.parametrize("grid", [(6, 6), (5, 8)])
def test_there_and_back_is_the_plane_where_the_grid_holds_it(native, grid):
    planes = torch.rand(2, 3, *native)
    working = {"center": list(grid)}
    assert working_shape(native, None, working) == grid
    with pytest.raises(InputError, match=r"eye.png: has no spacing, and the network works on a grid of 1 x 1.5 mm"):
        working_shape(native, None, {"spacing": [1.0, 1.5]}, "eye.png")
    there = to_working_grid(planes, grid, working)
    back = from_working_grid(there, native, working)
    assert there.shape[2:] == grid and back.shape == planes.shape
    inside = from_working_grid(torch.zeros(1, 1, *grid), native, working)[0, 0] == 0
    assert torch.equal(back[..., inside], planes[..., inside])
    assert int(inside.sum()) == min(native[0], grid[0]) * min(native[1], grid[1])
    assert (back[:, 0][..., ~inside] == 1).all() and (back[:, 1:][..., ~inside] == 0).all()


def test_labels_keep_their_type():
    label = torch.arange(36, dtype=torch.uint8).view(1, 1, 6, 6)
    there = to_working_grid(label, (2, 2), {"center": [2, 2]})
    assert there.dtype == torch.uint8 and there.flatten().tolist() == [14, 15, 20, 21]


class Bright(nn.Module):
    """Calls everything class 1, whatever it sees."""

    in_channels = 1

    def forward(self, images):
        return torch.stack([torch.zeros_like(images[:, 0]), torch.ones_like(images[:, 0])], dim=1)


@pytest.mark.parametrize("shape", [(20, 24, 3), (8, 30, 2), (9, 9, 1)])
def test_a_mask_has_its_images_shape_and_nothing_outside_of_the_middle(shape):
    volume = CaseImage.from_array(np.zeros(shape, np.float32), np.eye(4))
    probabilities = np.zeros((2, *shape), np.float32)
    inferer = SliceVolumeInferer(working={"center": [12, 16]}, divisor=1, amp=False)
    mask = inferer(volume, Bright(), HUWindow(), probabilities)
    columns, rows, slices = shape  # as they lie in the file; planes are rows x columns
    assert mask.shape == shape and mask.sum() == min(columns, 16) * min(rows, 12) * slices
    assert np.array_equal(probabilities.argmax(axis=0), mask)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, rtol=1e-5)


@pytest.mark.parametrize(("place", "told"), [((5, 5), ""), ((2, 6), "reaches the edge"), ((6, 9), "reaches the edge")])
def test_a_mask_at_the_edge_of_the_middle_is_told(place, told):
    volume = CaseImage.from_array(np.zeros((12, 12, 2), np.uint8), np.eye(4))
    mask = np.zeros((12, 12, 2), np.uint8)
    mask[(*place, 1)] = 1
    (found,) = edge_warnings(mask, volume, {"center": [8, 8]}) or [""]
    assert told in found and bool(told) == bool(found)
    assert not edge_warnings(mask, volume, {"center": [12, 12]}) and not edge_warnings(mask, volume, {"scale": 0.5})
    assert "nothing was found" in edge_warnings(0 * mask, volume, {"center": [8, 8]})[0]


def test_volumes_of_a_3d_network_have_no_such_grid(tmp_path):
    load = LoadVolume(lambda image: HUWindow(), num_classes=2, working={"center": [8, 8, 8]})
    nib.save(nib.Nifti1Image(np.zeros((9, 9, 9), np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(InputError, match="give another grid"):
        load({"image": str(tmp_path / "a.nii.gz"), "case": "a"})


@pytest.mark.parametrize("working", [{"center": [0, 8]}, {"size": [8, -1]}, {"scale": 0}, {"spacing": [1.0, 0.0]}])
def test_a_grid_without_size_is_refused(working):
    with pytest.raises(InputError, match="give numbers above 0"):
        working_shape((4, 4), (1.0, 1.0), working)
