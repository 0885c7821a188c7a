"""The label map of a volume by a 3D network: on its own grid, the same however it is stored and however it is cut."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from nibabel.orientations import apply_orientation, axcodes2ornt, io_orientation, ornt_transform
from torch import nn

from monai_supmix.errors import InputError
from monai_supmix.imageio.case_image import CaseImage
from monai_supmix.imageio.reading import read_image
from monai_supmix.inferers import VolumeInferer, predict_cases
from monai_supmix.transforms.intensity import intensity_rule
from tests.devices import DEVICES
from tests.imageio.test_planes import ORIENTATIONS, place, rotation
from tests.inferers.tiny import RULE, scan, tiny_network

HU = intensity_rule(RULE)
OBLIQUE = place(rotation(12, -20, 8))
WHOLE = (7, 10, 12)  # planes, rows and columns of the scan: one window


def infer(image, network=None, roi_size=WHOLE, probabilities=None, **settings):
    network = network or tiny_network(dims=3)
    return VolumeInferer(roi_size, amp=False, **settings)(image, network, HU, probabilities)


def at_once(array, affine, network):
    """Reference: class probabilities of the whole LPS volume in one pass, without the package's code."""
    to_lps = ornt_transform(io_orientation(affine), axcodes2ornt("LPS"))
    seen = nib.Nifti1Image(array, affine).as_reoriented(to_lps).get_fdata(dtype=np.float32)
    volume = torch.from_numpy(((seen.T + 1000) / 2000).clip(0, 1).copy())[None, None]
    with torch.no_grad():
        return network(volume)[0].softmax(dim=0)


@pytest.mark.parametrize("affine", [np.diag([1.0, 1, 3, 1]), OBLIQUE], ids=["straight", "oblique"])
def test_one_window_is_the_network_on_the_volume(affine):
    array, network = scan(), tiny_network(dims=3)
    labels = infer(CaseImage.from_array(array, affine), network)
    back = ornt_transform(axcodes2ornt("LPS"), io_orientation(affine))
    expected = apply_orientation(at_once(array, affine, network).argmax(0).numpy().T, back)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, expected)
    assert len(np.unique(labels)) == 3


def test_every_orientation_gives_the_same_mask_in_the_world():
    source, network = nib.Nifti1Image(scan(), OBLIQUE), tiny_network(dims=3)
    settings = {"roi_size": (4, 6, 6), "working": {"spacing": [2.0, 1.0, 1.0]}}
    expected = nib.Nifti1Image(infer(CaseImage.from_array(scan(), OBLIQUE), network, **settings), OBLIQUE)
    for codes in ORIENTATIONS:
        turn = ornt_transform(io_orientation(OBLIQUE), axcodes2ornt(codes))
        other = source.as_reoriented(turn)
        labels = infer(CaseImage.from_array(np.asarray(other.dataobj), other.affine), network, **settings)
        assert np.array_equal(labels, expected.as_reoriented(turn).dataobj), codes


@pytest.mark.parametrize("roi_size", [(4, 4, 4), (7, 3, 12), (16, 16, 16)])
@pytest.mark.parametrize("overlap", [0, 0.5])
def test_windows_make_no_difference_to_a_network_that_looks_at_single_voxels(roi_size, overlap):
    torch.manual_seed(0)
    image, network = CaseImage.from_array(scan(), OBLIQUE), nn.Conv3d(1, 3, 1)
    whole, cut = (np.zeros((3, 12, 10, 7), np.float32) for _ in range(2))
    infer(image, network, probabilities=whole)
    infer(image, network, roi_size, cut, overlap=overlap, batch_size=3)
    assert np.allclose(whole, cut, atol=1e-5)
    assert whole.std() > 0.01


@pytest.mark.parametrize(
    ("working", "shape"),
    [({"size": [5, 8, 9]}, (5, 8, 9)), ({"scale": 0.5}, (4, 5, 6)), ({"spacing": [1.25, 1.6, 1.4]}, (14, 5, 6))],
)
def test_probabilities_are_interpolated_to_the_native_grid(working, shape):
    affine, network = place(np.eye(3)), nn.Conv3d(1, 3, 1)
    array = np.full((12, 10, 7), 500, np.int16)
    array[5:] = -300
    seen = []
    network.register_forward_hook(lambda _module, inputs, _result: seen.append(inputs[0].shape[2:]))
    probabilities = np.zeros((3, 12, 10, 7), np.float32)
    labels = infer(CaseImage.from_array(array, affine), network, shape, probabilities, working=working)
    assert seen == [shape]
    assert np.array_equal(labels, probabilities.argmax(0))
    assert np.allclose(probabilities.sum(0), 1, atol=1e-5)
    assert np.allclose(probabilities, probabilities[:, :, :1, :1], atol=1e-6)  # nothing changes along the planes
    ends = at_once(array, affine, network)
    for here, there in ((probabilities[:, 0], ends[..., -1]), (probabilities[:, -1], ends[..., 0])):
        assert np.allclose(here[:, 0, 0], there[:, 0, 0].numpy(), atol=0.05)


@pytest.mark.parametrize("device", DEVICES)
def test_the_network_is_left_as_it_was_and_flips_make_the_mask_symmetric(device):
    network = nn.Sequential(tiny_network(dims=3), nn.Dropout(0.9), nn.BatchNorm3d(3).eval()).to(device)
    array = scan()
    array = np.concatenate([array, array[::-1]])  # left and right alike
    labels = infer(CaseImage.from_array(array, np.diag([-1.0, -1, 2, 1])), network, (7, 10, 24), flips=True)
    assert np.array_equal(labels, labels[::-1])
    assert [module.training for module in network] == [True, True, False]


def test_what_does_not_fit_is_refused():
    volume = CaseImage.from_array(scan(), OBLIQUE)
    with pytest.raises(InputError, match="is a picture, and this network works on volumes"):
        infer(CaseImage.from_array(np.zeros((1, 8, 8), np.uint8)))
    with pytest.raises(InputError, match="takes 3 channels, the image has 1"):
        infer(volume, tiny_network(3, dims=3))
    with pytest.raises(InputError, match=r"size of 2 sides.*3 dimensions"):
        infer(volume, working={"size": [8, 8]})
    broken = tiny_network(dims=3)
    broken[0].weight.data.fill_(torch.nan)
    with pytest.raises(InputError, match="NaN"):
        infer(volume, broken)
    sound = tiny_network(dims=3)
    sound.divisor = 8
    with pytest.raises(InputError, match=r"roi_size: is \[8, 12, 8\], .* windows of multiples of 8: give such a size"):
        infer(volume, sound, roi_size=(8, 12, 8))
    with pytest.raises(ValueError, match="probabilities is for 2 classes"):
        infer(volume, probabilities=np.zeros((2, *volume.label_shape), np.uint8))
    for wrong in (
        {"roi_size": (4, 4)},
        {"roi_size": 64},
        {"roi_size": (0, 4, 4)},
        {"overlap": 1.0},
        {"batch_size": 0},
        {"axis": "up"},
    ):
        with pytest.raises(ValueError, match=r"roi_size|axis"):
            VolumeInferer(**{"roi_size": (4, 4, 4)} | wrong)


def test_masks_of_files_lie_on_their_grid(tmp_path):
    source = nib.Nifti1Image(scan(), OBLIQUE)
    source.header.set_xyzt_units("mm")
    nib.save(source, tmp_path / "ct.nii.gz")
    record = {"class_names": ["a", "b", "c"], "intensity": {"hu": RULE}, "trained_on": {}}
    inferer = VolumeInferer((4, 8, 8), {"scale": 0.75}, amp=False)
    summary = predict_cases(tmp_path / "ct.nii.gz", tmp_path / "out", tiny_network(dims=3), record, inferer)
    (path,) = summary.written
    mask = nib.load(path)
    assert mask.shape == source.shape
    assert np.array_equal(mask.affine, nib.load(tmp_path / "ct.nii.gz").affine)
    assert np.array_equal(mask.dataobj, inferer(read_image(tmp_path / "ct.nii.gz"), tiny_network(dims=3), HU))
    sidecar = json.loads((tmp_path / "out" / "ct_seg.json").read_text(encoding="utf-8"))
    assert sidecar["inference"]["roi_size"] == [4, 8, 8]
    assert sidecar["inference"]["working"] == {"scale": 0.75}
